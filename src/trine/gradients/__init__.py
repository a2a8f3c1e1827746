"""Monte-Carlo gradients: d/dθ E_{x ~ q(x | θ)} f(x), by named estimators that can be compared and put into a criterion."""

from ._base import Estimator as Estimator
from ._base import Integrand as Integrand
from ._base import estimator as estimator
from ._base import estimators as estimators
from ._compare import Comparison as Comparison
from ._compare import compare as compare
from ._measured import Measured as Measured
from ._support import support as support
from .auto import Auto as Auto
from .control import Rebar as Rebar
from .control import Relax as Relax
from .exact import Exact as Exact
from .pathwise import Pathwise as Pathwise
from .relaxed import GumbelSoftmax as GumbelSoftmax
from .relaxed import StraightThrough as StraightThrough
from .score import Score as Score
