"""The one loop; runs, checkpoints, resume; what watches it wraps the iterator."""

from .checkpoint import fingerprint as fingerprint
from .loop import steps as steps
from .run import Run as Run
from .trainer import Result as Result
from .trainer import Score as Score
from .trainer import train as train
