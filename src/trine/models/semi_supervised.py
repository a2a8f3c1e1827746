"""Rows with and without labels on one encoder: what else a network is asked of rows that have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, OneHotCategorical
from torch.nn.functional import gumbel_softmax, one_hot

from trine.blocks.draws import TEMPERATURE
from trine.blocks.weights import weights
from trine.data import Batch
from trine.divergences import Value, log_score
from trine.models.autoencoder import Autoencoder, slope
from trine.models.supervised import Supervised
from trine.rules import Rule, map_arguments


class TwoViews(Supervised):
    """A supervised network that in training also sees every row otherwise.

    Outputs in training, besides those of :class:`Supervised`: ``other.<target>``, q(y given the other view of x). Both views are
    one pass, so that normalisation over the batch has the statistics of both.

    Args:
        encoder, rules, blank, theta: as of :class:`Supervised`; no rule reads the memory of a sequence.
        views: batch → the same rows seen otherwise.
    """

    def __init__(
        self,
        encoder: nn.Module,
        rules: Mapping[str, Rule],
        views: nn.Module,
        blank: bool = False,
        theta: bool = False,
    ) -> None:
        super().__init__(encoder, rules, blank, theta)
        self.views = views

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives in training."""
        return (*super().outputs, *(f"other.{target}" for target in self.targets))

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        if not self.training:
            return super().forward(batch)
        other = self.views(batch)
        assert isinstance(batch, Batch)
        both = {
            name: torch.cat([value, other.tensors[name]])
            for name, value in batch.tensors.items()
            if name.startswith("x.")
        }
        rows = batch.size
        found = super().forward(Batch(both, batch.views))
        outputs: dict[str, Value] = {}
        for name, value in found.items():
            if isinstance(value, Tensor):
                outputs[name] = value.narrow(-2, 0, rows) if name == "z" else value
                continue
            at = len(value.batch_shape) - 1
            outputs[name] = map_arguments(value, partial(torch.narrow, dim=at, start=0, length=rows))
            if name.startswith("y_hat."):
                second = map_arguments(value, partial(torch.narrow, dim=at, start=rows, length=rows))
                outputs[f"other.{name.removeprefix('y_hat.')}"] = second
        return outputs


