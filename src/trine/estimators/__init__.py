"""The scikit-learn face: fit, predict, evaluate, save, load."""

from ._estimator import Estimator as Estimator
from ._estimator import estimators as estimators
from ._estimator import load as load
from ._plan import Plan as Plan
from ._resuming import resume as resume
from ._workflow import derive as derive
from ._workflow import describe_run as describe_run
from ._workflow import fit as fit
from .autoencoding import Autoencoder as Autoencoder
from .classification import Classifier as Classifier
from .conditional import ConditionalGAN as ConditionalGAN
from .generating import GAN as GAN
from .labelling import MultiLabelClassifier as MultiLabelClassifier
from .new_kinds import Novelty as Novelty
from .regression import Regressor as Regressor
from .several import MultiTarget as MultiTarget
from .transduction import Transducer as Transducer
from .transferring import Transfer as Transfer
from .translating import Translator as Translator
