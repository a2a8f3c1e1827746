"""How far what a model gives is from its target: one name, whatever it is asked to compare."""

from ._base import Divergence as Divergence
from ._base import LearnedDivergence as LearnedDivergence
from ._base import Value as Value
from ._base import divergences as divergences
