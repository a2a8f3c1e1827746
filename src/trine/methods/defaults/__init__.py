"""What is chosen for a user who chooses nothing, and why; a file for each kind of x. The figures are in `benchmarks/results`."""

from trine.registry import import_all

from ._recipe import Recipe as Recipe
from ._recipe import recipe as recipe
from ._resolve import resolve as resolve

import_all("trine.methods.defaults")
