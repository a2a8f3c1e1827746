"""What a user may choose: every keyword of the estimators, every ``--set`` and every key of a run file, in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from trine.errors import ChoiceError, nearest


def _no_truth(value: Any) -> Any:
    """Refuse True and False where a number belongs: Python takes them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


NumberField = BeforeValidator(_no_truth)
Share = Annotated[float, Field(ge=0, lt=1), NumberField]
UpToOne = Annotated[float, Field(ge=0, le=1), NumberField]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), NumberField]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NumberField]
AtLeastOne = Annotated[int, Field(ge=1), NumberField]
AtLeastNone = Annotated[int, Field(ge=0), NumberField]
WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a word",
    "finite": "a finite number",
}
"""What is said in the place of pydantic's words, by how its kinds of errors begin."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
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
        sequence: how series and texts are read: ``convolutional``, ``gru``, ``lstm`` or ``rnn`` (Elman).
        units, layers, bidirectional: width of a recurrent layer (in each direction), how many are stacked, whether they
            read both ways.
        pooling: how the states of all steps become one: ``last``, ``mean``, ``max``, ``attention`` or ``places`` (the
            means of sixteen shares of a row and its length, as who is to give a row again needs them).
        audio: how sound enters: ``mel`` (log-mel spectrogram) or ``waveform``.
        augment: whether images are shifted at random while training; of pictures given pictures both alike.
        flip: ``none``, ``horizontal``, ``vertical`` or ``both``; derived by testing the invariance on training rows. Of pictures
            given pictures both are mirrored, and the default is ``none``.
        rule: decision rule by name (for several targets: a mapping from column to name).
        divergence: divergence of the supervised term; of a generator the one that is learned: ``relativistic``, ``js``,
            ``minimax``, ``wasserstein``, ``cramer``, ``hinge``, ``chi2`` and their kin.
        optimiser: ``adamw``, ``sgd`` or ``momentum``.
        step_size: α, the (peak) step size.
        schedule: ``constant``, ``robbins-monro``, ``cosine`` or ``onecycle``.
        weight_decay, clip, ema: decay of weights; bound on the gradient's norm (0: none); decay of the weights'
            exponential moving average (0: none).
        batch_size, epochs: examples a step; passes over the training rows.
        patience: epochs without improvement on held-out rows before stopping; 0 never stops early.
        autocast: ``none`` or ``bf16``.
        compile: whether to compile the model's step with ``torch.compile``.
        unknown: weight of the term that scores a blank row, so that a row with nothing known is answered by the prior.
        decoding, beams: how a sequence is predicted: ``greedy``, ``beam`` (of so many beams) or ``sample``.
        posterior: what stands in the place of one θ: ``none``, ``ensemble``, ``dropout``, ``swag``, ``laplace``, ``variational``
            or ``langevin``.
        draws: of a posterior, how many θ's are mixed; of an ensemble, how many networks; of an autoencoder with ``shape=kl``, how
            many z's a row's importance-weighted bound has (1: the evidence lower bound).
        curvature: of ``laplace``, ``last`` (the last linear map) or ``kron`` (all layers, Kronecker-factored).
        sampler, sampling_step, sampling_steps: of ``langevin``: ``sghmc``, ``psgld`` or ``sgld``; its step to begin with, as a
            share of the largest stable one; how many steps.
        prior: p(θ) of the weights: ``normal(width)``, ``laplace(width)`` or ``spike-slab(share, slab, spike)``.
        calibration: ``none``, ``temperature``, ``isotonic`` or ``conformal``; None adopts what clearly pays on rows held out.
        code: numbers in the code of an autoencoder.
        shape: how codes are shaped to their prior: ``none``, ``kl`` (row by row: variational), or a divergence between the codes
            and the prior as wholes: ``mmd``, ``cramer``, ``wasserstein``, or with a critic ``js`` and its kin.
        shape_weight: of that term. free_bits: nats of each number of a code that it leaves free. warmup: share of the steps in
            which its weight grows from 0.
        code_prior: p(z): ``normal``, ``ball``, ``mixture(10)``, ``vamp(100)``, ``categorical(8, 10)``, ``vq(512)``.
        sparsity: of the code: ``topk(k)``, ``lifetime(share)`` or ``l1(weight)``. corruption: share of the inputs destroyed,
            that the network has to restore. contraction: weight of ‖∂z/∂x‖².
        image: how pictures are read: ``convolutional`` (the maximum over places is kept), ``positional`` (convolutional, all places
            are kept) or ``dense``; an autoencoder draws them likewise. ``winners``: as a few strokes (winner-take-all maps).
        reconstruction: decision rule of x's columns by name (or a mapping from column to name).
        unlabelled: what rows without y are used for: ``none``, ``consistency`` (the same answer to another view of x),
            ``pseudo`` (the network's own sure answers as labels), ``propagation`` (consistency, then labels that spread over a
            graph of like rows), ``reconstruct`` (x from a code on the same encoder) or ``generative`` (x from its class and a
            style code: M2 with ``shape=kl``, an adversarial autoencoder with ``js`` and its kin).
        unlabelled_weight, confidence: of that term; probability from which an answer of the network's own counts.
        labelled_size: labelled rows in a batch beside unlabelled ones.
        noise: numbers of noise that a generator reads.
        penalty: γ, of ½ E‖∇ critic‖² on real and on generated samples. penalty_every: steps from one look at it to the next, which
            weighs as many times as much. critic_steps: of the critic, for each of the generator.
        pack: rows that a critic sees at once, so that it sees which modes are missing; 1: each by itself.
        critic_augment: probability with which what a critic sees is changed at random, differentiably.
        diversity: weight of the term that keeps what a condition gives under different noise apart; 0 leaves it out. Of
            pictures given pictures it is relative to ``likelihood``: at 1 the two are the energy score of each pixel.
        likelihood: where a picture is made of a picture, weight of −log q(true picture), independent Laplace around the made one, a
            number; where numbers and categories are made of noise, of −log p(true row given noise), a column. 0 leaves it out. Of
            two piles, the weight of what keeps the content: the cycle, or the contrast.
        content: of two piles, what keeps a translation to what it is a translation of: ``cycle`` or ``contrast`` (of places).
        identity_weight: of two piles of pictures, how much a pile's own rows are to stay as they are; 0 leaves it out.
        transport: of two piles of rows, the price of moving columns of the same name: of all maps from pile to pile the least
            costly; 0 leaves it out.
        history: of two piles, past translations that the critics still see; 0: none.
        sharding: of many processes, ``none``: each holds all parameters; ``full``: each holds its share.
    """

    hidden: tuple[AtLeastOne, ...] | None = None
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid"] | None = None
    normalization: Literal["none", "layer", "batch", "rms"] | None = None
    prenorm: bool | None = None
    residual: bool | None = None
    dropout: Share | None = None
    members: AtLeastOne | None = None
    numbers: Literal["piecewise", "periodic", "plain"] | None = None
    categories: Literal["embedding", "onehot"] | None = None
    channels: AtLeastOne | None = None
    sequence: Literal["convolutional", "gru", "lstm", "rnn"] | None = None
    units: AtLeastOne | None = None
    layers: AtLeastOne | None = None
    bidirectional: bool | None = None
    pooling: Literal["last", "mean", "max", "attention", "places"] | None = None
    audio: Literal["mel", "waveform"] | None = None
    augment: bool | None = None
    flip: Literal["none", "horizontal", "vertical", "both"] | None = None
    rule: str | dict[str, str] | None = None
    divergence: str | None = None
    optimiser: Literal["adamw", "sgd", "momentum"] | None = None
    step_size: Positive | None = None
    schedule: Literal["constant", "robbins-monro", "cosine", "onecycle"] | None = None
    weight_decay: NonNegative | None = None
    clip: NonNegative | None = None
    ema: Share | None = None
    batch_size: AtLeastOne | None = None
    epochs: AtLeastOne | None = None
    patience: AtLeastNone | None = None
    autocast: Literal["none", "bf16"] | None = None
    compile: bool = False
    unknown: Share | None = None
    decoding: Literal["greedy", "beam", "sample"] | None = None
    beams: AtLeastOne | None = None
    posterior: str | None = None
    draws: AtLeastOne | None = None
    curvature: Literal["last", "kron"] | None = None
    sampler: Literal["psgld", "sgld", "sghmc"] | None = None
    sampling_step: Positive | None = None
    sampling_steps: AtLeastOne | None = None
    prior: str | None = None
    code: AtLeastOne | None = None
    shape: str | None = None
    shape_weight: NonNegative | None = None
    free_bits: NonNegative | None = None
    warmup: UpToOne | None = None
    code_prior: str | None = None
    sparsity: str | None = None
    corruption: Share | None = None
    contraction: NonNegative | None = None
    image: Literal["convolutional", "positional", "dense", "winners"] | None = None
    reconstruction: str | dict[str, str] | None = None
    unlabelled: Literal["none", "consistency", "pseudo", "propagation", "reconstruct", "generative"] | None = None
    unlabelled_weight: NonNegative | None = None
    confidence: Share | None = None
    labelled_size: AtLeastOne | None = None
    noise: AtLeastOne | None = None
    penalty: NonNegative | None = None
    penalty_every: AtLeastOne | None = None
    critic_steps: AtLeastOne | None = None
    pack: AtLeastOne | None = None
    critic_augment: UpToOne | None = None
    diversity: NonNegative | None = None
    likelihood: NonNegative | None = None
    content: Literal["cycle", "contrast"] | None = None
    identity_weight: NonNegative | None = None
    transport: NonNegative | None = None
    history: AtLeastNone | None = None
    sharding: Literal["none", "full"] | None = None
    calibration: Literal["none", "temperature", "isotonic", "conformal"] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Choices:
        """Checked choices from names and values.

        Raises:
            ChoiceError: a name that is no choice, with the nearest; a value out of its range, with what is expected.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                like = nearest(name, names) or f" Choices: {', '.join(names)}."
                raise ChoiceError(f"There is no choice called {name!r}.{like}")
        try:
            return cls(**{name: _plain(name, value) for name, value in values.items()})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            wanted = _wanted(name, first)
            raise ChoiceError(f"{name} is {values.get(name)!r}. {wanted}.") from None

    def replace(self, **changes: Any) -> Choices:
        """A copy with some choices changed, checked as by :meth:`of`."""
        return self.of({**dataclasses.asdict(self), **changes})

    def to_json(self) -> dict[str, Any]:
        """The choices as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Choices:
        """The choices that :meth:`to_json` wrote."""
        return cls.of(data)


def _wanted(name: str, error: Mapping[str, Any]) -> str:
    """What a choice should be, of the first thing that pydantic found."""
    if name == "hidden":
        return "It should be widths, e.g. 256,256"
    kind = str(error["type"])
    if kind == "value_error":
        return "It should be a number"
    # "int_parsing", "int_from_float", "float_type", …
    plain = WANTED.get(kind.split("_")[0])
    return str(error["msg"]).replace("Input", "It") if plain is None else f"It should be {plain}"


def _plain(name: str, value: Any) -> Any:
    """A NumPy scalar as Python's own; one width as a list of one."""
    value = value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value
    return (value,) if name == "hidden" and isinstance(value, int) else value
