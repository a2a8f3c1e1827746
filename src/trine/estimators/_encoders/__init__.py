"""What a representation is taken from: an artefact of trine, a module, or a pretrained network on disk."""

from ._kept import forget as forget
from ._library import MissingLibrary as MissingLibrary
from ._opened import lasting as lasting
from ._opened import restored as restored
from ._opened import source_of as source_of
from ._source import Inputs as Inputs
from ._source import Source as Source
from ._source import at_rest as at_rest
