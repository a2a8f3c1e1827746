"""p(θ given X, Y) in the place of one θ: a file each, found by the name that a user writes as ``posterior=``."""

from ._base import Ingredients as Ingredients
from ._base import Parts as Parts
from ._base import PosteriorKind as PosteriorKind
from ._base import common as common
from ._base import posteriors as posteriors
