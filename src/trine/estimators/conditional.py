"""New y's for a given x: a generator and a critic that see x."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from trine.data import Table, read
from trine.domains import Category, Image, Numeric
from trine.errors import ChoiceError, DataError
from trine.estimators._arguments import count, seed_of
from trine.estimators._estimator import estimators
from trine.estimators._generating import AT_ONCE, Generating, unwrapped, with_columns
from trine.estimators._picture_ways import TILE, Way, translated
from trine.estimators._plan import Prepared, whole
from trine.estimators._scored.pairs import FEATURES, judged_as_pairs, pair_metrics, space_of
from trine.estimators._scored.samples import evaluate_samples_of, seen_rows
from trine.estimators._training import Fitted
from trine.estimators.classification import _tag_inputs
from trine.evaluation import Evaluation
from trine.evaluation.features import feature_space
from trine.models import PictureTranslation
from trine.models.picture_translation import GRAIN

TARGET = "y"
"""What the column of an array y is called."""


@estimators.register("conditional_gan")
class ConditionalGAN(Generating):
    """New y's for a given x: any x that has an encoder, any y that a generator makes.

    Args:
        diversity: weight of the term that keeps a condition's answers under different noise apart (mode seeking; of pictures given
            pictures with a likelihood, their spread, at 1 as far as the data leave open); 0 leaves it out.
        likelihood: of pictures given pictures, weight of the true picture's likelihood around the made one; 0 leaves it out.
        augment, flip: of pictures given pictures, whether training shifts a pair at random (by up to 3/32 of a side) and mirrors
            it (``horizontal``, ``vertical``, ``both``; default ``none``): both pictures alike. Where content has no upright,
            as seen from above, few pairs become many.
        sequence, numbers, categories, audio: how the columns of x are read; see :class:`~trine.Classifier`.

    The other parameters are those of :class:`GAN`.
    """

    kind = "conditional_gan"
    method = "conditional_gan"
    side = "y"

    def __init__(
        self,
        divergence: str | None = None,
        *,
        diversity: float | None = None,
        likelihood: float | None = None,
        noise: int | None = None,
        penalty: float | None = None,
        penalty_every: int | None = None,
        critic_steps: int | None = None,
        critic_augment: float | None = None,
        augment: bool | None = None,
        flip: str | None = None,
        hidden: tuple[int, ...] | None = None,
        channels: int | None = None,
        sequence: str | None = None,
        numbers: str | None = None,
        categories: str | None = None,
        audio: str | None = None,
        optimiser: str | None = None,
        step_size: float | None = None,
        schedule: str | None = None,
        ema: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        budget: float | None = None,
        verbose: bool = False,
    ) -> None:
        self.divergence = divergence
        self.diversity = diversity
        self.likelihood = likelihood
        self.noise = noise
        self.penalty = penalty
        self.penalty_every = penalty_every
        self.critic_steps = critic_steps
        self.critic_augment = critic_augment
        self.augment = augment
        self.flip = flip
        self.hidden = hidden
        self.channels = channels
        self.sequence = sequence
        self.numbers = numbers
        self.categories = categories
        self.audio = audio
        self.optimiser = optimiser
        self.step_size = step_size
        self.schedule = schedule
        self.ema = ema
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads
        self.budget = budget
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        _tag_inputs(tags)
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Derive model, criterion and procedure from pairs (x, y) and train.

        Args:
            X: the conditions: (rows, columns) array, tensor, data frame or mapping of columns, or pixels; a single column of
                labels or numbers may be (rows,).
            y: (rows, ...) what is to be made: pixels, (rows, height, width[, channels]), numbers or categories, (rows,); or a
                data frame, each of whose columns is made.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        self.from_arrays_ = True
        given = _conditions(X)
        table, domains = self._check_inputs(given, reset=True)
        if isinstance(given, np.ndarray) and given.shape[1:] == (1,) and given.dtype.kind in "biu":
            table, domains = (
                read(given),
                {},
            )  # a few whole numbers alone are classes, as they are in a column of a table
        targets: dict[str, NDArray[Any]] = {}
        for name, values in _targets(y).items():
            while name in table or name in targets:
                name += "_"
            targets[name] = values
        return self._fit(self._plan(list(targets), domains), with_columns(table, targets))

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        super()._finish(prepared, fitted)
        network = self._network
        if self.evaluations_ and isinstance(network, PictureTranslation):
            held = prepared.rows.held_out if len(prepared.rows.held_out) else prepared.rows.stop
            space = space_of(prepared, network)
            metrics = pair_metrics(network, prepared.store, self.schema_, held, space)
            self.evaluations_ = {self.side: judged_as_pairs(self.evaluations_[self.side], metrics)}
            self.metrics_ = {name: value.to_json()["metrics"] for name, value in self.evaluations_.items()}
        return self

    def sample(self, given: Any, n: int = 1, *, seed: int | None = None) -> Any:
        """``n`` new y's for each row of ``given``, the first row's first, in the form that y had.

        Args:
            given: rows of conditions in the form of X, of one column also a value or a flat list; or a mapping from column to
                value, or to values.
            n: for each row. seed: of the noise; None: the estimator's own.

        Raises:
            DataError: a column of the condition is not there, or a category was never seen; names it.
        """
        return self._as_given(self.drawn_columns(n, given, seed=seed))

    def drawn_columns(self, n: int, given: Any, *, seed: int | None = None) -> dict[str, NDArray[Any]]:
        """What :meth:`sample` gives, always as a mapping from column to values."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        n = count("n", n, "at least 1 row is made")
        if isinstance(given, Mapping):
            given = read({name: np.atleast_1d(np.asarray(value)) for name, value in given.items()})
        elif self._from_arrays():
            given = _named(_conditions(given), getattr(self, "feature_names_in_", None))
        table = self._table(given)
        self._require_seen(table)
        store, _ = self._encode(table)
        network = self._network.eval()
        assert network.condition is not None
        found = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed_of(seed, self.plan_.seed))
            for batch in store.batches(torch.split(torch.arange(store.rows), max(AT_ONCE // n, 1))):
                condition = network.condition(batch).repeat_interleave(n, 0)
                found.append(network.make(torch.randn(len(condition), network.noise.width), condition))
            return self._in_units(torch.cat(found))

    def translate(self, pictures: Any, n: int = 1, *, seed: int | None = None, tile: int = TILE) -> Any:
        """What pictures become, of any size, where a picture was learned from a picture.

        Sizes are kept, or grow as they did in training. The k-th answers to all pictures share their noise, so that they are of
        one kind.

        Args:
            pictures: (rows, height, width[, channels]) array; or a list of pictures of any sizes, or of paths; or a folder's path.
            n: answers for each. seed: of the noise; None: the estimator's own.
            tile: pixels a side up to which a picture is made in one piece; larger ones are made in parts that overlap.

        Returns:
            Of an array one, (rows, height, width[, channels]), or with several answers (rows, n, …); of anything else a list,
            one of these for each picture.

        Raises:
            ChoiceError: what was learned is no picture given a picture. DataError: a picture that cannot be read.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return translated(self.way(), pictures, n, seed_of(seed, self.plan_.seed), tile)

    def way(self, to: str | None = None) -> Way:
        """How one picture becomes another; see :class:`~trine.estimators._picture_ways.Way`.

        Raises:
            ChoiceError: what was learned is no picture given a picture, or has one direction and ``to`` names another.
        """
        network, (made, *_) = self._network.eval(), self.made_.items()
        if not isinstance(network, PictureTranslation):
            raise ChoiceError(
                f"What was learned here is {made[0]!r} given {', '.join(self.schema_.x)}, which is no picture given a picture; "
                "`trine sample RUN --given` makes it."
            )
        ((x, read),) = self.schema_.x.items()
        if to not in (None, made[0]):
            raise ChoiceError(f"This model makes {made[0]!r} of {x!r} and nothing else; leave --to {to} out.")
        assert isinstance(read, Image)
        assert isinstance(made[1], Image)
        net = network.network
        return Way(
            read,
            made[1],
            net.noise,
            network.condition_of,
            net,
            net.reach,
            net.stride,
            grain=GRAIN,
        )

    def _require_seen(self, table: Any) -> None:
        """Refuse a category of the condition that training never saw, a number further from all that it saw than these are
        from each other, and a missing value where none was missing: what is made for it would be anything.
        """
        needs = self.derivation_.needs  # rows without these were left out of training
        for name, domain in self.schema_.x.items():
            empty = np.flatnonzero(table.column(name).missing)
            if len(empty) and (getattr(domain, "missing", 0.0) == 0 or f"x.{name}" in needs):
                raise DataError(
                    f"The condition {name} has no value (row {empty[0] + 1}), and training saw no row without one; give a value."
                )
            if isinstance(domain, Numeric):
                _require_near(name, domain, table)
            if not isinstance(domain, Category):
                continue
            column = table.column(name)
            unseen = np.flatnonzero(domain.encode(column).reshape(-1) == -2)
            if len(unseen):
                i = int(unseen[0])
                value = column.values[i] if column.levels is None else column.levels[column.values[i]]
                known = ", ".join(map(str, domain.labels[:12])) + (" …" if len(domain.labels) > 12 else "")
                raise DataError(
                    f"The condition {name} = {value!s} was never seen in training; {name} is one of: {known}."
                )

    def evaluate(self, data: Any, network: Any = None) -> Evaluation:
        """How like the rows of ``data`` what is made for their conditions is: see :mod:`trine.evaluation.samples`.

        Args:
            data: a pair (X, y) in the forms that :meth:`fit` takes, or a ``TensorDataset`` of the two; a table with all columns of
                both, or its path.
            network: in whose features distances are taken as well; see :meth:`GAN.evaluate`.

        Raises:
            DataError: X and y of different lengths, a column that is not there, or a condition unlike all that training saw; says
                which.
        """
        from trine.data import stored

        table = self._pairs(unwrapped(data))
        self._require_seen(table)
        store = stored(table, self.schema_, targets=True, memory=self.plan_.memory)
        found = evaluate_samples_of(self, store, network=network)
        own = self._network
        if not isinstance(own, PictureTranslation):
            return found
        rows = np.flatnonzero(whole(store, self.derivation_.needs, told=False))  # they were just counted
        true = seen_rows(own, store, self.schema_, rows, next(own.parameters()).device)
        space = feature_space(true, own.made.shapes, FEATURES, self.plan_.seed)
        return judged_as_pairs(found, pair_metrics(own, store, self.schema_, rows, space))

    def _pairs(self, data: Any) -> Table:
        """Conditions and what belongs to them as one table, under the names that they had in training."""
        if not isinstance(data, tuple) or all(isinstance(part, str | os.PathLike) for part in data):
            return self._table(data)
        if len(data) != 2:
            raise DataError(f"Of {len(data)} parts nothing is known; give a pair (X, y).")
        table, targets = self._table(_conditions(data[0])), _targets(data[1])
        if len(targets) != len(self.schema_.y):
            raise DataError(f"y has {len(targets)} columns; this model makes {', '.join(self.schema_.y)}.")
        return with_columns(table, dict(zip(self.schema_.y, targets.values(), strict=True)))

    def evaluate_all(self, data: Any, network: Any = None) -> dict[str, Evaluation]:
        """``{"y": evaluation}``."""
        return {"y": self.evaluate(data, network)}


def _conditions(given: Any) -> Any:
    """Conditions as rows: a scalar is one row, a series or a flat list a column of them."""
    if hasattr(given, "to_frame") and not hasattr(given, "columns"):
        return given.to_frame() if isinstance(given.name, str) else given.to_numpy().reshape(-1, 1)
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu().numpy()
    if isinstance(given, int | float | str | np.generic):
        given = [given]
    if isinstance(given, list | tuple) and all(isinstance(one, int | float | str | np.generic | None) for one in given):
        given = np.array(given, dtype=object if any(one is None for one in given) else None)
    return given.reshape(-1, 1) if isinstance(given, np.ndarray) and given.ndim < 2 else given


def _named(given: Any, names: Any) -> Any:
    """Plain rows as columns of ``names``, by place, where there are as many; anything else as it is."""
    if names is None or not isinstance(given, list | tuple | np.ndarray):
        return given
    try:
        rows = np.array(given, dtype=object)
    except ValueError:  # rows of different lengths
        return given
    if rows.ndim != 2 or rows.shape[1] != len(names):
        return given
    return read({name: np.array(rows[:, i].tolist()) for i, name in enumerate(names)})


def _targets(y: Any) -> dict[str, NDArray[Any]]:
    """What is to be made, column by column: of a data frame each of its columns, of anything else one."""
    if hasattr(y, "columns"):
        return {str(name): np.asarray(y[name]) for name in y.columns}
    return {TARGET: np.asarray(y)}


def _require_near(name: str, domain: Numeric, table: Table) -> None:
    """Refuse a number of a condition that is further from the training values than these are wide."""
    values = np.asarray(domain.decode(domain.encode(table.column(name))), dtype=np.float64).reshape(-1)
    room = max(domain.high - domain.low, 1e-6 * abs(domain.high))
    far = np.flatnonzero((values < domain.low - room) | (values > domain.high + room))
    if len(far):
        raise DataError(
            f"The condition {name} = {values[far[0]]:.6g} (row {far[0] + 1}) is far from all that training saw, "
            f"{domain.low:.6g} to {domain.high:.6g}; give a value near these."
        )
