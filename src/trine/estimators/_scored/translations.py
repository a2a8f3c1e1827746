"""How like either pile its translations are, what comes back of a cycle, and what the noise changes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine.criterion import Criterion
from trine.data import Schema, Store
from trine.divergences import LearnedDivergence
from trine.divergences.pooled import Pooled
from trine.estimators._batched import chunk_of
from trine.estimators._plan import Prepared
from trine.estimators._scored.named_features import with_network
from trine.estimators._scored.samples import JUDGED, SEED, scores
from trine.estimators._scored.some_rows import some_rows
from trine.estimators._scored.translation_judges import Judges, Labels, judges_of
from trine.estimators._training import score_of
from trine.evaluation import Evaluation, Metric, games
from trine.evaluation.codes import Finding
from trine.evaluation.features import FeatureSpace, feature_space
from trine.evaluation.judges import judgeable
from trine.evaluation.remedies import PLANNED, longer
from trine.evaluation.samples import frechet, frechet_error
from trine.methods import Derivation
from trine.models import Translator
from trine.models.translator import PLACES, SIDES
from trine.training import Score, generators

SCORED = 500
"""Rows of either pile that a score as training goes is of."""
ANSWERS = 4
"""Translations of one row that its diversity is of."""
ASKED = 128
"""Rows whose translations are compared under several noises."""


@score_of.register
def translation_score(
    kind: Translator, prepared: Prepared, model: nn.Module, store: Store, place: torch.device
) -> Callable[[], Score]:
    """Fréchet's distances of translations from held-out rows of the pile that they are to be of, A's and B's together.

    The lower the better; of the same rows under the same noise each time.
    """
    look = _Look(kind, store, prepared.schema, place)
    stop, train = prepared.rows.stop, prepared.rows.train
    # Of few that are held out, others are translated too: what they become was not learned from.
    held = some_rows(stop, SCORED)
    given = np.concatenate([held, some_rows(train, SCORED)])[:SCORED]
    with generators.seeded(SEED):
        spaces = {side: look.space(side, train, len(stop), prepared.plan.seed) for side in SIDES}
        true = {side: spaces[side](look.seen(side, held)) for side in SIDES}

    def score() -> Score:
        total, variance = 0.0, 0.0
        with generators.seeded(SEED):
            for side in SIDES:
                made = spaces[side](look.translated(side, given))
                if not np.isfinite(made).all():
                    return Score(float("inf"))
                total += frechet(true[side], made)
                variance += frechet_error(true[side], made) ** 2
        return Score(total, math.sqrt(variance))

    return score


def score_told(model: Translator, prepared: Prepared) -> dict[str, Any]:
    """What the score by epoch is called, and its floor: what training rows have in the place of translations; empty without one."""
    stop, train = prepared.rows.stop, prepared.rows.train
    if min(len(stop), len(train)) < 2:
        return {}
    look = _Look(model, prepared.store, prepared.schema, next(model.parameters()).device)
    own = np.random.default_rng(SEED).permutation(train)[:SCORED]
    floor = 0.0
    with generators.seeded(SEED):
        for side in SIDES:
            space = look.space(side, train, len(stop), prepared.plan.seed)
            floor += frechet(space(look.seen(side, some_rows(stop, SCORED))), space(look.seen(side, own)))
    return {"name": f"FD-{space.name}, A and B together", "floor": floor, "rows": min(len(stop), SCORED)}


def evaluate_translations(
    prepared: Prepared,
    model: Translator,
    rows: NDArray[np.int64],
    history: Sequence[Mapping[str, Any]],
    stopped: str | None = None,
) -> dict[str, Evaluation]:
    """``A`` and ``B`` → scores of what is translated to it, of ``rows`` (pairs), beside those of as many training rows; and what
    is wrong with its game, in words.
    """
    look = _Look(model, prepared.store, prepared.schema, next(model.parameters()).device, longer(stopped))
    seed = prepared.plan.seed
    rng = np.random.default_rng(seed)
    known = rng.permutation(prepared.rows.train)
    rows, train = some_rows(rows, JUDGED), known[:JUDGED]
    with generators.seeded(SEED):
        judges = look.judges(known, prepared.pile_labels, len(rows), seed)
        found = {side: look.evaluation(side, rows, train, train, seed, judges, training=True) for side in SIDES}
        return look.told(found, rows, prepared.derivation, history)


def _learned_of(criterion: Criterion, side: str) -> LearnedDivergence:
    """The divergence that is learned between what is translated to ``side`` and its pile."""
    found: Any = next(term.divergence for term in criterion.terms if term.predicted == f"fake_{side}")
    learned: LearnedDivergence = found.divergence if isinstance(found, Pooled) else found
    return learned.eval()


def evaluate_translations_of(
    derivation: Derivation,
    store: Store,
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    seed: int,
    history: Sequence[Mapping[str, Any]],
    labels: Labels = (None, None),
    network: Any = None,
    stopped: str | None = None,
) -> dict[str, Evaluation]:
    """The same against rows of other piles.

    Args:
        rows: pairs that are judged. others: pairs of other rows, which are the floor, and what judges learn from.
        history: of the training, an epoch a record. labels: of the rows of A and of B.
        network: in whose features distances are taken as well; see :func:`~trine.estimators._scored.named_features.with_network`.
    """
    model: Any = derivation.model
    look = _Look(model, store, derivation.schema, next(model.parameters()).device, longer(stopped))
    known = np.concatenate([rows, others])[:JUDGED]
    rows = rows[:JUDGED]
    with generators.seeded(SEED):
        judges = look.judges(others, labels, len(rows), seed)
        found = {side: look.evaluation(side, rows, others[:JUDGED], known, seed, judges, network) for side in SIDES}
        return look.told(found, rows, derivation, history)


class _Look:
    """A translator and the rows of both piles, as critics see them."""

    def __init__(
        self, model: Translator, store: Store, schema: Schema, place: torch.device, longer: str = PLANNED
    ) -> None:
        self.model, self.store, self.schema, self.place, self.longer = model, store, schema, place, longer

    def _parts(self, rows: NDArray[np.int64]) -> Any:
        parts = torch.split(torch.from_numpy(rows), min(chunk_of(self.store, self.schema), 256))
        return (batch.to(self.place) for batch in self.store.batches(parts))

    def seen(self, side: str, rows: NDArray[np.int64]) -> Tensor:
        """True rows of one pile, on the CPU."""
        own: Any = self.model.to_b if side == "b" else self.model.to_a
        with torch.inference_mode():
            return torch.cat([own.seen(batch).cpu() for batch in self._parts(rows)])

    def translated(self, side: str, rows: NDArray[np.int64]) -> Tensor:
        """Rows of the other pile as rows of this one, on the CPU."""
        mode = self.model.training
        self.model.eval()
        with torch.inference_mode():
            made = torch.cat([self.model.translate(batch, side).cpu() for batch in self._parts(rows)])
        self.model.train(mode)
        return made

    def space(self, side: str, rows: NDArray[np.int64], compared: int, seed: int) -> FeatureSpace:
        """Where rows of one pile are compared."""
        own: Any = self.model.to_b if side == "b" else self.model.to_a
        made = getattr(own, "made", None)
        shapes, column = (made.shapes, made.column) if made is not None else ([own.shape], None)
        return feature_space(self.seen(side, some_rows(rows, JUDGED)), shapes, compared, seed, column)

    def evaluation(
        self,
        side: str,
        rows: NDArray[np.int64],
        floor: NDArray[np.int64],
        known: NDArray[np.int64],
        seed: int,
        judges: Judges | None = None,
        network: Any = None,
        *,
        training: bool = False,
    ) -> Evaluation:
        """Of translations of ``rows`` to one pile: like its own rows, come back, and different under other noise.

        Args:
            floor: pairs of which true rows stand in the place of translations; ``training``: whether these were learned from.
            known: pairs from which the space is made.
        """
        self.model.eval()
        # Rows of the smaller pile come again and again in pairs; here each counts once.
        column = PLACES[side]
        own = rows[np.unique(rows[:, column], return_index=True)[1]]
        beside = floor[np.unique(floor[:, column], return_index=True)[1]]
        given = rows[np.unique(rows[:, 1 - column], return_index=True)[1]]
        space = self.space(side, known, len(own), seed)
        made = self.translated(side, given)
        true, other = self.seen(side, own), self.seen(side, beside)
        found = scores(space(made), space(true), space(other), space.name, training=training)
        if network is not None:
            domains = self.schema.y if side == "b" else self.schema.x
            found = with_network(found, network, domains, partial(self._in_units, side), made, true, other)
        metrics = dict(found.metrics)
        back = self._back(side, given)
        if back is not None:
            metrics["comes back"] = Metric(back, float("nan"), float("nan"), 0.0, True, "share")
        kept = self._diversity(side, given[:ASKED])
        metrics["diversity"] = Metric(kept, float("nan"), float("nan"), 0.0, True, "share")
        figures = dict(found.figures)
        if judges is not None:
            which = (given[:, 1 - column], own[:, column])
            first, findings = judges.told(
                side, made, self.seen("a" if side == "b" else "b", given), true, *which, self.longer
            )
            metrics = {**first, **metrics}
            figures["diagnosis"] = [finding.to_json() for finding in findings]
        return Evaluation("samples", len(given), metrics, figures, [])

    def judges(self, rows: NDArray[np.int64], labels: Labels, compared: int, seed: int) -> Judges | None:
        """Those that learn from ``rows``; None of rows that nobody can judge."""
        own: Any = self.model.to_b
        return judges_of(self.seen, rows, labels, compared, seed, str(self.place)) if judgeable([own.shape]) else None

    def told(
        self,
        found: Mapping[str, Evaluation],
        rows: NDArray[np.int64],
        derivation: Derivation,
        history: Sequence[Mapping[str, Any]],
    ) -> dict[str, Evaluation]:
        """``A`` and ``B`` → what was found, with what is wrong, in words."""
        told = {}
        # In random order: of a sorted pile rows that follow each other are alike.
        some = np.random.default_rng(SEED).permutation(rows)[:SCORED]
        for side, evaluation in found.items():
            judged = evaluation.figures.get("diagnosis", [])
            figures = {name: value for name, value in evaluation.figures.items() if name != "diagnosis"}
            if len(rows) >= games.FEWEST:
                learned, chosen = _learned_of(derivation.criterion, side), derivation.choices.divergence
                findings = self.diagnosis(side, some, learned, evaluation, history, chosen)
                figures["diagnosis"] = [*judged, *(finding.to_json() for finding in findings)]
            told[side.upper()] = dataclasses.replace(evaluation, figures=figures)
        return told

    def _in_units(self, side: str, seen: Tensor) -> dict[str, NDArray[Any]]:
        """Rows of one pile, as its critic sees them → column → values in the user's units."""
        own: Any = self.model.to_b if side == "b" else self.model.to_a
        columns = own.columns(seen)
        domains = self.schema.y if side == "b" else self.schema.x
        return {name: domain.decode(columns[name].numpy()) for name, domain in domains.items()}

    def _back(self, side: str, rows: NDArray[np.int64]) -> float | None:
        """Share of the variance of rows of the other pile that a cycle through this one brings back."""
        model = self.model
        if model.contrast is not None:
            return None
        other: Any = model.to_a if side == "b" else model.to_b
        error, values = 0.0, []
        with torch.inference_mode():
            for batch in self._parts(rows):
                given = other.seen(batch)
                made = model.translate(batch, side)
                code = model.code_a(given, made) if side == "b" else model.code_b(made, given)
                error += float((other(made, code) - given).double().square().sum())
                values.append(given.double().cpu())
        all_ = torch.cat(values)
        return 1.0 - error / max(float((all_ - all_.mean(0)).square().sum()), 1e-12)

    def diagnosis(
        self,
        side: str,
        rows: NDArray[np.int64],
        learned: LearnedDivergence,
        evaluation: Evaluation,
        history: Sequence[Mapping[str, Any]],
        divergence: str | None,
    ) -> list[Finding]:
        """What is wrong with translations to one pile: see :func:`trine.evaluation.games.diagnose`."""
        other: Any = self.model.to_a if side == "b" else self.model.to_b
        true, made, again = self.seen(side, rows), self.translated(side, rows), self.translated(side, rows)
        with torch.inference_mode():
            given = torch.cat([other.seen(batch).cpu() for batch in self._parts(rows)])
            critic: nn.Module = learned.critic  # type: ignore[assignment]
            on_true, on_made = (
                torch.cat([critic(part.to(self.place)).cpu() for part in torch.split(values, 256)])
                for values in (true, made)
            )
            ranking = games.ranked(*(learned.witness(part, on_made, on_true).numpy() for part in (on_true, on_made)))
        by = games.spread(true.numpy())
        alike = given.shape == made.shape and given.dim() == 4
        return games.diagnose(
            evaluation.metrics,
            history,
            ranking if history else None,  # an artefact keeps no critic
            games.moved(made.numpy(), again.numpy(), by),
            games.moved(made.numpy(), made.numpy()[games.others(len(made))], by),
            games.moved(made.numpy(), given.numpy(), games.spread(given.numpy())) if alike else None,
            divergence,
            longer=self.longer,
        )

    def _diversity(self, side: str, rows: NDArray[np.int64]) -> float:
        """Variance of one row's translations under several noises, as a share of that of all rows' translations."""
        many = self.translated(side, np.repeat(rows, ANSWERS, axis=0)).double().flatten(1)
        each = many.view(len(rows), ANSWERS, -1)
        within = float(each.var(1).sum(-1).mean())
        return within / max(float(many.var(0).sum()), 1e-12)
