"""What quadrature asks of a distribution on a line: density, both tails and their inverses, each to full precision.

All are in float64, differentiable in the parameters but for the inverses, and open by ``.register(Family)``. Values have
shape (..., *batch shape of the distribution).
"""

from . import _counts as _counts
from . import _transformed as _transformed
from ._density import TINY as TINY
from ._density import log_density as log_density
from ._density import relative_entropy as relative_entropy
from ._empirical import Empirical as Empirical
from ._mixtures import apart as apart
from ._mixtures import infinite_variance as infinite_variance
from ._mixtures import quantile as quantile
from ._mixtures import tail as tail
from ._mixtures import tail_quantile as tail_quantile
from ._parts import components as components
from ._parts import ends as ends
from ._parts import kind as kind
from ._parts import mixed as mixed
from ._parts import weights as weights
from ._stretched import stretched as stretched
from ._stretched import unstretched as unstretched
from ._tails import above as above
from ._tails import below as below
from ._tails import lower_quantile as lower_quantile
from ._tails import upper_quantile as upper_quantile

FARTHEST = 1e150
"""Where the line ends: its square is still a number."""