class GenerativeClassifier(Supervised):
    """x from what it is of and how it is done: q(y given x) q(z given x, y), and p(x given y, z) with p(y) p(z).

    The label code y of a row without label is a draw of q(y given x), whole, with the gradient of a relaxed draw (straight-through
    Gumbel-softmax), so that no sum over classes is needed; that of a labelled row is its label. The style code z has the rest.

    Outputs: those of :class:`Supervised`; in training also those of :class:`Autoencoder` (its ``z`` is called ``code.z``), and of
    each target ``free.<target>``, q(y given x) of rows without a label and the prior of the others, ``prior.<target>``, p(y), and
    ``label.<target>``, (batch, classes), the label codes of the free rows, and draws of the prior in the place of the others.

    Args:
        encoder, rules, blank, theta: as of :class:`Supervised`, on the encoder's features; of classes. The weights of theta are
            the decoder's too.
        autoencoder: whose encoder is ``encoder``, and whose code and decoder read the label codes beside it.
        shares: target → shares of its classes, p(y).

    References:
        Kingma et al., `Semi-Supervised Learning with Deep Generative Models`, 2014, section 3 (M2). Jang et al., `Categorical
        Reparameterization with Gumbel-Softmax`, 2017, section 4.3. Makhzani et al., `Adversarial Autoencoders`, 2016, section 5
        (where both codes are shaped by critics).
    """

    def __init__(
        self,
        encoder: nn.Module,
        rules: Mapping[str, Rule],
        autoencoder: Autoencoder,
        shares: Mapping[str, Sequence[float]],
        blank: bool = False,
        theta: bool = False,
    ) -> None:
        super().__init__(encoder, rules, blank)
        autoencoder.encoder = nn.Identity()
        self.decoding = autoencoder
        self.theta = weights(self) if theta else ()
        self.sizes = [len(shares[target]) for target in self.targets]
        self.register_buffer("shares", torch.cat([torch.tensor(shares[target]) for target in self.targets]))

    shares: Tensor

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives in training."""
        own = (name for name in self.decoding.outputs if name not in ("z", "x_hat"))
        of_labels = (f"{kind}.{target}" for target in self.targets for kind in ("free", "prior", "label"))
        return (*super().outputs, *own, "code.z", *of_labels)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        outputs = super().forward(batch)
        if not self.training:
            return outputs
        features = outputs["z"]
        assert isinstance(features, Tensor)
        codes: list[Tensor] = []
        of_labels: dict[str, Value] = {}
        for target, shares in zip(self.targets, torch.split(self.shares, self.sizes), strict=True):
            q = outputs[f"y_hat.{target}"]
            assert isinstance(q, Categorical)
            prior, known, labels = shares.expand_as(q.logits), *self._labels(target, batch, features)
            drawn = gumbel_softmax(q.logits, TEMPERATURE, hard=True)
            codes.append(torch.where(known, one_hot(labels, len(shares)).to(drawn.dtype), drawn))
            any_ = OneHotCategorical(probs=prior)
            of_labels[f"free.{target}"] = OneHotCategorical(logits=torch.where(known, prior.log(), q.logits))
            of_labels[f"prior.{target}"] = OneHotCategorical(probs=shares)
            of_labels[f"label.{target}"] = torch.where(known, any_.sample(), drawn)  # type: ignore[no-untyped-call]
        found = self.decoding.from_features(features, batch, torch.cat(codes, -1))
        found["code.z"] = found.pop("z")
        found.pop("x_hat", None)
        return {**found, **of_labels, **outputs}

    def _labels(self, target: str, batch: Mapping[str, Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
        """((batch, 1) whether a row has a label, (batch,) which, 0 where it has none)."""
        labels = batch[f"y.{target}"].reshape(len(features)).long()
        known = batch.get(f"y.{target}.present")
        if known is None:
            known = torch.ones_like(labels, dtype=torch.bool)
        known = known & (labels >= 0)
        return known[:, None], torch.where(known, labels, 0)


class Reconstructing(Supervised):
    """A supervised network whose encoder is an autoencoder's too: every row, labelled or not, is to be had from its code.

    Outputs: those of :class:`Supervised`, and those of :class:`Autoencoder` (its ``z`` is called ``code.z``). Each of several
    weight-sharing members has a code of its own, from which x is to be had: outputs have a leading dimension more,
    (members, batch, ...), as ``z`` has.

    Args:
        encoder, rules, blank, theta: as of :class:`Supervised`, on the encoder's features. The weights of theta are the decoder's
            too.
        autoencoder: whose encoder is ``encoder``.
    """

    def __init__(
        self,
        encoder: nn.Module,
        rules: Mapping[str, Rule],
        autoencoder: Autoencoder,
        blank: bool = False,
        theta: bool = False,
    ) -> None:
        super().__init__(encoder, rules, blank)
        # Its encoder is this one: kept once, so that a state dict has it once.
        autoencoder.encoder = nn.Identity()
        self.decoding = autoencoder
        self.theta = weights(self) if theta else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what :meth:`forward` gives in training."""
        own = (name for name in self.decoding.outputs if name not in ("z", "x_hat"))
        return (*super().outputs, *own, "code.z")

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Value]:
        """Named outputs for the rows of ``batch``."""
        contracts = self.decoding.contracts and self.training
        if contracts:
            batch, read = self.decoding.watched(batch)
        outputs = super().forward(batch)
        features = outputs["z"]
        assert isinstance(features, Tensor)
        # To the autoencoder the members' rows are rows.
        found = self.decoding.from_features(features.flatten(0, -2), batch)
        found.pop("x_hat", None)
        if features.dim() > 2:
            found |= _of_members(found, features.shape[:2])
        z = found["code.z"] = found.pop("z")
        if contracts:
            assert isinstance(z, Tensor)
            found["contraction"] = slope(z, read)
        return {**found, **outputs}


def _of_members(outputs: Mapping[str, Value], shape: torch.Size) -> dict[str, Value]:
    """Codes and distributions of x, of the rows of all members one after another, as of batch shape (members, batch)."""
    parted: dict[str, Value] = {}
    for name, value in outputs.items():
        if name.startswith("x_hat."):
            assert isinstance(value, Distribution)
            parted[name] = OfMembers(value, shape)
        elif name in ("code", "z"):
            part = partial(torch.unflatten, dim=0, sizes=shape)
            parted[name] = part(value) if isinstance(value, Tensor) else map_arguments(value, part)
    return parted


class OfMembers(Distribution):
    """q of the rows of all members one after another, as one of batch shape (members, batch), whatever its arguments are.

    Args:
        rows: q, of batch shape (members · batch,). shape: (members, batch).
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, rows: Distribution, shape: torch.Size) -> None:
        self.rows = rows
        self.ragged = getattr(rows, "ragged", False)
        super().__init__(shape, rows.event_shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """(members, batch) of values (batch, ...), the same for every member."""
        found: Tensor = self.rows.log_prob(self._repeated(value))
        return found.view(self.batch_shape)

    def _repeated(self, value: Tensor) -> Tensor:
        return value.repeat(self.batch_shape[0], *(1,) * (value.dim() - 1))


@map_arguments.register
def _(q: OfMembers, change: Callable[[Tensor], Tensor]) -> Distribution:
    return OfMembers(map_arguments(q.rows, change), q.batch_shape)


@log_score.register
def _(q: OfMembers, y: Tensor) -> Tensor:
    return log_score(q.rows, q._repeated(y)).view(q.batch_shape)
