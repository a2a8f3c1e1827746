"""How far what a model gives is from its target: one name, whatever it is asked to compare."""

from ._base import Divergence as Divergence
from ._base import Estimate as Estimate
from ._base import LearnedDivergence as LearnedDivergence
from ._base import Statement as Statement
from ._base import Value as Value
from ._base import divergences as divergences
from ._compare import Comparison as Comparison
from ._compare import divergence as divergence
from ._crps import crps as crps
from ._families import Blend as Blend
from ._families import Logistic as Logistic
from .chi2 import Chi2 as Chi2
from .cramer import Cramer as Cramer
from .cramer import energy_score as energy_score
from .hellinger import Hellinger as Hellinger
from .jensen_shannon import JS as JS
from .kl import KL as KL
from .kl import ReverseKL as ReverseKL
from .kl import log_score as log_score
from .learned import JensenShannon as JensenShannon
from .learned import learned as learned
from .mmd import MMD as MMD
from .renyi import Renyi as Renyi
from .total_variation import TotalVariation as TotalVariation
from .wasserstein import Wasserstein as Wasserstein
from .wasserstein import Wasserstein2 as Wasserstein2
