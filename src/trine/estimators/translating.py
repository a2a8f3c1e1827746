"""From one pile of rows to another that nobody paired with it, and back."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from trine.blocks.unpaired import PictureMap
from trine.data import Schema, Store, Table, TwoPiles, labels_of, matched, read, stored
from trine.domains import Domain, Image
from trine.errors import ChoiceError, DataError
from trine.estimators._arguments import count, require_rows_of_pictures, seed_of
from trine.estimators._estimator import Estimator, estimators, series_of
from trine.estimators._generating import unwrapped
from trine.estimators._picture_ways import Way
from trine.estimators._piles import halves, piles_of, prepare_piles
from trine.estimators._plan import Prepared, whole
from trine.estimators._scored.translations import evaluate_translations, evaluate_translations_of
from trine.estimators._training import Fitted, fit
from trine.estimators._x_given_z import cut, together
from trine.evaluation import Evaluation
from trine.models import Translator as Network

AT_ONCE = 256
"""Translations made at a time."""
REACH = 64
"""Pixels by which the parts of large pictures overlap; see :mod:`trine.blocks.tiles`."""


@estimators.register("unpaired")
class Translator(Estimator):
    """Rows of a pile A as rows of a pile B and the other way round, learned from the two piles alone.

    Two generators, each with noise, two critics, and what keeps the content: a cycle, there and back, whose codes carry what the
    other pile does not show (Almahairi et al., `Augmented CycleGAN`, 2018); or the contrast between places (Park et al., 2020).

    Args:
        divergence: what the critics learn; see :class:`~trine.GAN`.
        content: what keeps the content: ``cycle``, or of pictures ``contrast``.
        likelihood: weight of that. identity_weight: of pictures, how much a pile's own rows are to stay as they are; 0: not at all.
        transport: of rows, the price of moving columns of the same name; 0: none.
        diversity: weight of the noise being recovered from a row and its translation, so that it is not ignored; 0: none.
        history: past translations that the critics still see; 0: none.
        noise: numbers of noise that a translation reads.
        penalty, penalty_every, critic_steps, critic_augment: of the critics; see :class:`~trine.GAN`.
        hidden: of rows, widths of the dense layers, all alike. channels: of pictures, of the networks at full size.
        layers: of pictures, residual blocks.
        optimiser, step_size, schedule, ema, batch_size, epochs, patience: of the training; see :class:`~trine.GAN`.
        validation_fraction: share of either pile that translations are compared with as training goes.
        random_state: None, an integer or a numpy random state. threads: torch threads; None chooses.
        budget: seconds that training may take. verbose: whether to show progress on standard error.

    A parameter that is None is derived; ``print(model.derivation_)`` tells what was derived, and why.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> model = Translator(epochs=2, random_state=0).fit(rng.normal(size=(60, 2)), 5 + rng.normal(size=(80, 2)))
        >>> model.translate(rng.normal(size=(3, 2)), to="B").shape
        (3, 2)
    """

    kind = "unpaired"
    method = "unpaired"

    def __init__(
        self,
        divergence: str | None = None,
        *,
        content: str | None = None,
        likelihood: float | None = None,
        identity_weight: float | None = None,
        transport: float | None = None,
        diversity: float | None = None,
        history: int | None = None,
        noise: int | None = None,
        penalty: float | None = None,
        penalty_every: int | None = None,
        critic_steps: int | None = None,
        critic_augment: float | None = None,
        hidden: tuple[int, ...] | None = None,
        channels: int | None = None,
        layers: int | None = None,
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
        self.content = content
        self.likelihood = likelihood
        self.identity_weight = identity_weight
        self.transport = transport
        self.diversity = diversity
        self.history = history
        self.noise = noise
        self.penalty = penalty
        self.penalty_every = penalty_every
        self.critic_steps = critic_steps
        self.critic_augment = critic_augment
        self.hidden = hidden
        self.channels = channels
        self.layers = layers
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

    def fit(self, A: Any, B: Any, *, labels: tuple[Any, Any] | None = None) -> Self:
        """Derive model, criterion and procedure from the two piles and train.

        Args:
            A, B: each (rows, columns) numbers, (rows, height, width[, channels]) pixels, a data frame, a mapping of columns, or
                the path of a folder of pictures or of a table. Their numbers of rows may differ; their columns may not.
            labels: (of A's rows, of B's), what each row shows, by which translations are judged once training is over; never
                learned from. Of folders with a folder for each kind these are the labels.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        A, B = (series if (series := series_of(data)) is not None else data for data in (unwrapped(A), unwrapped(B)))
        self.from_arrays_ = isinstance(A, np.ndarray | torch.Tensor) and isinstance(B, np.ndarray | torch.Tensor)
        piles = [_numbers(data) if self.from_arrays_ else data for data in (A, B)]
        plain = self.from_arrays_ and piles[0].ndim < 3 and piles[0].dtype != object
        domains = dict.fromkeys(read(piles[0]).names, "real") if plain else {}
        plan = self._plan([], domains)
        read_piles = piles_of(plan, *piles)
        if labels is not None:
            read_piles = dataclasses.replace(read_piles, labels=_texts(labels, (read_piles.a.rows, read_piles.b.rows)))
        prepared = prepare_piles(plan, read_piles)
        self._adopt(prepared.derivation, plan)
        if plain:
            self.n_features_in_ = len(self.schema_.x)
        fitted = fit(prepared, progress=self.verbose)
        return self._finish(prepared, fitted)

    @property
    def _network(self) -> Network:
        network = self.derivation_.model
        assert isinstance(network, Network)
        return network

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        super()._finish(prepared, fitted)
        self.evaluations_: dict[str, Evaluation] = {}
        held = prepared.rows.held_out if len(prepared.rows.held_out) else prepared.rows.stop
        alone = min((len(np.unique(column)) for column in held.T), default=0) < 2
        if alone and prepared.plan.held_out:
            warnings.warn("A pile has too few rows to hold two out: translations are not scored.", stacklevel=2)
        if not alone:
            self.evaluations_ = evaluate_translations(
                prepared, self._network, held, self.history_, self.provenance_.get("stopped")
            )
            self.metrics_ = {name: value.to_json()["metrics"] for name, value in self.evaluations_.items()}
        return self

    def predictions(self, data: Any) -> dict[str, NDArray[Any]]:
        """Refused: a translator has no y.

        Raises:
            ChoiceError: always; says what there is in its place.
        """
        raise ChoiceError("A translator has no y to predict; `trine translate RUN DATA --to A|B` translates rows.")

    def represent(self, data: Any) -> NDArray[np.float32]:
        """Refused: a translator keeps no codes of rows.

        Raises:
            ChoiceError: always; says what there is in its place.
        """
        raise ChoiceError("A translator has no codes of rows; `trine fit DATA --method autoencoder` learns them.")

    def translate(self, rows: Any, to: str = "B", n: int = 1, *, seed: int | None = None) -> Any:
        """Rows of the other pile as rows of ``to``, in the form that the piles had; ``n`` for each, the first row's first.

        Args:
            rows: of the pile that is translated from, in any form that :meth:`fit` takes. to: ``"A"`` or ``"B"``.
            n: translations of each row, under as many noises. seed: of the noise; None: the estimator's own.

        Raises:
            ChoiceError: another ``to``, or n below 1. DataError: a column that is not there, a picture that cannot be read.
        """
        columns = self.translated_columns(rows, to, n, seed=seed)
        if not self._from_arrays():
            return columns
        values, only = list(columns.values()), next(iter(self.made_in(to).values()))
        if only.ragged:
            return together(only, values[0])
        return values[0] if isinstance(only, Image) else np.stack(values, axis=1)

    def translated_columns(
        self, rows: Any, to: str = "B", n: int = 1, *, seed: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """What :meth:`translate` gives, always as a mapping from column to values."""
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        made = self.made_in(to)
        n = count("n", n, "each row has at least 1 translation")
        side = to.lower()
        table = self._source(rows, side)
        own = Schema(self.schema_.x, {}) if side == "b" else Schema({}, self.schema_.y)
        store = stored(table, own, memory=self.plan_.memory)
        self._require_whole(store, table)
        network = self._network.eval()
        other: Any = network.to_b if side == "b" else network.to_a
        found = []
        index = torch.arange(store.rows).repeat_interleave(n)
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed_of(seed, self.plan_.seed))
            for batch in store.batches(torch.split(index, AT_ONCE)):
                found.append(network.translate(batch, side))
            columns = other.columns(torch.cat(found))
        return {name: domain.decode(cut(domain, columns[name].numpy())) for name, domain in made.items()}

    def way(self, to: str | None = None) -> Way:
        """How one picture becomes another; see :class:`~trine.estimators._picture_ways.Way`.

        Raises:
            ChoiceError: no pictures, or ``to`` is neither A nor B.
        """
        if to is None:
            raise ChoiceError("A translator knows both ways: say --to A or --to B.")
        made = next(iter(self.made_in(to).values()))
        read = next(iter(self.made_in("A" if to == "B" else "B").values()))
        network = self._network.eval()
        generator: Any = network.to_b if to == "B" else network.to_a
        if not isinstance(generator, PictureMap):
            raise ChoiceError(f"What was learned here is {', '.join(self.schema_.x)}, which is no picture.")
        assert isinstance(read, Image)
        assert isinstance(made, Image)
        net: Any = generator.network
        return Way(
            read,
            made,
            network.noise[1 if to == "B" else 0],
            lambda pixels: pixels * 2 - 1,
            generator,
            REACH,
            net.stride,
            net.least,
        )

    def made_in(self, to: str) -> dict[str, Domain]:
        """Column → domain of what is made by translating to ``to``.

        Raises:
            ChoiceError: ``to`` is neither A nor B.
        """
        if to not in ("A", "B"):
            raise ChoiceError(f"A translation is to A or to B, and not to {to!r}.")
        return self.schema_.x if to == "A" else self.schema_.y

    def evaluate(
        self, A: Any, B: Any, network: Any = None, *, labels: tuple[Any, Any] | None = None
    ) -> dict[str, Evaluation]:
        """``A`` and ``B`` → how like rows of the one what is made of rows of the other is, what comes back, and how diverse it is.

        Args:
            A, B: rows that were not learned from, 4 or more of either.
            network: in whose features distances are taken as well; see :meth:`GAN.evaluate`.
            labels: as of :meth:`fit`; None: the column that was named there, or what folders of kinds say.

        Raises:
            DataError: fewer rows, a column that is not there, a picture that cannot be read, or labels that are not one a row.
        """
        tables = self._source(A, "b"), self._source(B, "a")
        piles = TwoPiles(*tables, self.schema_).stored(memory=self.plan_.memory)
        if labels is None:
            one, other = (labels_of(table, self.plan_.label or next(iter(table.targets), None)) for table in tables)
        else:
            one, other = _texts(labels, (piles.a.rows, piles.b.rows))
        needs = self.derivation_.needs
        a, b = (np.flatnonzero(whole(own, needs, pile)) for pile, own in (("A", piles.a), ("B", piles.b)))
        judged, others = halves(a, b, self.plan_.seed)
        return evaluate_translations_of(
            self.derivation_,
            piles,
            judged,
            others,
            self.plan_.seed,
            self.history_,
            (one, other),
            network,
            self.provenance_.get("stopped"),
        )

    def evaluate_all(self, data: Any, network: Any = None) -> dict[str, Evaluation]:
        """As :meth:`evaluate`, of a pair (A, B).

        Raises:
            ChoiceError: one pile only.
        """
        if not isinstance(data, tuple) or len(data) != 2:
            raise ChoiceError(
                "A translator is evaluated against two piles: trine evaluate RUN A B, model.evaluate(A, B)."
            )
        return self.evaluate(*data, network)

    def _require_whole(self, store: Store, table: Table) -> None:
        """Refuse a row without a value of what is made whole or not at all."""
        for name in self.derivation_.needs:
            known = whole(store, [name], told=False)
            if not known.all():
                column = table.column(name.partition(".")[2])
                raise DataError(
                    f"Column {column.name!r}, row {column.row(int(np.argmin(known)))}: there is nothing to translate. Give a "
                    "value, or leave the row out."
                )

    def _source(self, rows: Any, side: str) -> Table:
        """Rows of the pile that is not ``side``, with the columns and channels that it had."""
        require_rows_of_pictures(rows, self.schema_.x)
        table = rows if isinstance(rows, Table) else self.plan_.shaped(read(_numbers(rows)))
        return matched(table, self.schema_.x if side == "b" else self.schema_.y)


def _numbers(data: Any) -> Any:
    """Arrays of one number a row as a column of it."""
    data = unwrapped(data)
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu().numpy()
    return data.reshape(-1, 1) if isinstance(data, np.ndarray) and data.ndim == 1 and series_of(data) is None else data


def _texts(labels: Any, rows: tuple[int, int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels of both piles as texts, None where one is missing.

    Raises:
        DataError: not as many as there are rows.
    """
    if not isinstance(labels, tuple | list) or len(labels) != 2:
        raise DataError("labels are a pair: those of A's rows, and those of B's.")
    found = []
    for name, given, own in zip("AB", labels, rows, strict=True):
        values = np.asarray(given, dtype=object).reshape(-1)
        if len(values) != own:
            raise DataError(f"Pile {name} has {own:,} rows and {len(values):,} labels; give one of each row.")
        found.append(
            np.array([None if value is None or value != value else str(value) for value in values], dtype=object)
        )
    return found[0], found[1]
