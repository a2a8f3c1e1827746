"""What a report shows of a generator: samples, how they came to be, the rows nearest to them, ways between noises."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.data import Table, table_of
from trine.domains import Category, Domain, Image, Numeric
from trine.estimators._plan import Prepared
from trine.estimators._scored.samples import JUDGED, SEED, given_of, scored_rows, seen_rows, space_of
from trine.estimators._scored.some_rows import some_rows
from trine.estimators._shown.film import bytes_of_seen, filmed_conditions, frame_rows, is_picture, noise_of, small
from trine.estimators._shown.marginals import marginals, measured
from trine.estimators._shown.sheets import moving_sheet, sheet
from trine.estimators._training import Fitted
from trine.evaluation.associations import associations, strongest
from trine.evaluation.samples import conditional_frechet
from trine.methods.gan import all_drawn
from trine.models import Generator
from trine.training import Result, generators

MOMENTS = 9
"""Moments of the training that are shown side by side, the last of them what was kept."""
ROWS_OF_STRIP = 6
ACROSS = 8
"""Pictures side by side in the film."""
SAMPLES, SAMPLES_ACROSS = 60, 12
OF_CLASS = 10
"""Samples of each class."""
CLASSES = 20
"""Classes that are shown."""
CONDITIONS, ANSWERS = 6, 5
SEARCHED = 1000
"""Samples among which those nearest to a training row are looked for."""
NEAREST, NEIGHBOURS = 8, 3
WAYS, WAY = 5, 11
DRAWN = 8
"""Rows that are shown as rows."""
COMPARED = 4000
"""Rows that associations and marginals are of, on either side."""
ASSOCIATED = 24
"""Columns that are compared pair by pair, the first."""
POINTS = 150
"""Rows of either side that are drawn as points."""


class Look(Protocol):
    """(domains, table, row) → ``values`` and ``image`` of a row, in the axes of another row ``beside`` it where there is one."""

    def __call__(
        self, domains: Mapping[str, Domain], table: Table, index: int, beside: tuple[Table, int] | None = None
    ) -> dict[str, Any]: ...


@functools.singledispatch
def record_of(
    kind: nn.Module, estimator: Any, prepared: Prepared, fitted: Fitted, table: Table, look: Look
) -> dict[str, Any]:
    """What a report's section of samples shows, as JSON values with pictures as data URIs; of most models nothing.

    Open by ``record_of.register(ModelType)``, for models that make something.

    Args:
        kind: the trained model. estimator: fitted, with it. prepared: what it was trained on. fitted: what training left, with the
            film. table: the data. look: (domains, table, row) → ``values`` and ``image`` of a row.
    """
    return {}


@record_of.register
def samples_record(
    kind: Generator, estimator: Any, prepared: Prepared, fitted: Fitted, table: Table, look: Look
) -> dict[str, Any]:
    """The same of a generator."""
    told = _Told(estimator, prepared, fitted, table, look)
    with generators.seeded(SEED), torch.inference_mode():
        found = told.pictures() if is_picture(told.network) else told.rows()
        return {**found, "score": told.score(), "conditional": told.network.condition is not None}


class _Told:
    """A generator, its rows and its film, looked at from all sides."""

    def __init__(self, estimator: Any, prepared: Prepared, fitted: Fitted, table: Table, look: Look) -> None:
        self.estimator, self.prepared, self.table, self.look = estimator, prepared, table, look
        self.network: Generator = estimator._network.eval()
        self.frames = fitted.result.frames
        self.result = fitted.result
        rows, drawn = prepared.rows, np.random.default_rng(SEED)
        # Of a sorted file the first rows are of one kind.
        self.train = drawn.permutation(rows.train)
        self.others = drawn.permutation(next(part for part in (rows.held_out, rows.stop, rows.train) if len(part)))

    def made(self, noise: Tensor, rows: NDArray[np.int64] | None = None) -> Tensor:
        """Rows made of noise, as a critic sees them; of a condition for ``rows`` of the store."""
        condition = None
        if self.network.condition is not None:
            assert rows is not None
            condition = self.network.condition(self.prepared.store.batch(torch.from_numpy(rows)))
        return self.network.make(noise, condition)

    def conditions(self, count: int) -> NDArray[np.int64] | None:
        """Rows of the store whose conditions are given; None where nothing is."""
        return None if self.network.condition is None else filmed_conditions(self.prepared, self.others, count)

    def true(self, rows: NDArray[np.int64]) -> Tensor:
        return seen_rows(self.network, self.prepared.store, self.prepared.schema, rows, torch.device("cpu"))

    # As training went --------------------------------------------------------------------------------------------

    def moments(self) -> list[tuple[str, Tensor]]:
        """(when, what was made of the film's noise) at some moments, the last of them of the weights that were kept."""
        return early(self.result, lambda value: value, self.kept()) if self.frames else []

    def kept(self) -> Tensor:
        """A last frame, of the weights that were kept."""
        rows = None if self.network.condition is None else self.filmed_rows()
        made = self.made(noise_of(self.network, frame_rows(self.network)), rows)
        return small(bytes_of_seen(made)) if is_picture(self.network) else made

    def filmed_rows(self) -> NDArray[np.int64]:
        """Rows of the store whose conditions were filmed."""
        rows = self.prepared.rows
        return filmed_conditions(self.prepared, rows.stop if len(rows.stop) else rows.train, frame_rows(self.network))

    def score(self) -> dict[str, Any]:
        """What the score by epoch is called, and what as many training rows have in the place of samples; empty without one."""
        scored = scored_rows(self.network)
        stop, own = some_rows(self.prepared.rows.stop, scored), self.train[:scored]
        if min(len(stop), len(own)) < 2:
            return {}
        space = space_of(self.prepared, self.network, len(stop))
        given = given_of(self.prepared, self.network, len(stop))
        parts = [part for rows in (stop, own) for part in (space(self.true(rows)), given(rows))]
        return {
            "name": f"{'CFD' if parts[1].shape[1] else 'FD'}-{space.name}",
            "floor": conditional_frechet(*parts),
            "rows": len(stop),
            "best_epoch": self.result.best_epoch,
        }

    # Pictures ----------------------------------------------------------------------------------------------------

    def pictures(self) -> dict[str, Any]:
        """What is shown where a picture alone is made."""
        found: dict[str, Any] = {"made": "pictures"}
        moments = self.moments()
        if moments:
            step = max(len(moments[0][1]) // ROWS_OF_STRIP, 1)
            given = self.given_pictures()
            columns = [*([("given", given)] if given is not None else []), *moments]
            found["strip"] = [
                {"caption": caption, **sheet(pixels(value[::step][:ROWS_OF_STRIP]), 1)} for caption, value in columns
            ]
            frames = [pixels(frame["value"]) for frame in self.frames] + [pixels(moments[-1][1])]
            found["film"] = moving_sheet(frames, ACROSS)
            if given is not None:
                found["filmed"] = sheet(pixels(given), ACROSS)
        if self.network.condition is None:
            drawn = bytes_of_seen(self.made(noise_of(self.network, SAMPLES, SEED)))
            found["samples"] = sheet(pixels(drawn), SAMPLES_ACROSS)
        else:
            found |= self.by_condition()
        return {**found, **self.nearest(), "ways": sheet(pixels(bytes_of_seen(self.ways(WAYS))), WAY)}

    def given_pictures(self) -> Tensor | None:
        """The pictures that were filmed under, where the condition is a picture and nothing else."""
        columns = list(self.prepared.schema.x.items())
        if self.network.condition is None or len(columns) != 1 or not isinstance(columns[0][1], Image):
            return None
        batch = self.prepared.store.batch(torch.from_numpy(self.filmed_rows()))
        return small(bytes_of_seen(2 * batch[f"x.{columns[0][0]}"] - 1))

    def by_condition(self) -> dict[str, Any]:
        """A row of samples for each class; of any other condition the condition, its own y, and several answers."""
        only = self.only_class()
        if only is not None:
            codes = np.resize(np.arange(min(len(only.labels), CLASSES)), min(len(only.labels), CLASSES) * OF_CLASS)
            given = self.estimator.drawn_columns(
                1, {next(iter(self.prepared.schema.x)): np.array(only.labels, dtype=object)[np.sort(codes)]}
            )
            name, domain = next(iter(self.estimator.made_.items()))
            drawn = _bytes_of(domain, given[name])
            return {
                "classes": [
                    {"label": str(label), **sheet(drawn[i * OF_CLASS : (i + 1) * OF_CLASS], OF_CLASS)}
                    for i, label in enumerate(only.labels[:CLASSES])
                ],
                "classes_in_all": len(only.labels),
            }
        rows = np.resize(self.others, min(CONDITIONS, len(self.others)))
        true = pixels(bytes_of_seen(self.true(rows)))
        noise = noise_of(self.network, len(rows) * ANSWERS, SEED)
        made = pixels(bytes_of_seen(self.made(noise, np.repeat(rows, ANSWERS))))
        return {
            "answers": [
                {
                    "given": self.look(self.prepared.schema.x, self.table, int(row))
                    if int(row) < self.table.rows
                    else {},
                    "true": sheet(true[i : i + 1], 1),
                    "made": sheet(made[i * ANSWERS : (i + 1) * ANSWERS], ANSWERS),
                }
                for i, row in enumerate(rows)
            ]
        }

    def only_class(self) -> Category | None:
        """The condition, where it is a class and nothing else."""
        domains = list(self.prepared.schema.x.values())
        return domains[0] if len(domains) == 1 and isinstance(domains[0], Category) else None

    def nearest(self) -> dict[str, Any]:
        """Of many samples those nearest to a training row, each beside its nearest training rows."""
        made, train, reach, near, order = self.near()
        if not len(order):
            return {}
        return {
            "nearest": [
                {
                    "sample": sheet(pixels(bytes_of_seen(made[i : i + 1])), 1),
                    "rows": sheet(pixels(bytes_of_seen(self.true(train[near[i]]))), near.shape[1]),
                    "times": float(reach[i]),
                }
                for i in order
            ],
            "searched": len(made),
        }

    def near(self) -> tuple[Tensor, NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Samples, training rows, each sample's distance from the nearest of these as a multiple of what rows that were not learned
        from have in the median, the nearest, and which samples come first.
        """
        from sklearn.neighbors import NearestNeighbors

        train = self.train[:JUDGED]
        made = self.made(noise_of(self.network, SEARCHED, SEED), self.conditions(SEARCHED))
        space = space_of(self.prepared, self.network, len(self.others))
        index = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(train))).fit(space(self.true(train)))
        distance, near = index.kneighbors(space(made))
        own = index.kneighbors(space(self.true(self.others[:JUDGED])))[0][:, 0]
        reach = distance[:, 0] / max(float(np.median(own)), 1e-12)
        order: list[int] = []
        for i in np.argsort(
            reach, kind="stable"
        ).tolist():  # one sample a training row: the same copy again tells nothing
            if near[i, 0] not in near[order, 0] and len(order) < NEAREST:
                order.append(i)
        return made, train, reach, near, np.array(order, dtype=np.int64)

    def ways(self, count: int) -> Tensor:
        """What is made of noises on ``count`` ways from one to another; of a condition the same on all of a way."""
        rows = self.conditions(count)
        noise = arcs(noise_of(self.network, 2 * count, SEED + 1), WAY)
        return self.made(noise, None if rows is None else np.repeat(rows, WAY))

    # Rows --------------------------------------------------------------------------------------------------------

    def rows(self) -> dict[str, Any]:
        """What is shown where anything else is made."""
        found: dict[str, Any] = {"made": "rows"}
        made = self.estimator.made_
        if self.network.condition is None:
            drawn = self.in_units(self.made(noise_of(self.network, DRAWN, SEED)))
            found["drawn"] = [self.look(made, drawn, i) for i in range(DRAWN)]
            pictured = [name for name, domain in made.items() if isinstance(domain, Image)]
            found["pictured"] = pictured if len(pictured) > 1 else []
        else:
            found["given"] = self.answers_in_words()
        moments = self.moments()
        if moments and found_picture(self.look(made, self.in_units(moments[-1][1][:1]), 0)):
            found["strip"] = [
                {"caption": caption, "images": [self.look(made, shown, i)["image"] for i in range(DRAWN // 2)]}
                for caption, value in moments
                for shown in [self.in_units(value[: DRAWN // 2])]
            ]
        return {**found, **self.tabular(moments), **self.nearest_rows(), "way": self.way()}

    def in_units(self, seen: Tensor) -> Table:
        """Made rows as a table."""
        return table_of({name: short(values) for name, values in self.estimator._in_units(seen).items()})

    def answers_in_words(self) -> list[dict[str, Any]]:
        """Of some rows that were not learned from what was given, what belongs to it, and several answers."""
        made = self.estimator.made_
        rows = self.own_rows(self.others)[:CONDITIONS]
        if not len(rows):
            return []
        drawn = self.in_units(self.made(noise_of(self.network, len(rows) * ANSWERS, SEED), np.repeat(rows, ANSWERS)))
        return [
            {
                "given": self.look(self.prepared.schema.x, self.table, int(row)),
                "true": self.look(made, self.table, int(row)),
                "made": [self.look(made, drawn, i * ANSWERS + k) for k in range(ANSWERS)],
            }
            for i, row in enumerate(rows)
        ]

    def own_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the store's rows that the table has: of rows in another table it has none."""
        return rows[rows < self.table.rows]

    def nearest_rows(self) -> dict[str, Any]:
        """Of many samples those nearest to a training row, each with that row."""
        made, train, reach, near, order = self.near()
        domains = self.estimator.made_
        shown = self.in_units(made[torch.from_numpy(order)])
        pairs = [((shown, i), (self.table, int(train[near[at, 0]])), at) for i, at in enumerate(order)]
        return {
            "nearest_rows": [
                {
                    "sample": self.look(domains, *sample, row),
                    "row": self.look(domains, *row, sample),
                    "times": float(reach[at]),
                }
                for sample, row, at in pairs
                if row[1] < self.table.rows
            ],
            "searched": len(made),
        }

    def way(self) -> list[dict[str, Any]]:
        """Rows on the way from one noise to another; none where columns are drawn by chances of their own."""
        if self.network.condition is None and all_drawn(self.estimator.made_):
            return []
        shown = self.in_units(self.ways(1))
        return [self.look(self.estimator.made_, shown, i) for i in range(WAY)]

    def tabular(self, moments: Sequence[tuple[str, Tensor]]) -> dict[str, Any]:
        """Each column of samples beside the data's, how columns go together in either, and two of them as training went."""
        made = self.estimator.made_
        given = self.prepared.schema.x if self.network.condition is not None else {}
        names = measured({**given, **made}, self.table)[:ASSOCIATED]
        if not [name for name in names if name in made]:
            return {}
        rows = self.own_rows(np.resize(self.others, COMPARED))
        drawn = self.estimator._in_units(self.made(noise_of(self.network, len(rows), SEED), rows))
        samples = self.beside(drawn, rows)
        truth = self.table.take(self.own_rows(self.train)[:COMPARED])
        domains = {name: (made.get(name) or given[name]) for name in names}
        found: dict[str, Any] = {"marginals": marginals(made, truth, drawn)}
        numbers = [name for name in names if isinstance(made.get(name) or given.get(name), Numeric)]
        if len(numbers) == 1 and numbers[0] in made and moments:
            found["spread"] = self.spread(moments, numbers[0], truth)
        if len(names) > 1:
            true = associations(_codes(domains, truth))
            own = associations(_codes(domains, samples))
            half = truth.rows // 2
            halves = [
                associations(_codes(domains, truth.take(part)))
                for part in (np.arange(half), np.arange(half, truth.rows))
            ]
            apart = np.triu_indices(len(names), 1)
            found["associations"] = {
                "columns": names,
                "data": np.round(true, 3).tolist(),
                "samples": np.round(own, 3).tolist(),
                "difference": float(np.abs(own - true)[apart].mean()),
                "floor": float(np.abs(halves[0] - halves[1])[apart].mean()) / 2**0.5,
            }
            pair = strongest(true, [i for i, name in enumerate(names) if isinstance(domains[name], Numeric)])
            if pair is not None and moments:
                found["cloud"] = self.cloud(moments, [names[i] for i in pair], truth)
        return found

    def spread(self, moments: Sequence[tuple[str, Tensor]], name: str, truth: Table) -> list[dict[str, Any]]:
        """The only column of numbers at each moment, beside true rows."""
        only = {name: self.estimator.made_[name]}
        told = [(caption, marginals(only, truth, self.estimator._in_units(value))) for caption, value in moments]
        return [{"caption": caption, **shown[0]} for caption, shown in told if shown]

    def beside(self, drawn: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> Table:
        """Made columns as a table, beside the columns that they were made for."""
        given = () if self.network.condition is None else self.prepared.schema.x
        kept = self.table.take(rows)
        found = table_of(dict(drawn))
        for name in given:
            column = kept.column(name)
            found = found.with_column(name, column.values if column.levels is None else _named(column))
        return found

    def cloud(self, moments: Sequence[tuple[str, Tensor]], pair: Sequence[str], truth: Table) -> dict[str, Any]:
        """Two columns of numbers at each moment, and of true rows."""
        rows = np.zeros(0, dtype=np.int64) if self.network.condition is None else self.filmed_rows()
        if len(self.own_rows(rows)) < len(rows):
            return {}

        def points(table: Table) -> list[list[float]]:
            found = np.column_stack([np.asarray(table.column(name).values, dtype=np.float64) for name in pair])
            return [[float(f"{value:.4g}") for value in row] for row in found[np.isfinite(found).all(axis=1)][:POINTS]]

        return {
            "columns": list(pair),
            "data": points(truth.take(np.arange(min(truth.rows, POINTS)))),
            "moments": [
                {"caption": caption, "points": points(self.beside(self.estimator._in_units(value), rows))}
                for caption, value in moments
            ],
        }


def found_picture(shown: Mapping[str, Any]) -> bool:
    """Whether a row that was looked at has a picture."""
    return shown.get("image") is not None


def _codes(domains: Mapping[str, Domain], table: Table) -> dict[str, NDArray[Any]]:
    """Columns as :func:`~trine.evaluation.associations.associations` takes them."""
    found: dict[str, NDArray[Any]] = {}
    for name, domain in domains.items():
        encoded = np.asarray(domain.encode(table.column(name))).reshape(table.rows)
        if isinstance(domain, Category):
            found[name] = np.maximum(encoded.astype(np.int64), -1)
        else:
            found[name] = encoded.astype(np.float64)
    return found


def _named(column: Any) -> NDArray[Any]:
    """A column of texts, None where missing."""
    named = column.levels[column.values].astype(object)
    named[column.missing] = None
    found: NDArray[Any] = named
    return found


def early(result: Result, part: Callable[[Any], Tensor], kept: Tensor) -> list[tuple[str, Tensor]]:
    """(when, frame) at up to ``MOMENTS`` moments of a film, early ones closer together; the last is ``kept``.

    Args:
        result: what training left, with the film. part: what is shown of a frame.
    """
    film = result.frames
    if result.best_epoch == result.epochs and len(film) > 1 and film[-1]["step"] == result.steps:
        film = film[:-1]
    places = np.unique(np.geomspace(1, len(film), min(MOMENTS - 1, len(film))).round().astype(int)) - 1
    return [*((f"step {film[i]['step']:,}", part(film[i]["value"])) for i in places), ("kept", kept)]


def arcs(ends: Tensor, steps: int) -> Tensor:
    """(2 n, width) ends → (n · steps, width) noises on the arcs from each even row to the next odd one."""
    a, b = ends[0::2, None], ends[1::2, None]
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1 + 1e-6, 1 - 1e-6)
    angle = cosine.acos()[..., None]
    along = torch.linspace(0, 1, steps)[None, :, None]
    return ((((1 - along) * angle).sin() * a + (along * angle).sin() * b) / angle.sin()).flatten(0, 1)


def short(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers to four figures, as a reader compares them."""
    if values.ndim != 1 or values.dtype.kind != "f":
        return values
    return np.array([float(f"{value:.4g}") for value in values])


def pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Bytes as pictures are drawn: (n, channels, height, width) bytes → (n, height, width[, channels])."""
    array = pictures.movedim(1, -1).numpy()
    return array[..., 0] if array.shape[-1] == 1 else array[..., :3]


def _bytes_of(domain: Domain, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.uint8]:
    """Pictures in the user's units as bytes."""
    assert isinstance(domain, Image)
    unit = (np.asarray(values, dtype=np.float64) - domain.black) / (domain.white - domain.black)
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)
