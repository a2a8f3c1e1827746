"""From the domains of x to the modules that read them: the one open table of blocks."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import nn

from trine.choices import Choices
from trine.domains import Domain
from trine.errors import SchemaError


@functools.singledispatch
def field_encoder(first: Domain, domains: Sequence[Domain], choices: Choices) -> nn.Module:
    """The block that reads one field of a batch; open by ``field_encoder.register(DomainType)`` beside the block.

    Args:
        first: the first domain of the field; its type decides.
        domains: all domains of the field, in the order of their columns: several for a packed field, else one.
        choices: the user's choices; a choice left at None takes the block's documented default.

    Returns:
        A module from the field's tensor, (batch, ...), to (batch, features), with the attribute ``features``.

    Raises:
        SchemaError: no block reads this domain yet.
    """
    raise SchemaError(f"No block reads an x of domain {first.kind!r} yet; leave the column out of x.")


@functools.singledispatch
def field_decoder(domain: Domain, features: int, outputs: int, choices: Choices) -> nn.Module:
    """The block that draws one field from features; open by ``field_decoder.register(DomainType)`` beside the block.

    Args:
        domain: the fitted domain of the field.
        features: width of the features that it reads.
        outputs: numbers wanted for each place of the field, e.g. the parameters of a distribution there.
        choices: the user's choices; a choice left at None takes the block's documented default.

    Returns:
        A module from (batch, features) to ``outputs`` numbers a place: of a picture (batch, outputs, height, width). Of a
        sequence it also takes lengths, (batch,), and the steps wanted, and gives (batch, steps, outputs).

    Raises:
        SchemaError: no block draws this domain.
    """
    raise SchemaError(f"No block draws an x of domain {domain.kind!r} from a code yet; leave the column out of x.")
