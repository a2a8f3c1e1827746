"""What the user has → model, criterion, procedure: a file each, reading as the equation."""

from ._base import Derivation as Derivation
from ._base import Facts as Facts
from ._base import Method as Method
from ._base import derive as derive
from ._base import methods as methods
