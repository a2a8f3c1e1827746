"""Tables, folders and arrays → schema → compact columns → batches."""

from ._batches import Batches as Batches
from ._batches import LabelledBatches as LabelledBatches
from ._cache import cache as cache
from ._disk import remembered as remembered
from ._disk import stored as stored
from ._encode import encode as encode
from ._guess import guess_target as guess_target
from ._memory import bytes_of as bytes_of
from ._read import read as read
from ._schema import Schema as Schema
from ._shape import reshape as reshape
from ._share import Share as Share
from ._share import Shares as Shares
from ._split import split as split
from ._store import Batch as Batch
from ._store import Field as Field
from ._store import Store as Store
from ._table import Table as Table
from ._table import labels_of as labels_of
from ._two_piles import PiledBatches as PiledBatches
from ._two_piles import Piles as Piles
from ._two_piles import TwoPiles as TwoPiles
from ._two_piles import matched as matched
from ._write import write as write
from .formats import Reader as Reader
from .formats import readers as readers
