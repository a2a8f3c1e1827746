"""A batch's named tensors → named outputs: tensors and distributions."""

from .autoencoder import Autoencoder as Autoencoder
from .generator import Generator as Generator
from .generator import Noise as Noise
from .picture_translation import PictureTranslation as PictureTranslation
from .posterior import Chains as Chains
from .posterior import Draws as Draws
from .posterior import DropoutDraws as DropoutDraws
from .posterior import Ensemble as Ensemble
from .posterior import LinearisedDraws as LinearisedDraws
from .posterior import MeanFieldDraws as MeanFieldDraws
from .posterior import Posterior as Posterior
from .semi_supervised import GenerativeClassifier as GenerativeClassifier
from .semi_supervised import Reconstructing as Reconstructing
from .semi_supervised import TwoViews as TwoViews
from .supervised import Supervised as Supervised
from .translator import Translator as Translator
