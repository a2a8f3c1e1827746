"""Honest evaluation: metrics with bootstrap intervals, beside the trivial prediction."""

from ._base import Evaluation as Evaluation
from ._base import Metric as Metric
from ._base import evaluate as evaluate
from ._base import figure as figure
from ._base import reduced as reduced
from ._marginal import remembered as remembered
from .categories import CATEGORY_METRICS as CATEGORY_METRICS
from .labels import LABEL_METRICS as LABEL_METRICS
from .numbers import NUMBER_METRICS as NUMBER_METRICS
from .texts import TEXT_METRICS as TEXT_METRICS
