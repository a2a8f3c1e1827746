"""The term that shapes codes to their prior, by the name of a divergence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from trine import collective
from trine.blocks import Dense
from trine.choices import Choices
from trine.criterion import Term, WarmedTerm
from trine.divergences import Divergence, Value, two_sample
from trine.divergences.learned import learned
from trine.errors import ChoiceError, unknown

BY_ROW = ("kl",)
"""Shapes that compare each row's code with the prior: codes are distributions. The others compare all codes of a batch."""
BY_SAMPLES = ("mmd", "cramer", "wasserstein")
"""Shapes that compare the codes of a batch with as many draws of the prior, without a critic."""
WEIGHT = {"mmd": 1000.0, "cramer": 100.0, "wasserstein": 100.0}
"""Default weights: these distances are at most of the order of one, and a reconstruction of a hundred nats."""
CRITIC = 10.0
"""Default weight of what a critic says: its slope fades where it cannot tell codes from the prior."""
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""C of the kernels of MMD, times 2 · width of a code, as Tolstikhin et al., 2018, section 4, have it."""


def known_shapes() -> list[str]:
    """The names that ``shape`` may have."""
    return ["none", *BY_ROW, *BY_SAMPLES, *(name for name in learned if name not in (*BY_ROW, *BY_SAMPLES))]


def stochastic(shape: str) -> bool:
    """Whether codes are distributions under this shape."""
    return shape in BY_ROW


def shape_terms(choices: Choices) -> list[Term]:
    """The terms that follow from ``shape`` and its weight; none for a plain autoencoder.

    Args:
        choices: resolved; the weight grows over the share ``warmup`` of the steps.

    Raises:
        ChoiceError: a shape that is not known; ``free_bits`` where codes are no distributions.
    """
    shape = choices.shape or "none"
    if shape not in known_shapes():
        raise unknown("shape", shape, known_shapes())
    if shape != "kl" and choices.free_bits:
        raise ChoiceError(f"free_bits are of shape=kl, whose codes are distributions, and shape is {shape}.")
    if (choices.code_prior or "").startswith("vq"):
        if shape != "none":
            raise ChoiceError(f"code_prior=vq quantises codes, and shape={shape} has no part in it; leave shape out.")
        weight = 0.25 if choices.shape_weight is None else choices.shape_weight
        return [Term(Commitment(), "code", "z", weight=weight, name="commitment")]
    if shape == "none":
        _require_no_more(choices)
        return []
    warm = choices.warmup or 0.0
    if shape == "kl":
        weight = 1.0 if choices.shape_weight is None else choices.shape_weight
        standard = (choices.code_prior or "normal") == "normal"
        divergence = FreeBits(choices.free_bits) if choices.free_bits else RowKL(standard)
        return [WarmedTerm(divergence, "prior", "code", "z", weight=weight, name="shape", share=warm)]
    given = choices.shape_weight
    if shape in BY_SAMPLES:
        weight = WEIGHT[shape] if given is None else given
        return [WarmedTerm(Samples(shape), "z", "prior", weight=weight, name="shape", share=warm)]
    assert choices.code is not None
    build: Any = learned[shape]
    critic = nn.Sequential(Dense(choices.code, (256, 256), activation="relu"), nn.Linear(256, 1), nn.Flatten(0))
    weight = CRITIC if given is None else given
    # What a critic says of rows held out is no score.
    return [
        WarmedTerm(build(critic, r1=0.1), "z", "prior", weight=weight, name="shape", share=warm, training_only=True)
    ]


def _require_no_more(choices: Choices) -> None:
    """Without a shape, refuse what is said of one.

    Raises:
        ChoiceError: its weight, its warm-up, or a prior that only a shape could bring codes to.
    """
    given = [name for name in ("shape_weight", "warmup") if getattr(choices, name)]
    if given:
        raise ChoiceError(
            f"{given[0]} is of what brings codes to their prior, and shape is none; choose a shape, e.g. shape=kl, or leave "
            f"{given[0]} out."
        )
    if (choices.code_prior or "").startswith("ball"):
        raise ChoiceError(
            "Nothing brings codes into a ball where shape is none: with code_prior=ball choose shape=mmd, cramer, wasserstein or "
            "js."
        )


class Samples(Divergence):
    """A distance between the codes of a batch, taken as samples, and as many draws of the prior; alike for every row, and in every
    process that has a share of the batch.

    ``mmd`` with the mean of the inverse multiquadratic kernels √(C / (C + d²)), of several C (``SCALES``), where the paper has
    the sum of C / (C + d²), whose tails are lighter; ``cramer`` the energy distance, both without bias; ``wasserstein`` the
    sliced W₂², by as many directions as a code has numbers, and at least 32.

    Args:
        kind: one of the three.

    References:
        Tolstikhin et al., `Wasserstein Auto-Encoders`, 2018 (mmd); Kolouri et al., `Sliced Wasserstein Auto-Encoders`, 2019;
        Knop et al., `Cramer-Wold Auto-Encoder`, 2020 (a kin of the energy distance).
    """

    formula = "D({p}, {t})"

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        assert isinstance(target, Distribution)
        codes, _ = collective.gather(predicted)
        if len(codes) < 2:
            return torch.zeros_like(predicted[:, 0])  # one code has no distribution
        with collective.drawing_alike():
            return self._distance(codes, target.sample((len(codes),))).expand(len(predicted))

    def _distance(self, codes: Tensor, drawn: Tensor) -> Tensor:
        width = codes.shape[1]
        if self.kind == "mmd":
            widths = [(scale * width) ** 0.5 for scale in SCALES]
            return two_sample.mmd(codes, drawn, widths, kernel="imq", unbiased=True)
        if self.kind == "cramer":
            return two_sample.energy_distance(codes, drawn, unbiased=True)
        return two_sample.sliced_wasserstein(codes, drawn, projections=max(width, 32)).square()

    def describe(self, predicted: str, target: str) -> str:
        """With the distance's own name."""
        names = {"mmd": "MMD²", "cramer": "energy distance", "wasserstein": "sliced W₂²"}
        return f"{names[self.kind]}({predicted} of the batch, {target})"


