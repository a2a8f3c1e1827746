"""Tables, folders and arrays → schema → compact columns → batches."""

from ._store import Batch as Batch
from ._store import Field as Field
from ._store import Store as Store
