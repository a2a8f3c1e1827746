"""x alone: codes that x can be had from again, samples and what lies between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from torch import Tensor
from torch.distributions import Distribution

from trine.choices import Choices
from trine.data import Store
from trine.domains import Audio, Domain, Image, Series
from trine.errors import ChoiceError, DataError
from trine.estimators._arguments import count, seed_of, yes_or_no
from trine.estimators._batched import chunk_of
from trine.estimators._code_density import draw, fit_density
from trine.estimators._estimator import Estimator, estimators
from trine.estimators._plan import Prepared
from trine.estimators._training import Fitted
from trine.estimators._x_given_z import together, values_of
from trine.estimators.classification import _tag_inputs
from trine.evaluation import Evaluation
from trine.evaluation.codes import Finding, diagnose
from trine.evaluation.likelihood import LogLikelihood, bound, bounds_up_to, log_weights, summed
from trine.evaluation.reconstruction import evaluate_reconstruction
from trine.evaluation.remedies import longer
from trine.latents.unchanged import Unchanged
from trine.models import Autoencoder as Network

SHOWN_AT_ONCE, STEPS_AT_ONCE = 1024, 1_000_000
"""Codes decoded at a time, and the steps of series and sounds that they stand for."""
DENSITY_ROWS = 10_000
"""Training codes that a density is fitted to where nothing shaped them."""
FEWEST_DIAGNOSED, DIAGNOSED = 20, 2_000
"""Fewest and most rows that a diagnosis looks at."""
WEIGHTS = 2_000_000
"""Importance weights in memory at a time."""
MANY = "an importance-sampled likelihood takes 1 or more"
"""What is said of too few draws."""
EVALUATED = 5
"""Draws of each row's code that an evaluation takes."""


