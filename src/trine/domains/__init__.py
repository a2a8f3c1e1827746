"""What one variable is: the set it lives in, how it becomes tensors and comes back."""

from ._base import Column as Column
from ._base import Domain as Domain
from ._base import Sequences as Sequences
from ._base import domains as domains
from ._numeric import Numeric as Numeric
from .audio import Audio as Audio
from .category import Category as Category
from .count import Count as Count
from .date import Date as Date
from .image import Image as Image
from .labels import Labels as Labels
from .positive import Positive as Positive
from .real import Real as Real
from .series import Series as Series
from .text import Text as Text
from .unit import Unit as Unit
from .vector import Vector as Vector
