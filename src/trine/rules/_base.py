"""Decision rules: features to a distribution whose support is y's domain."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.distributions import Distribution

from trine.domains import Domain
from trine.errors import SchemaError
from trine.registry import Registry

Linear = Callable[[int, int], nn.Module]
"""How a rule makes its linear maps: ``nn.Linear``, or one with a weight for each weight-sharing member."""

rules: Registry[type[Rule]] = Registry("decision rule", "trine.rules")


class Rule(nn.Module, abc.ABC):
    """Representation z to q(y given x), in the encoded units of y's domain.

    A rule is built as ``Rule(features, domain, linear)``. ``forward`` takes features of shape (..., features), leading
    dimensions being (batch,) or (members, batch), and returns a ``torch.distributions.Distribution`` whose batch shape
    is those leading dimensions and whose event shape is that of one y. Its support is the domain: a prediction outside
    it cannot be. At initialisation q is close to the marginal of y in the training rows (the domain knows it).

    Class attributes:
        serves: the domain types the rule can decide.
        formula: how the derivation prints it, e.g. ``"softplus → Gamma(concentration, rate)"``.
        identity: what −log q(y) is up to a constant, e.g. the squared error, so that the derivation can say which
            familiar loss follows.
        beta: how far KL weighs the likelihood of a row by its scale while training, scale^(2 beta), as
            :class:`trine.divergences.KL` explains; 0 for not at all.
        reads_memory: whether ``forward`` also takes the encoder's memory, the states over time of every sequence in x.
            Such a rule is built with the keywords ``memory`` (their widths), ``units`` and ``dropout``, and serves one
            member: its features are (batch, features).
        wants_choices: whether it is built with the keyword ``choices`` as well, as one that draws a picture is.
        marks_ends: whether the numbers that it scores have to be NaN beyond a row's end, which a batch pads by 0.
    """

    serves: ClassVar[tuple[type[Domain], ...]]
    formula: ClassVar[str]
    identity: ClassVar[str]
    beta: ClassVar[float] = 0.0
    reads_memory: ClassVar[bool] = False
    wants_choices: ClassVar[bool] = False
    marks_ends: ClassVar[bool] = False

    def __init__(self, features: int, domain: Domain, linear: Linear = nn.Linear) -> None:
        super().__init__()

    @abc.abstractmethod
    def forward(self, features: Tensor) -> Distribution: ...


@functools.singledispatch
def default_rule(domain: Domain) -> str:
    """The name of the rule for ``domain`` when the user names none; open by ``default_rule.register(DomainType)``."""
    raise SchemaError(f"No decision rule gives a {domain.kind!r} y yet.")


@functools.singledispatch
def default_reconstruction(domain: Domain) -> str:
    """The name of the rule that gives a column of x again from a code; open by ``default_reconstruction.register(DomainType)``.

    By default it is the one that decides a y of this domain.
    """
    return default_rule(domain)


def rule_for(domain: Domain, name: str | None = None) -> type[Rule]:
    """The rule called ``name`` (by default the domain's own), checked to serve ``domain``.

    Raises:
        ChoiceError: no rule has that name. SchemaError: the rule's support is not y's domain; names those that are.
    """
    rules.load()  # defaults are registered by the rules' own files
    kind = rules[name or default_rule(domain)]
    if not isinstance(domain, kind.serves):
        fitting = sorted(key for key, rule in rules.items() if isinstance(domain, rule.serves))
        raise SchemaError(f"The rule {name!r} does not give a {domain.kind!r} y. Rules that do: {', '.join(fitting)}.")
    return kind


@functools.singledispatch
def in_units(domain: Domain, q: Distribution) -> Distribution:
    """q(y given x) carried from the encoded to the user's own units. Open by ``in_units.register(DomainType)``."""
    return q