class RowKL(Divergence):
    """KL(code ‖ prior), row by row: in closed form where one is known, else log q(z given x) − log p(z) at the z that was drawn.

    In evaluation, where z is the code's mean, a z is drawn for it from torch's generator.

    Args:
        standard: whether the prior is known to be N(0, I), so that nothing need be divided by ones.
    """

    formula = "KL({t} ‖ {p})"

    def __init__(self, standard: bool = False) -> None:
        super().__init__()
        self.standard = standard

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Distribution)
        assert isinstance(target, Distribution)
        normals = _normals(predicted, target)
        if normals is not None and self.standard:
            q = normals[0]
            return (0.5 * (q.loc.square() + q.scale.square() - 1) - q.scale.log()).sum(-1)
        if normals is not None:
            return between_normals(*normals).sum(-1)
        try:
            closed: Tensor = torch.distributions.kl_divergence(target, predicted)
            return closed
        except NotImplementedError:
            z = given if self.training and isinstance(given, Tensor) else target.sample()
            drawn: Tensor = target.log_prob(z) - predicted.log_prob(z)
            return drawn


class Commitment(Divergence):
    """‖code − z‖², which keeps codes near the vectors that they are quantised to; no gradient of z."""

    formula = "‖{p} − {t}‖²"

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Tensor)
        assert isinstance(target, Tensor)
        return (predicted - target.detach()).square().sum(-1)


class FreeBits(Divergence):
    r"""KL(code ‖ prior) with λ nats of each number of a code free: Σ_j max(λ, mean over the batch of KL_j); alike for every row.

    The batch is that of all processes which share it.

    Args:
        free: λ, 0 or more.

    References:
        Kingma et al., `Improved Variational Inference with Inverse Autoregressive Flow`, 2016, appendix C.8.
    """

    formula = "Σ_j max(λ, KL_j({t} ‖ {p}))"

    def __init__(self, free: float) -> None:
        super().__init__()
        self.free = free

    def forward(self, predicted: Value, target: Value, given: Value | None = None) -> Tensor:
        assert isinstance(predicted, Distribution)
        assert isinstance(target, Distribution)
        normals = _normals(predicted, target)
        if normals is None:
            raise ChoiceError("free_bits are counted number by number: they want code_prior=normal.")
        each = between_normals(*normals)
        if not self.training:
            return each.sum(-1)
        return collective.mean(each, 0).clamp_min(self.free).sum().expand(len(each))

    def describe(self, predicted: str, target: str) -> str:
        """With λ."""
        return f"Σ_j max({self.free:g}, KL_j({target} ‖ {predicted}))"


def _normals(prior: Distribution, code: Distribution) -> tuple[Normal, Normal] | None:
    """(code, prior) number by number, where both are vectors of independent normals."""
    if not (isinstance(code, Independent) and isinstance(prior, Independent)):
        return None
    own, other = code.base_dist, prior.base_dist
    ranks = (code.reinterpreted_batch_ndims, prior.reinterpreted_batch_ndims)
    return (own, other) if ranks == (1, 1) and type(own) is type(other) is Normal else None


def between_normals(p: Normal, q: Normal) -> Tensor:
    """KL(p ‖ q), number by number: torch's closed form, without its search for one at every step."""
    ratio = (p.scale / q.scale).square()
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).square() - 1 - ratio.log())
