"""The figures of a report: inline SVG that follows the page's colours, light or dark."""

from .classes import calibration as calibration
from .classes import confidence as confidence
from .classes import confusion as confusion
from .classes import precision_recall as precision_recall
from .classes import roc as roc
from .codes import COLOURS as COLOURS
from .codes import code_field as code_field
from .codes import code_information as code_information
from .codes import code_plane as code_plane
from .learning import game_curves as game_curves
from .learning import learning_curve as learning_curve
from .learning import score_curve as score_curve
from .learning import step_sizes as step_sizes
from .learning import term_curves as term_curves
from .novelty import novelty as novelty
from .numbers import coverage as coverage
from .numbers import predicted_and_true as predicted_and_true
from .numbers import residuals as residuals
from .numbers import transform as transform
from .samples import marginal as marginal
from .scales import layer_scales as layer_scales
from .scales import time_scales as time_scales
from .strip import strip as strip
from .tables import association_matrices as association_matrices
from .tables import cloud as cloud
from .tables import spread as spread
