"""Heads: what answers from a fixed representation z, and how each is kept without anything that executes; a file each."""

from ._base import Head as Head
from ._base import Task as Task
from ._base import heads as heads
from ._named import head_of as head_of
from .boosting import BoostingHead as BoostingHead
from .linear import LinearHead as LinearHead
from .mlp import NetHead as NetHead
from .scikit import ScikitHead as ScikitHead
