"""Divergences known only as the supremum of a bound over critics."""

from ._base import Dual as Dual
from ._base import Penalised as Penalised
from ._base import learned as learned
from .cramer import Cramer as Cramer
from .f_divergences import Hellinger as Hellinger
from .f_divergences import Hinge as Hinge
from .f_divergences import KullbackLeibler as KullbackLeibler
from .f_divergences import LeastSquares as LeastSquares
from .f_divergences import Pearson as Pearson
from .f_divergences import ReverseKullbackLeibler as ReverseKullbackLeibler
from .jensen_shannon import JensenShannon as JensenShannon
from .jensen_shannon import MinMax as MinMax
from .relativistic import Relativistic as Relativistic
from .wasserstein import MaxMin as MaxMin
from .wasserstein import Wasserstein as Wasserstein
