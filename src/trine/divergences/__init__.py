"""How far what a model gives is from its target: one name, whatever it is asked to compare."""

from ._base import Divergence as Divergence
from ._base import LearnedDivergence as LearnedDivergence
from ._base import Value as Value
from ._base import divergences as divergences
from ._crps import crps as crps
from .cramer import Cramer as Cramer
from .cramer import energy_score as energy_score
from .kl import KL as KL
from .kl import log_score as log_score
from .learned import JensenShannon as JensenShannon
from .learned import learned as learned