@estimators.register("autoencoder")
class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Estimator):  # type: ignore[misc]
    """A code for each x that x can be had from again, for x of any domains; its codes shaped to a prior by choice.

    The reconstruction is a likelihood in x's own domain, each column by its own rule, so that a squared error or a
    cross-entropy is derived and not assumed. With ``shape="kl"`` it is the variational autoencoder.

    Args:
        code: numbers in a code.
        shape: None or ``none`` (plain), ``kl`` (row by row), or a divergence between all codes and the prior: ``mmd``,
            ``cramer``, ``wasserstein``, or with a critic ``js`` and its kin.
        prior: p(z): ``normal``, ``ball``, ``mixture(k)``, ``vamp(k)``, ``categorical(variables, classes)``, ``vq(k)``. Without a
            shape ``mixture(k)``, fitted to the codes once training is over. ``mixture`` and ``vamp`` are learned beside
            ``shape="kl"`` alone.
        shape_weight: of the shape's term (β, λ).
        draws: with ``shape="kl"``, z's drawn for each row: more than 1 descend the importance-weighted bound
            −log 1/k Σ p(x, z)/q(z given x), which is tighter (Burda et al., 2016), at k times the decoder's cost.
        free_bits: nats of each number of a code that the term leaves free.
        warmup: share of the steps in which its weight grows from 0.
        sparsity: ``topk(k)``, ``lifetime(share)`` or ``l1(weight)``.
        corruption: share of the inputs destroyed in training, which the network has to restore.
        contraction: weight of ‖∂z/∂x‖², numbers of x in standard deviations.
        image: ``positional`` (convolutional) or ``dense``.
        reconstruction: decision rule of x's columns by name, or a mapping from column to name.
        hidden: widths of the dense layers of the encoder; the decoder has them in reverse.
        activation: ``relu``, ``gelu``, ``silu``, ``tanh`` or ``sigmoid``.
        normalization: ``none``, ``layer``, ``batch`` or ``rms``.
        residual: whether layers of equal width add their input.
        dropout: share of hidden units zeroed while training, in [0, 1).
        numbers: how numbers enter: ``piecewise``, ``periodic`` or ``plain``.
        categories: how categories enter: ``embedding`` or ``onehot``.
        channels: width of the first stage of a convolutional network.
        sequence: how series and texts are read: ``convolutional``, ``gru``, ``lstm`` or ``rnn``.
        units: width of a recurrent layer.
        audio: how sound enters: ``mel`` or ``waveform``.
        optimiser: ``adamw``, ``sgd`` or ``momentum``.
        step_size: (peak) step size.
        schedule: ``constant``, ``robbins-monro``, ``cosine`` or ``onecycle``.
        weight_decay: decoupled decay of the weights.
        clip: bound on the gradient's norm; 0 for none.
        ema: decay of the exponential moving average of the weights; 0 for none.
        batch_size: examples a step.
        epochs: passes over the training rows.
        patience: epochs without a better held-out score before stopping; 0 never stops early.
        autocast: ``none`` or ``bf16``.
        compile: whether to compile with ``torch.compile``.
        validation_fraction: share of the rows that decide when to stop.
        random_state: None, an integer or a numpy random state.
        threads: torch threads; None chooses.
        budget: seconds that training may take; None for no bound.
        verbose: whether to show progress on standard error.

    A parameter that is None is derived; ``print(model.derivation_)`` tells what was derived, and why.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> model = Autoencoder(code=2, epochs=5, random_state=0).fit(X)
        >>> model.transform(X).shape, model.inverse_transform(model.transform(X)).shape
        ((150, 2), (150, 4))
    """

    kind = "autoencoder"
    method = "autoencoder"

    def __init__(
        self,
        code: int | None = None,
        shape: str | None = None,
        prior: str | None = None,
        *,
        draws: int | None = None,
        shape_weight: float | None = None,
        free_bits: float | None = None,
        warmup: float | None = None,
        sparsity: str | None = None,
        corruption: float | None = None,
        contraction: float | None = None,
        image: str | None = None,
        reconstruction: str | Mapping[str, str] | None = None,
        hidden: tuple[int, ...] | None = None,
        activation: str | None = None,
        normalization: str | None = None,
        residual: bool | None = None,
        dropout: float | None = None,
        numbers: str | None = None,
        categories: str | None = None,
        channels: int | None = None,
        sequence: str | None = None,
        units: int | None = None,
        audio: str | None = None,
        optimiser: str | None = None,
        step_size: float | None = None,
        schedule: str | None = None,
        weight_decay: float | None = None,
        clip: float | None = None,
        ema: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        autocast: str | None = None,
        compile: bool = False,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        budget: float | None = None,
        verbose: bool = False,
    ) -> None:
        self.code = code
        self.shape = shape
        self.prior = prior
        self.draws = draws
        self.shape_weight = shape_weight
        self.free_bits = free_bits
        self.warmup = warmup
        self.sparsity = sparsity
        self.corruption = corruption
        self.contraction = contraction
        self.image = image
        self.reconstruction = reconstruction
        self.hidden = hidden
        self.activation = activation
        self.normalization = normalization
        self.residual = residual
        self.dropout = dropout
        self.numbers = numbers
        self.categories = categories
        self.channels = channels
        self.sequence = sequence
        self.units = units
        self.audio = audio
        self.optimiser = optimiser
        self.step_size = step_size
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip = clip
        self.ema = ema
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.autocast = autocast
        self.compile = compile
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads
        self.budget = budget
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        tags.target_tags.required = False
        return tags

    def get_choices(self) -> Choices:
        """The parameters that are choices; the prior of codes is ``code_prior`` among them."""
        names = set(self.get_params(deep=False)) - {"prior"}
        known = {name for name in Choices.__dataclass_fields__ if name in names}
        return Choices.of({**{name: getattr(self, name) for name in known}, "code_prior": self.prior})

    @classmethod
    def parameters_of(cls, choices: Mapping[str, Any]) -> dict[str, Any]:
        """What of ``choices`` are parameters of this estimator, under its own names."""
        return {**super().parameters_of(choices), "prior": choices["code_prior"]}

    # Fitting -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Derive model, criterion and procedure from X and train.

        Args:
            X: (rows, columns) array, data frame or mapping from column to values (numbers, text, missing values allowed), or
                (rows, height, width[, channels]) pixels.
            y: ignored, as in every transformer.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        self.from_arrays_ = True
        table, domains = self._check_inputs(X, reset=True)
        return self._fit(self._plan([], domains), table)

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        super()._finish(prepared, fitted)
        self.density_ = self._fit_density(prepared)
        self.shown_rows_: NDArray[np.int64] | None = prepared.rows.held_out
        self.evaluations_: dict[str, Evaluation] = {}
        if len(prepared.rows.held_out):
            evaluation = self._evaluate_store(prepared.store, prepared.rows.held_out)
            if len(prepared.rows.held_out) >= FEWEST_DIAGNOSED:
                found = self._diagnose(prepared.store, prepared.rows.held_out)
                evaluation.figures["diagnosis"] = [finding.to_json() for finding in found]
            self.evaluations_ = {"x": evaluation}
            self.metrics_ = {name: value.to_json()["metrics"] for name, value in self.evaluations_.items()}
        return self

    def _fit_density(self, prepared: Prepared) -> dict[str, Tensor]:
        """Of codes that nothing shaped: a density of the training codes, by which samples are drawn. Nothing for others."""
        from trine.methods.autoencoder import parts_afterwards

        choices = self.derivation_.choices
        most = parts_afterwards(choices.code_prior or "normal")
        if choices.shape not in (None, "none") or most is None:
            return {}
        train = prepared.rows.train
        # Of all kinds of rows, also where the file is sorted; in their order, which is theirs where all are taken.
        some = np.random.default_rng(self.plan_.seed).permutation(len(train))[:DENSITY_ROWS]
        rows = torch.from_numpy(train[np.sort(some)])
        with torch.inference_mode():
            parts = prepared.store.batches(torch.split(rows, chunk_of(prepared.store, prepared.schema)))
            codes = torch.cat([self._network.encode(batch)[1] for batch in parts]).double().numpy()
        return fit_density(codes, most, self.plan_.seed)

    def _more_tensors(self) -> dict[str, Tensor]:
        return self.density_

    def _take_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.density_ = tensors

    @property
    def _network(self) -> Network:
        network = self.derivation_.model
        assert isinstance(network, Network)
        return network

    @property
    def _n_features_out(self) -> int:
        return self._network.latent.width

    # Codes -------------------------------------------------------------------------------------------------------

    def transform(self, X: Any) -> NDArray[Any]:
        """(rows, code) the code of each row; of a stochastic code its mean, of categories the likeliest, as one-hot vectors.
        float64 where X is, else float32.
        """
        codes = self.represent(X)
        return codes.astype(np.float64) if getattr(X, "dtype", None) == np.float64 else codes

    def inverse_transform(self, Z: ArrayLike) -> Any:
        """What the codes (rows, code) stand for, in the user's units: the mean of numbers, the likeliest category.

        An array where it was fitted on one, else a mapping from column to values.

        Raises:
            DataError: another number of columns than a code has numbers.
        """
        return self._as_given(self.columns_of(Z))

    def columns_of(self, Z: ArrayLike) -> dict[str, NDArray[Any]]:
        """What :meth:`inverse_transform` gives, always as a mapping from column to values."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        z = self._codes(Z)
        parts: list[dict[str, NDArray[Any]]] = []
        with torch.inference_mode():
            for part in torch.split(z, self._at_once):
                parts.append(self._shown(self._network.decode(part)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def reconstruct(self, X: Any) -> Any:
        """The rows of ``X`` as they come back from their codes, in the form of :meth:`inverse_transform`."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n: int = 1, *, noise: bool | None = None, seed: int | None = None) -> Any:
        """``n`` new rows: z ~ p(z), then x given z, in the form of :meth:`inverse_transform`.

        Args:
            n: how many.
            noise: whether x is drawn from q(x given z), or its mean given; None: drawn, but of pictures the mean.
            seed: of the draw; None: the estimator's own.
        """
        return self._as_given(self.drawn_columns(n, noise=noise, seed=seed))

    def drawn_columns(self, n: int, *, noise: bool | None = None, seed: int | None = None) -> dict[str, NDArray[Any]]:
        """What :meth:`sample` gives, always as a mapping from column to values."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        n, noise = count("n", n, "at least 1 row is drawn"), yes_or_no("noise", noise)
        parts: list[dict[str, NDArray[Any]]] = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed_of(seed, self.plan_.seed))
            for size in [len(part) for part in torch.split(torch.empty(n), self._at_once)]:
                parts.append(self._shown(self._network.decode(self._drawn(size)), drawn=noise, draw=True))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _drawn(self, n: int) -> Tensor:
        """(n, width) z's from what codes are drawn from: the prior that shaped them, or the mixture fitted to them afterwards."""
        if not self.density_:
            return self._network.latent.prior().sample((n,))
        return draw(self.density_, n)

    def interpolate(self, a: Any, b: Any, steps: int = 8) -> Any:
        """What lies between each row of ``a`` and the same row of ``b``: codes on the straight line between theirs, decoded.

        A single picture, or the numbers of a single row, are one row.

        Returns:
            Rows in the form of :meth:`inverse_transform`: ``steps`` for the first pair, from a to b, then for the second.

        Raises:
            DataError: ``a`` and ``b`` have different numbers of rows. ChoiceError: fewer than 2 steps.
        """
        return self.inverse_transform(self._between(a, b, steps))

    def _between(self, a: Any, b: Any, steps: int) -> NDArray[np.float32]:
        """The codes that :meth:`interpolate` decodes."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        first, last = (torch.from_numpy(self.represent(_as_rows(rows, self.schema_.x))) for rows in (a, b))
        if len(first) != len(last):
            raise DataError(f"a has {len(first)} rows and b {len(last)}; give them in pairs.")
        steps = count("steps", steps, "a way has at least 2, its ends", 2)
        along = torch.linspace(0, 1, steps).view(1, -1, 1)
        found: NDArray[np.float32] = torch.lerp(first[:, None], last[:, None], along).flatten(0, 1).numpy()
        return found

    def _codes(self, Z: ArrayLike) -> Tensor:
        try:
            codes = np.asarray(Z, dtype=np.float32)
        except (TypeError, ValueError):
            raise DataError(
                "The codes are no numbers, or rows of several lengths; give an array (rows, numbers)."
            ) from None
        width = self._network.latent.width
        if codes.ndim != 2 or codes.shape[1] != width:
            raise DataError(
                f"The codes have the shape {codes.shape}; a code has {width} numbers: give (rows, {width})."
            )
        if not np.isfinite(codes).all():
            row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
            raise DataError(f"The code in row {row + 1} has a number that is not finite.")
        return torch.from_numpy(codes)

    def _shown(
        self, found: Mapping[str, Distribution], drawn: bool | None = False, draw: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Column → values in the user's units."""
        shown: dict[str, NDArray[Any]] = {}
        for name, q in found.items():
            domain = self.schema_.x[name]
            noisy = not isinstance(domain, Image) if drawn is None and draw else bool(drawn)
            shown[name] = values_of(domain, q, noisy)
        # The network has what is drawn together last; a user knows the order of the table.
        return {name: shown[name] for name in self.schema_.x if name in shown}

    def _as_given(self, columns: dict[str, NDArray[Any]]) -> Any:
        """Columns in the form that X had: one array, of pictures or of numbers; else the columns."""
        if not self._from_arrays() or set(columns) != set(self.schema_.x):
            return columns
        only, values = next(iter(self.schema_.x.values())), next(iter(columns.values()))
        if len(columns) == 1 and isinstance(only, Image):
            return values
        if getattr(self, "feature_names_in_", None) is not None:
            return columns
        if len(columns) == 1 and only.ragged:
            return together(only, values)
        return np.stack([columns[name] for name in self.schema_.x], axis=1)

    @property
    def _at_once(self) -> int:
        """Codes decoded at a time: fewer where each stands for many steps."""
        steps = [domain.samples[1] for domain in self.schema_.x.values() if isinstance(domain, Audio)]
        steps += [domain.furthest for domain in self.schema_.x.values() if isinstance(domain, Series)]
        return min(SHOWN_AT_ONCE, max(STEPS_AT_ONCE // max(steps, default=1), 1))

    # How good ----------------------------------------------------------------------------------------------------

    def score(self, X: Any, y: Any = None, *, samples: int = 100) -> float:
        """Mean log-likelihood of the rows, in nats, of codes that are distributions by importance sampling: see
        :meth:`log_likelihood`. The larger the better.
        """
        return float(np.mean(self.score_samples(X, samples=samples)))

    def score_samples(self, X: Any, *, samples: int = 100) -> NDArray[np.float64]:
        """(rows,) log p(x), in nats, by :meth:`log_likelihood`; where codes are numbers, log q(x given z) at each row's own code,
        which is no likelihood of x but of its reconstruction.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        samples = count("samples", samples, MANY)
        if self._network.latent.stochastic:
            return self.log_likelihood(X, samples).value
        store, _ = self._encode(X)
        parts = [part["reconstruction"] for part in self._scored(store, np.arange(store.rows))]
        return np.concatenate(parts)

    def log_likelihood(self, X: Any, samples: int = 100, seed: int | None = None) -> LogLikelihood:
        """Log p(x) of each row by importance sampling, with its standard error and the bounds on the way.

        Args:
            X: rows. samples: draws of each row's code; 5,000 is what papers take, 100 is within a nat where codes are good.
            seed: of the draws; None: the estimator's own.

        Raises:
            ChoiceError: codes are no distributions (``shape`` is not ``kl``); fewer than 1 sample.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        network = self._network.eval()
        if not network.latent.stochastic:
            raise ChoiceError(
                f"log p(x) is an integral over codes, and under shape={self.derivation_.choices.shape} each row has one code. "
                "Fit with shape='kl', or take score_samples, the likelihood of the reconstruction."
            )
        samples = count("samples", samples, MANY)
        store, _ = self._encode(X)
        rows = max(min(chunk_of(store, self.schema_), WEIGHTS // samples), 1)
        parts: list[tuple[Tensor, Tensor]] = []
        sums: dict[int, float] = {}
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed_of(seed, self.plan_.seed))
            for batch in store.batches(torch.split(torch.arange(store.rows), rows)):
                code, _ = network.encode(batch)
                assert isinstance(code, Distribution)
                log_w = log_weights(code, network.latent.prior(), partial(network.log_prob, batch=batch), samples)
                parts.append(summed(log_w.double()))
                for k in bounds_up_to(samples):
                    sums[k] = sums.get(k, 0.0) + float(bound(log_w.double(), k)) * batch.size
        value, error = (torch.cat(found).numpy() for found in zip(*parts, strict=True))
        return LogLikelihood(value, error, samples, {k: total / store.rows for k, total in sums.items()})

    def diagnose(self, X: Any) -> list[Finding]:
        """What is wrong with the codes of ``X``, in words and with a remedy: see :func:`trine.evaluation.codes.diagnose`.

        Args:
            X: rows that were not trained on, at least 20 and best some hundreds; of more, 2,000 are drawn.

        Raises:
            DataError: fewer than 20 rows.
        """
        store, _ = self._encode(X)
        if store.rows < FEWEST_DIAGNOSED:
            rows = f"{store.rows} row{'' if store.rows == 1 else 's'}"
            raise DataError(
                f"The codes of {rows} tell nothing of how codes lie; give a diagnosis {FEWEST_DIAGNOSED} rows or more."
            )
        return self._diagnose(store, np.arange(store.rows))

    def _diagnose(self, store: Store, rows: NDArray[np.int64]) -> list[Finding]:
        network = self._network.eval()
        # Files are often sorted: the first rows are of one kind, and so is a row's neighbour, whose code is then no other one.
        index = torch.from_numpy(np.random.default_rng(self.plan_.seed).permutation(rows)[:DIAGNOSED])
        means, draws, own, other = [], [], [], []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(self.plan_.seed)
            for batch in store.batches(torch.split(index, chunk_of(store, self.schema_))):
                code, z = network.encode(batch)
                means.append(code.mean if isinstance(code, Distribution) and _has_mean(code) else z)
                draws.append(code.sample() if isinstance(code, Distribution) else z)
                own.append(network.log_prob(z, batch))
                other.append(network.log_prob(z.roll(1, 0), batch))
            drawn = torch.cat(draws)
            prior = network.latent.prior().sample((len(drawn),))
        choices = self.derivation_.choices
        return diagnose(
            torch.cat(means).numpy(),
            drawn,
            prior,
            torch.cat(own).numpy(),
            torch.cat(other).numpy(),
            stochastic=network.latent.stochastic,
            shaped=choices.shape not in (None, "none"),
            sparse=network.sparsity is not None or isinstance(network.latent, Unchanged),
            seed=self.plan_.seed,
            longer=longer(self.provenance_.get("stopped")),
        )

    def evaluate(self, data: Any) -> Evaluation:
        """How well rows come back from their codes, with bootstrap intervals, beside the columns' means and shares."""
        store, _ = self._encode(data)
        return self._evaluate_store(store, np.arange(store.rows))

    def predictions(self, data: Any) -> dict[str, NDArray[Any]]:
        """Refused: there is no y.

        Raises:
            ChoiceError: always; says what there is in its place.
        """
        raise ChoiceError(
            "An autoencoder has no y to predict; `trine encode` writes codes and `trine reconstruct` what comes back from them."
        )

    def evaluate_all(self, data: Any) -> dict[str, Evaluation]:
        """``{"x": evaluation}``, as other estimators have one a target."""
        return {"x": self.evaluate(data)}

    def _evaluate_store(self, store: Store, rows: NDArray[np.int64]) -> Evaluation:
        parts = list(self._scored(store, rows))
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return evaluate_reconstruction(found, self.schema_.x, rows + 1, self.plan_.seed)

    def _scored(self, store: Store, rows: NDArray[np.int64]) -> Iterator[dict[str, NDArray[np.float64]]]:
        """A chunk of rows at a time: ``reconstruction``, log q(x given z) at the code's mean; of codes that are distributions
        ``log_likelihood``, ``elbo``, by draws, and ``divergence``; for each term of the reconstruction its ``nll:<name>``; of
        numbers and categories ``error:<column>``, ``trivial:<column>``, ``known:<column>`` (see :mod:`trine.evaluation`).
        """
        from trine.methods.autoencoder import reconstruction_terms

        network = self._network.eval()
        terms = reconstruction_terms(network)
        index = torch.from_numpy(rows)
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(self.plan_.seed)
            for batch in store.batches(torch.split(index, chunk_of(store, self.schema_))):
                outputs = network(batch)
                found: dict[str, NDArray[np.float64]] = {}
                total = torch.zeros(batch.size, dtype=torch.float64)
                for term in terms:
                    value = term.values(outputs, batch).double()
                    total -= value
                    found[f"nll:{term.name}"] = value.numpy()
                found["reconstruction"] = total.numpy()
                code, prior = outputs["code"], outputs["prior"]
                if isinstance(code, Distribution):
                    # At the code's mean, the reconstruction less the divergence would be no bound: most codes of q do worse.
                    log_w = log_weights(code, prior, partial(network.log_prob, batch=batch), EVALUATED).double()
                    found["log_likelihood"], found["elbo"] = summed(log_w)[0].numpy(), log_w.mean(0).numpy()
                    found["divergence"] = row_divergence(prior, code).double().numpy()
                for name, q in network.decode(outputs["z"]).items():
                    found |= measured(self.schema_.x[name], name, q, batch)
                yield found


def _has_mean(code: Distribution) -> bool:
    return code.mean.shape == torch.Size([*code.batch_shape, *code.event_shape])


def row_divergence(prior: Distribution, code: Distribution) -> Tensor:
    """(rows,) KL(code ‖ prior)."""
    from trine.methods._shapes import RowKL

    found: Tensor = RowKL().eval()(prior, code)
    return found


def measured(domain: Domain, name: str, q: Distribution, batch: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Of one column: squared error of a number (per pixel of a picture) or 0/1 of a category, what the training rows' mean or
    commonest category would have had, and which rows have a value.
    """
    from trine.evaluation.reconstruction import compared

    return {f"{kind}:{name}": value for kind, value in compared(domain, q, batch, f"x.{name}").items()}


def _as_rows(given: Any, domains: Mapping[str, Domain]) -> Any:
    """A single picture, or the numbers of a single row, as the only row; anything else as it is."""
    first = next(iter(domains.values()))
    shape = getattr(given, "shape", None)
    if shape is None or not hasattr(given, "ndim"):
        return given
    if isinstance(first, Image) and len(domains) == 1:
        single = given.ndim == 2 or tuple(shape) == (first.height, first.width, first.channels)
    else:
        single = given.ndim == 1 and 1 < len(given) == len(domains)
    return given[None] if single and isinstance(given, np.ndarray | Tensor) else given
