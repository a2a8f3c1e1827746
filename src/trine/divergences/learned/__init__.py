"""Divergences known only as the supremum of a bound over critics."""

from ._base import learned as learned
from .jensen_shannon import JensenShannon as JensenShannon
