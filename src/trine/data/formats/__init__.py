"""The formats that :func:`trine.data.read` reads, a file each; each registers itself."""

from ._base import Reader as Reader
from ._base import readers as readers
