"""How θ moves: init, step; step-size schedules."""

from ._base import Feed as Feed
from ._base import Procedure as Procedure
from ._base import State as State
from ._base import Step as Step
from ._base import procedures as procedures
from ._parallel import total_norm as total_norm
from .descent import Descent as Descent
from .descent import DescentState as DescentState
from .schedules import Constant as Constant
from .schedules import Cosine as Cosine
from .schedules import OneCycle as OneCycle
from .schedules import RobbinsMonro as RobbinsMonro
from .schedules import Schedule as Schedule
from .schedules import schedules as schedules
