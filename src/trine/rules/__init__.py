"""Decision rules: features to a distribution whose support is y's domain."""

from ._base import Linear as Linear
from ._base import Rule as Rule
from ._base import default_rule as default_rule
from ._base import in_units as in_units
from ._base import rule_for as rule_for
from ._base import rules as rules
