"""What a user may choose: every keyword of the estimators, every ``--set`` and every key of a run file, in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

from trine.errors import ChoiceError, nearest


@dataclasses.dataclass(frozen=True)
class Choices:
    """The user's choices; None means: derive it from the domains and the number of rows.

    A method resolves them (no None left that matters) before it builds; resolved choices and the schema give the same model,
    criterion and procedure again, anywhere.

    Attributes:
        hidden: widths of the dense layers, e.g. ``(256, 256)``.
        activation: ``relu``, ``gelu``, ``silu``, ``tanh`` or ``sigmoid``.
        normalization: ``none``, ``layer``, ``batch`` or ``rms``; ``prenorm`` puts it before the linear map.
        residual: whether dense layers of equal width add their input.
        dropout: share of hidden units zeroed while training, in [0, 1).
        members: number of weight-sharing members of a table's network, 1 or more.
        numbers: how numbers enter: ``piecewise``, ``periodic`` or ``plain``.
        categories: how categories enter: ``embedding`` or ``onehot``.
        channels: width of the first stage of a convolutional network.
        augment: whether images are shifted at random while training.
        flip: ``none``, ``horizontal``, ``vertical`` or ``both``; derived by testing the invariance on training rows.
        rule: decision rule by name (for several targets: a mapping from column to name).
        divergence: divergence of the supervised term.
        optimiser: ``adamw``, ``sgd`` or ``momentum``.
        step_size: α, the (peak) step size.
        schedule: ``constant``, ``robbins-monro``, ``cosine`` or ``onecycle``.
        weight_decay, clip, ema: decay of weights; bound on the gradient's norm (0: none); decay of the weights'
            exponential moving average (0: none).
        batch_size, epochs: examples a step; passes over the training rows.
        patience: epochs without improvement on held-out rows before stopping; 0 never stops early.
        autocast: ``none`` or ``bf16``.
        compile: whether to compile the model's step with ``torch.compile``.
        unknown: share of training rows whose inputs are hidden, so that a row with nothing known is answered by the prior.
    """

    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    normalization: str | None = None
    prenorm: bool | None = None
    residual: bool | None = None
    dropout: float | None = None
    members: int | None = None
    numbers: str | None = None
    categories: str | None = None
    channels: int | None = None
    augment: bool | None = None
    flip: str | None = None
    rule: str | dict[str, str] | None = None
    divergence: str = "kl"
    optimiser: str | None = None
    step_size: float | None = None
    schedule: str | None = None
    weight_decay: float | None = None
    clip: float | None = None
    ema: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    autocast: str | None = None
    compile: bool = False
    unknown: float | None = None

    def replace(self, **changes: Any) -> Choices:
        """A copy with some choices changed.

        Raises:
            ChoiceError: a name that is no choice, with the nearest.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise ChoiceError(f"There is no choice called {name!r}.{nearest(name, names)} Choices: {', '.join(names)}.")
        return dataclasses.replace(self, **changes)

    def to_json(self) -> dict[str, Any]:
        """The choices as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choices:
        """The choices that :meth:`to_json` wrote."""
        return cls().replace(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
