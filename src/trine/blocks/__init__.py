"""Tensor → features: the modules that f is built from, and the encoder that joins them."""

from trine.registry import import_all

from ._base import field_decoder as field_decoder
from ._base import field_encoder as field_encoder
from .activations import activations as activations
from .augmentation import Augment as Augment
from .categories import Categories as Categories
from .convolutional import Convolutional as Convolutional
from .dense import Dense as Dense
from .encoder import Encoder as Encoder
from .initialisation import critical as critical
from .initialisation import gain as gain
from .initialisation import init_conv as init_conv
from .initialisation import init_linear as init_linear
from .members import MemberLinear as MemberLinear
from .members import Members as Members
from .normalisation import normalizations as normalizations
from .numbers import Numbers as Numbers
from .scales import layer_scales as layer_scales
from .scales import time_scales as time_scales
from .sequence import SequenceBlock as SequenceBlock
from .sequence import ended as ended
from .sequence import own_steps as own_steps
from .summary import Row as Row
from .summary import summary as summary
from .summary import titles as titles
from .vector import Vectors as Vectors

import_all("trine.blocks")  # a block registers itself for its domain
