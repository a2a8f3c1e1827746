"""What one variable is: the set it lives in, how it becomes tensors and comes back."""

from ._base import Column as Column
from ._base import Domain as Domain
from ._base import domains as domains
