"""How like held-out rows a generator's are: as training goes, and of what it ends with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.blocks import Encoder
from trine.choices import Choices
from trine.data import Schema, Store
from trine.divergences import LearnedDivergence
from trine.domains import Category, Numeric
from trine.errors import DataError
from trine.estimators._batched import chunk_of
from trine.estimators._plan import Prepared, whole
from trine.estimators._scored.given import Given, Matrix, nothing
from trine.estimators._scored.judged import Kinds, Seen, judge_of, with_judge
from trine.estimators._scored.named_features import with_network
from trine.estimators._scored.some_rows import some_rows
from trine.estimators._training import score_of
from trine.evaluation import Evaluation, Metric, games
from trine.evaluation.features import FeatureSpace, feature_space
from trine.evaluation.judges import FEW, ROWS, judgeable
from trine.evaluation.remedies import longer
from trine.evaluation.samples import (
    closest,
    conditional_frechet,
    conditional_frechet_error,
    frechet,
    kernel_distance,
    support,
)
from trine.evaluation.synthetic import associations_apart, detection, marginals_apart, nearer_to_training, usefulness
from trine.models import Generator, PictureTranslation
from trine.training import Score, generators

SCORED = 1000
"""Rows on either side that a score as training goes is of."""
SCORED_FLAT = 5000
"""The same of tables, of whose rare categories few rows say nothing, and whose rows cost little."""
JUDGED = 5000
"""Rows on either side, at most, that the last evaluation is of."""
SEED = 20_406
"""Of the noise that scores are taken with, the same each time."""


@score_of.register
def sample_score(
    kind: Generator, prepared: Prepared, model: nn.Module, store: Store, place: torch.device
) -> Callable[[], Score]:
    """Fréchet's distance of made rows from held-out ones, of a condition in the mean over conditions. The lower the better.

    With the same noise each time, so that two generators are told apart by less than two draws of one.
    """
    network = kind
    rows = scored_rows(network)
    held = some_rows(prepared.rows.stop, rows)
    with generators.seeded(SEED):
        network.eval()
        space = space_of(prepared, network, len(held))
        given = given_of(prepared, network, len(held))
        true, beside = space(seen_rows(network, store, prepared.schema, held, place)), given(held)
        network.train()

    def score() -> Score:
        with generators.seeded(SEED):  # all that may be made are: of few, the best of many epochs would be the luckiest
            made = space(made_rows(network, store, prepared.schema, held, place, rows))
        if not np.isfinite(made).all():
            return Score(float("inf"))
        pairs = true, beside, made, np.resize(beside, (len(made), beside.shape[1]))
        return Score(conditional_frechet(*pairs), conditional_frechet_error(*pairs))

    return score


def scored_rows(network: Generator) -> int:
    """How many rows on either side a score as training goes is of."""
    return SCORED_FLAT if len(network.made.shape) == 1 else SCORED


def space_of(prepared: Prepared, network: Generator, compared: int) -> FeatureSpace:
    """Where made and true rows are compared, ``compared`` on a side."""
    rows = some_rows(prepared.rows.train, JUDGED)
    place = next(network.parameters()).device
    true = seen_rows(network, prepared.store, prepared.schema, rows, place)
    return feature_space(true, network.made.shapes, compared, prepared.plan.seed, network.made.column)


def given_of(prepared: Prepared, network: Generator, compared: int) -> Callable[[NDArray[np.int64]], Matrix]:
    """Where the conditions of rows are compared, ``compared`` on a side."""
    rows = some_rows(prepared.rows.train, JUDGED)
    return _given(network, prepared.schema, prepared.store, prepared.derivation.choices, rows, compared)


def _given(
    network: Generator, schema: Schema, store: Store, choices: Choices, rows: NDArray[np.int64], compared: int
) -> Callable[[NDArray[np.int64]], Matrix]:
    if not isinstance(network.condition, Encoder):  # of a picture that a picture is made of other scores tell more
        return nothing
    return Given(schema, store, choices, next(network.parameters()).device, rows, compared)


def seen_rows(network: Generator, store: Store, schema: Schema, rows: NDArray[np.int64], place: torch.device) -> Tensor:
    """True rows as a critic sees them, on the CPU."""
    parts = torch.split(torch.from_numpy(rows), chunk_of(store, schema))
    with torch.inference_mode():
        return torch.cat([network.made.seen(batch.to(place)).cpu() for batch in store.batches(parts)])


def made_rows(
    network: Generator, store: Store, schema: Schema, rows: NDArray[np.int64], place: torch.device, count: int
) -> Tensor:
    """``count`` made rows as a critic sees them, on the CPU; of a condition those of ``rows``, over again where they are fewer."""
    found = []
    index = torch.from_numpy(np.resize(rows, count))
    mode = network.training
    network.eval()
    with torch.inference_mode():
        for batch in store.batches(torch.split(index, chunk_of(store, schema))):
            batch = batch.to(place)
            condition = None if network.condition is None else network.condition(batch)
            found.append(network.make(network.noise(batch), condition).cpu())
    network.train(mode)
    return torch.cat(found)


def evaluate_samples(estimator: Any, prepared: Prepared, rows: NDArray[np.int64]) -> Evaluation:
    """Scores of as many made rows as there are ``rows``, beside those of training rows, which are the floor, and the diagnosis."""
    network: Generator = estimator._network
    rng = np.random.default_rng(prepared.plan.seed)
    rows = rng.permutation(rows)[:JUDGED]
    place = next(network.parameters()).device
    store, schema = prepared.store, prepared.schema
    known = rng.permutation(prepared.rows.train)
    index = known[:JUDGED]
    with generators.seeded(SEED):
        network.eval()
        space = space_of(prepared, network, len(rows))
        train, true = (seen_rows(network, store, schema, part, place) for part in (index, rows))
        made = made_rows(network, store, schema, rows, place, len(rows))
    given = given_of(prepared, network, len(rows))
    conditions = given(rows), given(index)
    found = scores(space(made), space(true), space(train), space.name, conditions, training=True)
    kinds = Kinds.given_in(schema, store) or Kinds.beside(prepared.labels)
    told = _to_learn_from(network, store, schema, known, len(rows), place)
    judge = judge_of(network, kinds, told, len(rows), prepared.plan.seed)
    found = with_judge(found, judge, kinds, Seen(made, rows), Seen(true, rows), Seen(train, index))

    def many() -> Tensor:
        with generators.seeded(SEED):
            return made_rows(network, store, schema, rows, place, len(train))

    found = table_scores(estimator, many, train, true, found, training=True)
    return diagnosis(estimator, store, rows, found)


def _to_learn_from(
    network: Generator, store: Store, schema: Schema, rows: NDArray[np.int64], compared: int, place: torch.device
) -> Seen:
    """What a judge learns from: of ``rows`` those that are no floor; of few rows, all."""
    others = rows[compared : compared + ROWS]
    chosen = others if len(others) >= max(FEW, len(rows) // 2) else rows[:ROWS]
    if not judgeable(network.made.shapes):
        chosen = chosen[:0]
    with generators.seeded(SEED):
        seen = seen_rows(network, store, schema, chosen, place) if len(chosen) else torch.zeros(0)
    return Seen(seen, chosen)


def scores(
    made: NDArray[Any],
    true: NDArray[Any],
    other: NDArray[Any],
    name: str,
    given: tuple[NDArray[Any], NDArray[Any]] | None = None,
    *,
    training: bool,
) -> Evaluation:
    """The metrics of made rows against true ones that were held out; the baseline of each is what as many other true rows have.

    Args:
        made, true, other: (rows, d) features, made rows for the conditions of true ones. name: of their network.
        given: features of the conditions of ``true`` and of ``other``, where there are some.
        training: whether ``other`` are training rows: by these copies are told, and by no others.
    """
    n = min(len(made), len(true), len(other))
    if n < 2:
        raise DataError(
            f"Samples are compared with 2 or more true rows, and there are {min(len(true), len(other))}; give more."
        )
    floor = other[:n]
    metrics: dict[str, Metric] = {}

    def add(
        key: str, value: float, own: float, higher: bool | None, error: float = float("nan"), unit: str = ""
    ) -> None:
        metrics[key] = Metric(value, value - 1.96 * error, value + 1.96 * error, own, higher, unit)

    add(f"FD-{name}", frechet(true, made), frechet(true, floor), False)
    if given is not None and given[0].shape[1]:
        known = conditional_frechet(true, given[0], floor, given[1][:n])
        add(f"CFD-{name}", conditional_frechet(true, given[0], made, given[0]), known, False)
    value, error = kernel_distance(true, made)
    add(f"KD-{name}", value, kernel_distance(true, floor)[0], False, error)
    if n > 6:
        found, own = support(true, made), support(true, floor)
        for key in ("precision", "recall", "density", "coverage"):
            add(key, getattr(found, key), getattr(own, key), True, unit="" if key == "density" else "share")
    rows = "training rows" if training else "other rows of the data given"
    figures: dict[str, Any] = {"space": name, "floor": f"as many {rows} in the place of made ones"}
    if training:
        near = closest(made, other, true)
        add("copies of training rows", near.copies, 0.01, False, unit="share")
        figures["share_nearer"] = near.share_nearer
    return Evaluation("samples", n, metrics, figures, [])


def another(batch: Mapping[str, Tensor]) -> Tensor | None:
    """(rows,) for each row the nearest before it, in a circle, that has another x; None where all have the same."""
    new = torch.stack([_unlike(part, part.roll(1, 0)) for name, part in batch.items() if name.startswith("x.")]).any(0)
    places = torch.arange(len(new), device=new.device)
    # The row before the first of those, one after another, that are alike.
    first = torch.where(new, places, -1).cummax(0).values
    return torch.where(first < 0, places[new][-1:], first) - 1 if new.any() else None


def _unlike(a: Tensor, b: Tensor) -> Tensor:
    """(rows,) whether they differ; what is missing in both, NaN, does not."""
    return ((a != b) & ((a == a) | (b == b))).reshape(len(a), -1).any(1)


def diagnosis(estimator: Any, store: Store, rows: NDArray[np.int64], evaluation: Evaluation) -> Evaluation:
    """The evaluation with what is wrong with the game, in words: see :mod:`trine.evaluation.games`.

    Args:
        rows: of the store, in random order: of a sorted file those that follow each other are alike.
    """
    rows = rows[:SCORED]
    if len(rows) < games.FEWEST:
        return evaluation
    network, schema = estimator._network, estimator.schema_
    place = next(network.parameters()).device
    terms = estimator.derivation_.criterion.terms
    learned = next((term.divergence for term in terms if isinstance(term.divergence, LearnedDivergence)), None)
    if learned is None:  # nothing was played
        return evaluation
    judge: nn.Module = learned.critic  # type: ignore[assignment]
    judge.eval()
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("true", "made", "again", "moved", "elsewhere", "on true", "on made", "input")
    }
    network.eval()
    with generators.seeded(SEED), torch.inference_mode():
        for batch in store.batches(torch.split(torch.from_numpy(rows), chunk_of(store, schema))):
            batch = batch.to(place)
            given = () if network.condition is None else (batch,)
            condition = None if network.condition is None else network.condition(batch)
            noise = network.noise(batch)
            parts = {"true": network.made.seen(batch), "made": network.make(noise, condition)}
            parts["again"] = network.make(network.noise(batch), condition)
            if condition is not None and (other := another(batch)) is not None:
                parts["moved"], parts["elsewhere"] = parts["made"], network.make(noise, condition[other])
            if isinstance(network, PictureTranslation):
                assert condition is not None
                parts["input"] = condition
            parts |= {"on true": judge(parts["true"], *given), "on made": judge(parts["made"], *given)}
            for name, part in parts.items():
                found[name].append(part.float().flatten(1).cpu() if part.dim() > 1 else part.float().cpu())
    ranking = None
    if estimator.history_:  # an artefact keeps no critic
        real, fake = (torch.cat(found[name]) for name in ("on true", "on made"))
        ranking = games.ranked(*(learned.witness(part, fake, real).numpy() for part in (real, fake)))
    values = {name: torch.cat(parts).numpy() for name, parts in found.items() if parts}
    by = games.spread(values["true"])
    same = None
    if "input" in values and values["input"].shape == values["made"].shape:
        same = games.moved(values["made"], values["input"], games.spread(values["input"]))
    findings = games.diagnose(
        evaluation.metrics,
        estimator.history_,
        ranking,
        games.moved(values["made"], values["again"], by),
        games.moved(values["moved"], values["elsewhere"], by) if "moved" in values else None,
        same,
        estimator.derivation_.choices.divergence,
        estimator.derivation_.choices.critic_steps,
        longer(estimator.provenance_.get("stopped")),
    )
    told = {**evaluation.figures, "diagnosis": [finding.to_json() for finding in findings]}
    return dataclasses.replace(evaluation, figures=told)


def table_scores(
    estimator: Any, make: Callable[[], Tensor], other: Tensor, held: Tensor, evaluation: Evaluation, *, training: bool
) -> Evaluation:
    """The evaluation with what a table's rows are good for; see :mod:`trine.evaluation.synthetic`.

    Args:
        make: gives made rows as a critic sees them; asked where there is a table.
        other, held: true rows: those of the floor, and those that are compared. training: as of :func:`scores`.
    """
    domains = list(estimator.made_.values())
    if len(domains) < 2 or not all(isinstance(domain, Numeric | Category) for domain in domains):
        return evaluation
    if min(len(other), len(held)) < games.FEWEST:
        return evaluation
    made, floor, true = (estimator._in_units(rows[:JUDGED]) for rows in (make(), other, held))
    target = list(estimator.made_)[-1]
    none, unit = float("nan"), "share"
    found = {
        "marginals apart": (marginals_apart(made, true), marginals_apart(floor, true), False, unit),
        "associations apart": (associations_apart(made, true), associations_apart(floor, true), False, ""),
        "detection AUC": (detection(made, true), 0.5, False, ""),
    }
    if training:
        found["nearer to training"] = (nearer_to_training(made, floor, true), 0.5, False, unit)
    useful = usefulness(made, true, target), usefulness(floor, true, target)
    found[f"{target}, learned from samples"] = (*useful, True, "")
    added = {
        name: Metric(value, none, none, own if math.isfinite(own) else None, higher, unit)
        for name, (value, own, higher, unit) in found.items()
        if math.isfinite(value)  # what a target of missing values is good for, nobody can say
    }
    return dataclasses.replace(evaluation, metrics={**evaluation.metrics, **added})


def evaluate_samples_of(
    estimator: Any, store: Store, labels: NDArray[Any] | None = None, network: Any = None
) -> Evaluation:
    """Scores against rows of another store, in the features that the estimator's own scores are in; half of them are the floor.
    Whether training rows are copied these do not tell.

    Where a judge can learn (of a picture, a series or a sound) a third are held against what is made, a third are the floor and it
    learns from the last.

    Args:
        labels: of the rows, (rows,) texts or None, where they have some.
        network: in whose features distances are taken as well; see :func:`~trine.estimators._scored.named_features.with_network`.
    """
    own, schema, seed = estimator._network, estimator.schema_, estimator.plan_.seed
    place = next(own.parameters()).device
    known = np.flatnonzero(whole(store, estimator.derivation_.needs))
    count = len(known)
    if count < 4:
        raise DataError(
            f"Samples are compared with 2 or more true rows and as many again; there are {count}; give more."
        )
    part = count // 3 if judgeable(own.made.shapes) and count // 3 >= FEW else count // 2
    # Of a sorted file the first rows are of one kind.
    rows = np.random.default_rng(seed).permutation(known)
    index, floor, others = rows[:part], rows[part : 2 * part], rows[2 * part :]
    index, floor = index[:JUDGED], floor[:JUDGED]
    with generators.seeded(SEED):
        own.eval()
        true, other = (seen_rows(own, store, schema, some, place) for some in (index, floor))
        space = feature_space(torch.cat([true, other])[:JUDGED], own.made.shapes, len(index), seed, own.made.column)
        made = made_rows(own, store, schema, index, place, len(index))
    given = _given(own, schema, store, estimator.derivation_.choices, floor, len(index))
    conditions = given(index), given(floor)
    found = scores(space(made), space(true), space(other), space.name, conditions, training=False)
    kinds = Kinds.given_in(schema, store) or Kinds.beside(labels)
    told = _to_learn_from(own, store, schema, others, 0, place)
    judge = judge_of(own, kinds, told, len(index), seed)
    found = with_judge(found, judge, kinds, Seen(made, index), Seen(true, index), Seen(other, floor))
    if network is not None:
        found = with_network(found, network, estimator.made_, estimator._in_units, made, true, other)
    found = table_scores(estimator, lambda: made, other, true, found, training=False)
    learned = f", and a judge learns from {len(others):,}" if len(others) > 1 else ""
    said = (
        f"of {store.rows:,} rows {len(index):,} are compared with what is made, {len(floor):,} are the floor{learned}"
    )
    found = dataclasses.replace(found, figures={**found.figures, "notes": [said]})
    return diagnosis(estimator, store, rows, found)
