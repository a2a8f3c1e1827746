"""Decision rules: features to a distribution whose support is y's domain."""

from ._base import Linear as Linear
from ._base import Rule as Rule
from ._base import default_rule as default_rule
from ._base import in_units as in_units
from ._base import rule_for as rule_for
from ._base import rules as rules
from ._cdf import cdf as cdf
from ._cdf import icdf as icdf
from ._cdf import quantile as quantile
from ._mixture import Mixture as Mixture
from ._mixture import OverParameters as OverParameters
from ._mixture import ParameterMixture as ParameterMixture
from ._mixture import mixture as mixture
from ._mixture import over_parameters as over_parameters
from ._mixture import spread as spread
from ._parameters import arguments as arguments
from ._parameters import map_arguments as map_arguments
from ._parameters import parameters as parameters
from ._parameters import point as point
from ._units import affine as affine
from .cumulative import OrderedCategorical as OrderedCategorical
from .logistic import Logistic as Logistic
from .logit_normal import LogitNormal as LogitNormal
from .softmax import SoftmaxCategorical as SoftmaxCategorical
from .softplus_normal import SoftplusNormal as SoftplusNormal
