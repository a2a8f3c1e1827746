"""What classification and regression share: arrays in scikit-learn's manner, q(y given x), evaluation, predictions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.distributions import Distribution

from trine.data import Store, Table
from trine.domains import Domain
from trine.errors import ArtefactError, DataError, SchemaError
from trine.estimators._answers import answer, divided, written
from trine.estimators._batched import concatenate, select
from trine.estimators._calibration import fit_calibrations, rows_of
from trine.estimators._estimator import Estimator
from trine.estimators._novelty import joined
from trine.estimators._plan import Prepared, decode_target
from trine.estimators._training import Fitted
from trine.evaluation import Evaluation, evaluate, reduced, remembered
from trine.evaluation.novelty import Novelty, describe
from trine.rules import in_units

TOLD = ("coverage_90", "nll", "log_loss", "calibration_error")
"""Metrics that are told before and after calibration."""
TARGET = "y"
"""Name of the target column when it comes as an array of its own."""


class Supervised(Estimator):
    """Base of :class:`Classifier` and :class:`Regressor`: q(y given x) from pairs (x, y).

    Args:
        hidden: widths of the dense layers.
        activation: ``relu``, ``gelu``, ``silu``, ``tanh`` or ``sigmoid``.
        normalization: ``none``, ``layer``, ``batch`` or ``rms``.
        prenorm: whether normalisation comes before the linear map.
        residual: whether dense layers of equal width add their input.
        dropout: share of hidden units zeroed while training, in [0, 1).
        members: number of weight-sharing members of a table's network.
        numbers: how numbers enter: ``piecewise``, ``periodic`` or ``plain``.
        categories: how categories enter: ``embedding`` or ``onehot``.
        channels: width of the first stage of a convolutional network.
        sequence: how series and texts are read: ``convolutional``, ``gru``, ``lstm`` or ``rnn``.
        units: width of a recurrent layer, in each direction.
        layers: recurrent layers that are stacked.
        bidirectional: whether they read both ways.
        pooling: how states over time become one: ``last``, ``mean``, ``max`` or ``attention``.
        audio: how sound enters: ``mel`` or ``waveform``.
        augment: whether images are shifted at random while training.
        flip: ``none``, ``horizontal``, ``vertical`` or ``both``.
        rule: decision rule by name, e.g. ``softmax`` or ``gamma``.
        divergence: ``kl`` (default), ``cramer`` or ``mmd``; ``wasserstein`` and ``wasserstein2`` are no proper scores.
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
        unknown: weight of the term that scores a row with nothing known.
        decoding: how a sequence is predicted: ``greedy``, ``beam`` or ``sample``.
        beams: of a beam search.
        posterior: ``none``, ``ensemble``, ``dropout``, ``swag``, ``laplace``, ``variational`` or ``langevin``: predict with the
            mixture over p(θ given X, Y) in the place of one θ.
        draws: how many θ's are mixed.
        curvature: of ``laplace``: ``last`` or ``kron``.
        sampler: of ``langevin``: ``sghmc``, ``psgld`` or ``sgld``.
        sampling_step: its step to begin with, as a share of the largest stable one.
        sampling_steps: how many; by default as many as the descent took, and at least 2,000.
        prior: of the weights: ``normal(width)``, ``laplace(width)`` or ``spike-slab(share, slab, spike)``; without a posterior
            the mode of p(θ given X, Y) is found (MAP).
        sharding: ``none`` or ``full``: whether each of many processes holds only its share of the parameters.
        calibration: ``none``, ``temperature``, ``isotonic`` or ``conformal``, by the rows that decided when to stop; None adopts
            one of the first three where it clearly pays.
        class_weight: None, ``"balanced"``, or a mapping from class to weight (classification only).
        validation_fraction: share of the rows that decide when to stop.
        random_state: None, an integer or a numpy random state.
        threads: torch threads; None chooses.
        budget: seconds that training may take; None for no bound.
        verbose: whether to show progress on standard error.

    A parameter that is None is derived from the domains and the number of rows; ``print(model.derivation_)`` tells
    what was derived, and why.
    """

    method = "supervised"

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] | None = None,
        activation: str | None = None,
        normalization: str | None = None,
        prenorm: bool | None = None,
        residual: bool | None = None,
        dropout: float | None = None,
        members: int | None = None,
        numbers: str | None = None,
        categories: str | None = None,
        channels: int | None = None,
        sequence: str | None = None,
        units: int | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        pooling: str | None = None,
        audio: str | None = None,
        augment: bool | None = None,
        flip: str | None = None,
        rule: str | None = None,
        divergence: str | None = None,
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
        unknown: float | None = None,
        decoding: str | None = None,
        beams: int | None = None,
        posterior: str | None = None,
        draws: int | None = None,
        curvature: str | None = None,
        sampler: str | None = None,
        sampling_step: float | None = None,
        sampling_steps: int | None = None,
        prior: str | None = None,
        sharding: str | None = None,
        calibration: str | None = None,
        class_weight: str | Mapping[Any, float] | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        budget: float | None = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.normalization = normalization
        self.prenorm = prenorm
        self.residual = residual
        self.dropout = dropout
        self.members = members
        self.numbers = numbers
        self.categories = categories
        self.channels = channels
        self.sequence = sequence
        self.units = units
        self.layers = layers
        self.bidirectional = bidirectional
        self.pooling = pooling
        self.audio = audio
        self.augment = augment
        self.flip = flip
        self.rule = rule
        self.divergence = divergence
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
        self.unknown = unknown
        self.decoding = decoding
        self.beams = beams
        self.posterior = posterior
        self.draws = draws
        self.curvature = curvature
        self.sampler = sampler
        self.sampling_step = sampling_step
        self.sampling_steps = sampling_steps
        self.prior = prior
        self.sharding = sharding
        self.calibration = calibration
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads
        self.budget = budget
        self.verbose = verbose

    # Fitting -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Derive model, criterion and procedure from (X, y) and train.

        Args:
            X: (rows, columns) array or data frame (numbers, text, missing values allowed), or (rows, height, width[,
                channels]) pixels.
            y: (rows,) targets, all known.
            sample_weight: (rows,) non-negative weights.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        from sklearn.utils.validation import _check_sample_weight

        self.from_arrays_ = True
        target = self._check_target(X, y)
        table, domains = self._check_inputs(X, reset=True)
        if table.rows != len(target):
            raise DataError(f"X has {table.rows} rows and y has {len(target)}; give one target for each row.")
        weight = None
        if sample_weight is not None:
            weight = np.asarray(
                _check_sample_weight(sample_weight, np.empty((table.rows, 0)), ensure_non_negative=True)
            )
        name = TARGET
        while name in table:
            name += "_"
        labelled = table.with_column(name, target)
        plan = self._plan([name], {**domains, name: self._target_domain(labelled, name)})
        return self._fit(plan, labelled, weight)

    def _check_target(self, X: Any, y: ArrayLike) -> NDArray[Any]:
        """``y`` as a valid (rows,) array, in scikit-learn's words where it is not."""
        raise NotImplementedError

    def _target_domain(self, table: Table, name: str) -> str | Domain:
        """What kind of y this estimator takes the target for."""
        raise NotImplementedError

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        super()._finish(prepared, fitted)
        self._learn_schema()
        rows = rows_of(prepared)
        if len(rows):
            found = self._reduced(prepared.store, torch.from_numpy(rows))
            self.calibrations_ = fit_calibrations(prepared, rows, found, prepared.derivation.choices.calibration)
        self.evaluations_: dict[str, Evaluation] = {}
        if len(prepared.rows.held_out):
            self.evaluations_ = self._evaluate_store(
                prepared.store, prepared.rows.held_out, marginal=prepared.marginal(), numbers=prepared.rows.held_out
            )
            self.metrics_ = {name: value.to_json()["metrics"] for name, value in self.evaluations_.items()}
        return self

    # Using -------------------------------------------------------------------------------------------------------

    @property
    def target_(self) -> str:
        """The only target column.

        Raises:
            SchemaError: there are several; use :meth:`predict_distributions`.
        """
        if len(self.schema_.y) > 1:
            raise SchemaError(f"The model has the targets {', '.join(self.schema_.y)}; use predict_distributions.")
        return next(iter(self.schema_.y))

    def predict_distributions(self, X: Any) -> dict[str, Distribution]:
        """Target → q(y given x) for the rows of ``X``, in the user's units (class codes for categories)."""
        store, _ = self._encode(X)
        return self._distributions(store)

    def predict_distribution(self, X: Any) -> Distribution:
        """q(y given x), a ``torch.distributions.Distribution`` with batch shape (rows,), in the user's units.

        For a categorical y it is a ``Categorical`` over ``classes_``.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return self.predict_distributions(X)[self.target_]

    def novelty(self, X: Any) -> Novelty:
        """How unlike the training data the rows of ``X`` are: ``score``, conformal ``p`` and ``flagged``, each (rows,).

        Rows with nothing known are flagged, unless training had such rows.

        Raises:
            ArtefactError: the model was saved by a trine that had no detector.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        if self.novelty_ is None:
            raise ArtefactError(
                "The model has no novelty detector: it was saved by an older trine, or has no inputs. Fit it again."
            )
        store, _ = self._encode(X)
        return joined([outputs["novelty"] for outputs in self._outputs(store, assess=True)])

    def _distributions(self, store: Store, rows: torch.Tensor | None = None) -> dict[str, Distribution]:
        parts: dict[str, list[Distribution]] = {name: [] for name in self.schema_.y}
        for outputs in self._outputs(store, rows):
            for name in parts:
                parts[name].append(outputs[f"y_hat.{name}"])
        with torch.inference_mode():
            return {name: self._in_units(name, concatenate(qs)) for name, qs in parts.items()}

    def _in_units(self, name: str, q: Distribution) -> Distribution:
        """A target's q in the user's units, calibrated."""
        found = in_units(self.schema_.y[name], q)
        return self.calibrations_[name](found) if name in self.calibrations_ else found

    def _chunks(
        self, store: Store, rows: torch.Tensor | None = None, seen: list[Novelty] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Target → q(y given x) in the user's units, or what :func:`~trine.evaluation.reduced` keeps of it, by chunks.

        With ``seen``, how novel the rows are is put there, where there is a detector.
        """
        choices = self.derivation_.choices
        noise = torch.Generator().manual_seed(self.plan_.seed)
        for batch, outputs in self._batches(store, rows, assess=seen is not None):
            if seen is not None and "novelty" in outputs:
                seen.append(outputs["novelty"])
            with torch.inference_mode(), _seeded(noise):
                found: dict[str, Any] = {}
                for name, domain in self.schema_.y.items():
                    kept = reduced(domain, outputs[f"y_hat.{name}"], batch.get(f"y.{name}"), choices)
                    found[name] = self._in_units(name, kept) if isinstance(kept, Distribution) else kept
            yield found

    def _reduced(
        self, store: Store, rows: torch.Tensor | None = None, seen: list[Novelty] | None = None
    ) -> dict[str, Any]:
        """Target → what :meth:`_chunks` gives, of all rows together."""
        parts: dict[str, list[Any]] = {name: [] for name in self.schema_.y}
        for found in self._chunks(store, rows, seen):
            for name, part in found.items():
                parts[name].append(part)
        with torch.inference_mode():
            return {name: _together(found) for name, found in parts.items()}

    def _answers(self, X: Any) -> dict[str, NDArray[Any]]:
        """Target → (rows, ...) predictions, in the user's units or labels."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        store, _ = self._encode(X)
        return {name: answer(self.schema_.y[name], q) for name, q in self._reduced(store).items()}

    def evaluate(self, data: Any, y: ArrayLike | None = None) -> Evaluation:
        """Metrics with bootstrap intervals on rows that have the target, against the trivial prediction.

        Args:
            data: table or file with the target column; or inputs alone, with ``y`` beside them.
            y: (rows,) targets when they are not a column of ``data``.
        """
        return self.evaluate_all(data, y)[self.target_]

    def evaluate_all(self, data: Any, y: ArrayLike | None = None) -> dict[str, Evaluation]:
        """Target → :class:`~trine.evaluation.Evaluation`."""
        table = self._table(data)
        if y is not None:
            table = table.with_column(self.target_, np.asarray(y))
        absent = [name for name in self.schema_.y if name not in table]
        if absent:
            raise DataError(f"The data lack the target column {absent[0]!r}; evaluation needs it beside the inputs.")
        store, _ = self._encode(table, targets=True)
        return self._evaluate_store(store, np.arange(store.rows), numbers=None)

    def _evaluate_store(
        self,
        store: Store,
        rows: NDArray[np.int64],
        *,
        marginal: Mapping[str, NDArray[Any]] | None = None,
        numbers: NDArray[np.int64] | None = None,
    ) -> dict[str, Evaluation]:
        if marginal is not None:
            self.marginal_ = dict(marginal)
        seen: list[Novelty] = []
        found = self._reduced(store, torch.from_numpy(rows), seen)
        result: dict[str, Evaluation] = {}
        for name, domain in self.schema_.y.items():
            truth, known = decode_target(store, self.schema_, name, rows)
            if not len(truth):
                raise DataError(f"No row has a known {name!r}; evaluation needs at least one.")
            q = found[name] if known.all() else _known(found[name], np.flatnonzero(known))
            seen_y = getattr(self, "marginal_", {}).get(name)
            result[name] = evaluate(
                domain,
                truth,
                q,
                marginal=remembered(domain) if seen_y is None else seen_y,
                rows=(rows if numbers is None else numbers)[known] + 1,
                seed=self.plan_.seed,
            )
        self._compare_with_uncalibrated(store, rows, result)
        if seen and self.novelty_ is not None:
            # It is about x: told once, however many targets there are.
            shown = describe(self.novelty_, joined(seen), rows + 1)
            next(iter(result.values())).figures["novelty"] = shown
        return result

    def _compare_with_uncalibrated(self, store: Store, rows: NDArray[np.int64], result: dict[str, Evaluation]) -> None:
        """Put beside each calibrated target's figures what the metrics are without, and what was looked at where none was
        adopted.
        """
        for name, calibration in self.calibrations_.items():
            if name in result:
                result[name].figures["calibrated"] = {**calibration.to_json(), "before": {}}
        changed = [name for name, calibration in self.calibrations_.items() if calibration.kind != "none"]
        if not changed:
            return
        kept, self.calibrations_ = self.calibrations_, {}
        try:
            found = self._reduced(store, torch.from_numpy(rows))
        finally:
            self.calibrations_ = kept
        for name in changed:
            truth, known = decode_target(store, self.schema_, name, rows)
            q = found[name] if known.all() else _known(found[name], np.flatnonzero(known))
            before = evaluate(self.schema_.y[name], truth, q, rows=rows[known] + 1, seed=self.plan_.seed)
            shown = result[name].figures["calibrated"]
            shown["before"] = {key: before.metrics[key].value for key in TOLD if key in before.metrics}
            for figure in ("coverage", "calibration"):
                if figure in before.figures:
                    shown[figure] = before.figures[figure]

    def predictions(self, data: Any) -> dict[str, NDArray[Any]]:
        """What ``trine predict`` writes: the key or row number, then for each target the prediction and how sure it is.

        Categories: the class and each class's probability. Numbers: the mean, a central 90 % interval, and the parameters
        of the distribution. With a posterior also ``<target>_aleatoric`` and ``<target>_epistemic``: what of the spread the data
        leave open and what θ leaves open (see :func:`trine.rules.spread`). Last ``novelty``, how far the row lies from the
        training data, and ``novelty_p``, the share of rows like the training rows that lie as far off (:meth:`novelty`).
        """
        store, table = self._encode(data)
        key = self.schema_.key
        columns: dict[str, NDArray[Any]] = {}
        if key is not None and key in table:
            column = table.column(key)
            columns[key] = column.values if column.levels is None else column.levels[column.values]
        else:
            columns["row"] = np.arange(1, table.rows + 1)
        parts: dict[str, list[NDArray[Any]]] = {}
        seen: list[Novelty] = []
        for found in self._chunks(store, seen=seen):
            for name, q in found.items():
                for title, values in {**written(self.schema_.y[name], name, q), **divided(name, q)}.items():
                    # Two targets may have classes of one name.
                    taken = title in columns or (len(found) > 1 and title.startswith("p("))
                    parts.setdefault(f"{name}_{title}" if taken else title, []).append(values)
        columns |= {title: np.concatenate(values) for title, values in parts.items()}
        if seen:
            novelty = joined(seen)
            columns.update({_free("novelty", columns): novelty.score, _free("novelty_p", columns): novelty.p})
        return columns


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


@contextlib.contextmanager
def _seeded(noise: torch.Generator) -> Iterator[None]:
    """Inside, torch's random numbers go on from where ``noise`` stands; outside nothing changes."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(noise.get_state())
        yield
        noise.set_state(torch.get_rng_state())


def _together(parts: Sequence[Any]) -> Any:
    """The chunks' distributions, or named arrays, as one."""
    if not isinstance(parts[0], dict):
        return concatenate(parts)
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _known(found: Any, rows: NDArray[np.int64]) -> Any:
    """What was found, at ``rows``."""
    if isinstance(found, dict):
        return {key: value[rows] for key, value in found.items()}
    return select(found, torch.from_numpy(rows))
