"""How θ moves: init, step; step-size schedules."""

from ._base import Procedure as Procedure
from ._base import State as State
from ._base import Step as Step
from ._base import procedures as procedures
