"""What a fit was asked for, and the rows and parts that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trine.choices import Choices
from trine.data import Schema, Store, Table, labels_of, remembered, reshape, split, stored
from trine.domains import Category, Domain, Image
from trine.errors import ChoiceError, DataError
from trine.estimators._arguments import count, seconds, seed_of, share
from trine.methods import Derivation, Facts, derive, methods
from trine.methods.defaults import recipe
from trine.methods.invariance import measure_invariances


@dataclasses.dataclass(frozen=True)
class Plan:
    """A user's statement, as JSON values: what there is, what is wanted, and what was chosen.

    Attributes:
        y: target columns. x: input columns; None takes all others.
        domains: column → kind of domain (or a domain as JSON), where the user overrides the inference.
        method: name of the method.
        choices: the user's choices; None inside means derived.
        held_out: share of rows kept from training and used for reporting only, in [0, 1).
        stop_fraction: share of the remaining rows that decide when to stop, in [0, 1).
        class_weight: None; ``"balanced"``: classes count alike in the criterion; or pairs (class, weight).
        seed: seeds the split, the initial weights and the order of examples.
        threads: torch threads; None chooses.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU where there is one.
        budget: seconds that training may take; None for no bound.
        memory: bytes that the process may take; None: the machine's. Columns that are too large for it go to files.
        on_bad: ``"stop"`` or ``"skip"``: what an unreadable image or sound does.
        long: (key, time) columns of a table with a row a step. group: column → pattern of the columns that are its steps.
        label: a column of neither x nor y, by which codes are coloured in a report; None where there is none.
        fewest: rows that each class of y needs: 2 to learn from and to test on; 1 for arrays, as scikit-learn has it.
    """

    y: tuple[str, ...]
    x: tuple[str, ...] | None = None
    domains: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    method: str = "supervised"
    choices: Choices = dataclasses.field(default_factory=Choices)
    held_out: float = 0.0
    stop_fraction: float = 0.1
    class_weight: str | tuple[tuple[Any, float], ...] | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    budget: float | None = None
    memory: int | None = None
    on_bad: str = "stop"
    fewest: int = 2
    label: str | None = None
    long: tuple[str, str] | None = None
    group: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {name: share(name, getattr(self, name)) for name in ("held_out", "stop_fraction")}
        checked["seed"] = seed_of(self.seed)
        if self.threads is not None:
            checked["threads"] = count("threads", self.threads, "1 or more, or is left out to be chosen")
        if self.budget is not None:
            checked["budget"] = seconds(self.budget)
        for name, value in checked.items():  # Python's own numbers, which JSON can hold
            object.__setattr__(self, name, value)
        if self.device not in ("auto", "cpu", "cuda"):
            raise ChoiceError(f"The device is {self.device!r}; it is 'auto', 'cpu' or 'cuda'.")
        if self.class_weight is not None and self.class_weight != "balanced":
            _require_weights(self.class_weight)
        if self.on_bad not in ("stop", "skip"):
            raise ChoiceError(f"on_bad is {self.on_bad!r}; it is 'stop' or 'skip'.")

    @property
    def pairs(self) -> tuple[str, ...] | None:
        """As :func:`~trine.data.read` takes it."""
        return pairs_of(self.method, self.y)

    def shaped(self, table: Table) -> Table:
        """The table in the shape that is stated."""
        return reshape(table, self.long, self.group)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["choices"] = self.choices.to_json()
        data["domains"] = {k: v.to_json() if isinstance(v, Domain) else v for k, v in self.domains.items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that :meth:`to_json` wrote."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        fields["choices"] = Choices.from_json(fields["choices"])
        if isinstance(fields["class_weight"], tuple):
            fields["class_weight"] = tuple((label, weight) for label, weight in fields["class_weight"])
        fields["domains"] = {
            k: Domain.from_json(v) if isinstance(v, dict) else v for k, v in dict(fields["domains"]).items()
        }
        return cls(**fields)


def _require_weights(given: Any) -> None:
    """Refuse what is no pairs (class, weight)."""
    if not isinstance(given, tuple):
        raise ChoiceError(f"class_weight is {given!r}; it is None, 'balanced' or a mapping from class to weight.")
    for label, weight in given:
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise ChoiceError(f"class_weight of the class {label!r} is {weight!r}; it is a finite number, 0 or more.")


def pairs_of(method: str | None, y: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The targets that are named where a method makes pictures of pictures, so that folders may hold pairs of them; else None."""
    return None if method != "conditional_gan" else (y,) if isinstance(y, str) else tuple(y or ())


FEW_JUDGES = 200
"""Labelled pictures below which none decide when to stop, where there are at least as many without a label."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Which rows do what; indices into the table."""

    train: np.ndarray
    stop: np.ndarray
    held_out: np.ndarray
    unlabelled: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def of(self, whole: np.ndarray) -> Rows:
        """Those of them that are ``whole``, (rows of the table,) bool."""
        train, stop, held_out = (part[whole[part]] for part in (self.train, self.stop, self.held_out))
        return Rows(train, stop, held_out, self.unlabelled)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Encoded rows and the derivation, ready to train; ``labels`` as :func:`labels_of` gives them, where the plan names some, and
    ``pile_labels`` those of two piles.
    """

    plan: Plan
    store: Store
    rows: Rows
    derivation: Derivation
    labels: np.ndarray | None = None
    pile_labels: tuple[np.ndarray | None, np.ndarray | None] = (None, None)

    @property
    def schema(self) -> Schema:
        """The fitted schema."""
        return self.derivation.schema

    @property
    def unlabelled(self) -> bool:
        """Whether rows without y take part in training."""
        return len(self.rows.unlabelled) > 0 and self.derivation.choices.unlabelled not in (None, "none")

    def marginal(self) -> dict[str, np.ndarray]:
        """Target → its values in the training rows, in the user's units."""
        return {name: self.target(name, self.rows.train)[0] for name in self.schema.y}

    def target(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(values in the user's units, which of ``rows`` have one) of a target, the missing left out of the values."""
        return decode_target(self.store, self.schema, name, rows)


def decode_target(store: Store, schema: Schema, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(known values in the user's units, (rows,) bool of which are known) of target ``name``."""
    field = store.fields[f"y.{name}"]
    index = torch.from_numpy(rows)
    known = np.ones(len(rows), dtype=bool) if field.present is None else field.present[index].numpy()
    return schema.y[name].decode(field.encoded(index[torch.from_numpy(known)])), known


def prepare(
    plan: Plan,
    table: Table,
    *,
    weight: np.ndarray | None = None,
    schema: Schema | None = None,
    choices: Choices | None = None,
    facts: Facts | None = None,
    verbose: bool = False,
) -> Prepared:
    """Infer, split, fit the domains on the training rows, encode every column once, derive the three parts.

    Args:
        plan: what is wanted.
        table: the rows.
        weight: (rows,) non-negative weights of the rows.
        schema, choices, facts: as an earlier run fitted and resolved them (to resume it); None derives them here.
        verbose: whether to show how far the encoding of columns larger than memory is.

    Raises:
        TrineError: the data or the choices cannot be used; says where and what to do.
    """
    stated = plan.to_json()
    asked = {name: stated[name] for name in ("y", "x", "domains", "on_bad", "fewest")}
    if table.rows < 2:
        where = f"{table.source} has" if table.source is not None else "The data have"
        raise DataError(
            f"{where} {table.rows} row{'s' * (table.rows != 1)}, and at least 2 are needed to learn from; give more."
        )
    labels = labels_of(table, plan.label)
    if labels is not None and all(label is None for label in labels):
        raise DataError(f"The label {plan.label!r} has no value in any row; name another column, or leave it out.")
    classes = plan.method == "conditional_gan"  # 7 as a condition is a kind of thing, and not one more than 6
    asked |= {"classes": True} if classes else {}
    inferred = schema or remembered(
        table,
        asked,
        lambda: Schema.infer(
            table, plan.y, plan.x, plan.domains, on_bad=plan.on_bad, fewest=plan.fewest, classes=classes
        ),
    )
    needs = methods[plan.method]().needs(inferred)
    rows = _divide(plan, table, inferred, needs)
    chosen = {"schema": inferred.to_json(), "rows": hashlib.sha256(np.ascontiguousarray(rows.train).data).hexdigest()}
    use = plan.choices.unlabelled
    beside = len(rows.unlabelled) >= len(rows.train) if use is None else use != "none"
    seen = np.union1d(rows.train, rows.unlabelled) if beside else None  # of x, rows without y tell as much
    fitted = schema or remembered(table, chosen, lambda: inferred.fit(table, rows.train, seen))
    weights = _weights(plan, table, fitted, rows, weight)
    store = stored(table, fitted, weight=weights, memory=plan.memory, verbose=verbose)
    rows = rows.of(whole(store, needs))
    if facts is None:
        found = measure_invariances(store, fitted, rows.train, plan.choices, plan.seed)
        facts = Facts(len(rows.train), *found, unlabelled=len(rows.unlabelled), table_rows=table.rows)
    derivation = derive(plan.method, fitted, choices or plan.choices, facts, plan.seed)
    return Prepared(plan, store, rows, derivation, labels)


def whole(store: Store, needs: Sequence[str], pile: str = "", *, told: bool = True) -> np.ndarray:
    """(rows,) bool, which rows have a value of every field that is needed; the others are counted in a warning.

    Args:
        needs: fields, of this store or of another. pile: that the store is of, where there are two. told: whether to warn.
    """
    known = np.ones(store.rows, dtype=bool)
    lacked: list[str] = []
    for name in needs:
        present = store.fields[name].present if name in store.fields else None
        if present is not None and not present.all():
            known &= present.numpy()
            lacked.append(name.partition(".")[2])
    if lacked and told:
        warnings.warn(
            f"{f'Pile {pile}: ' if pile else ''}{store.rows - known.sum():,} of {store.rows:,} rows have no "
            f"{' or no '.join(map(repr, lacked))} and are left out: it is made whole or not at all.",
            stacklevel=3,
        )
    return known


def rows_with(table: Table, domains: Mapping[str, Domain]) -> np.ndarray:
    """Rows that have a value of each of these columns."""
    known = np.ones(table.rows, dtype=bool)
    for name, domain in domains.items():
        known &= domain.known(table.column(name))
    return np.flatnonzero(known)


def needed_of(schema: Schema, needs: Iterable[str]) -> dict[str, Domain]:
    """Column → domain of the fields that a row needs; of two piles, whose columns are alike, of A."""
    domains = {**schema.y, **schema.x}
    return {name: domains[name] for name in dict.fromkeys(field.partition(".")[2] for field in needs)}


def _labelled(table: Table, schema: Schema) -> np.ndarray:
    """Rows that have at least one target; the others teach a supervised method nothing. All, where there is no target."""
    if not schema.y:
        return np.arange(table.rows)
    known = np.zeros(table.rows, dtype=bool)
    for name in schema.y:
        known |= ~table.column(name).missing
    return np.flatnonzero(known)


def _divide(plan: Plan, table: Table, schema: Schema, needs: Sequence[str]) -> Rows:
    needed = needed_of(schema, needs)
    with_y = _labelled(table, schema)
    labelled = np.intersect1d(with_y, rows_with(table, needed)) if needed else with_y
    strata = _strata(table, schema, labelled)
    rest, held = split(len(labelled), plan.held_out, plan.seed, strata)
    train, stop = split(len(rest), plan.stop_fraction, plan.seed + 1, None if strata is None else strata[rest])
    # Too few rows to stop by: a score over a handful of rows stops at random.
    facts = Facts(len(rest))
    if len(stop) < max((recipe(domain, schema, facts).judges for domain in schema.x.values()), default=8):
        train, stop = np.arange(len(rest)), np.zeros(0, dtype=np.int64)
    unlabelled = np.setdiff1d(np.arange(table.rows), with_y) if schema.y else np.zeros(0, dtype=np.int64)
    pictures = any(isinstance(domain, Image) for domain in schema.x.values())
    if pictures and len(unlabelled) >= len(rest) and len(stop) < FEW_JUDGES and plan.choices.unlabelled != "none":
        # A label teaches more than it tells when to stop.
        train, stop = np.arange(len(rest)), np.zeros(0, dtype=np.int64)
    rows = Rows(labelled[rest[train]], labelled[rest[stop]], labelled[held], unlabelled)
    if len(rows.train) < 2:
        have = f"have a value of {' or '.join(map(repr, schema.y or needed))}" if schema.y or needed else "are there"
        raise DataError(
            f"{len(labelled)} rows {have}, of which {len(rows.train)} would be trained on; at least 2 are needed. Give more rows "
            "or hold out a smaller share."
        )
    return rows


def _strata(table: Table, schema: Schema, labelled: np.ndarray) -> np.ndarray | None:
    """The only target's classes, so that each part of a split has its share of them."""
    if len(schema.y) != 1:
        return None
    name, domain = next(iter(schema.y.items()))
    if not isinstance(domain, Category):
        return None
    column = table.column(name)
    return np.unique(column.values[labelled], return_inverse=True)[1]


def _weights(plan: Plan, table: Table, schema: Schema, rows: Rows, weight: np.ndarray | None) -> np.ndarray | None:
    if plan.class_weight is None:
        return weight
    name, domain = next(iter(schema.y.items()), ("", None))
    if len(schema.y) != 1 or not isinstance(domain, Category):
        raise ChoiceError(
            "class_weight needs one categorical target; leave it out, or weigh the rows by sample_weight."
        )
    codes = domain.encode(table.column(name)).reshape(-1).astype(np.int64)
    train = codes[rows.train]
    if isinstance(plan.class_weight, str):
        counts = np.bincount(train.clip(0), minlength=len(domain.labels)).clip(1)
        by_class = len(rows.train) / (len(domain.labels) * counts)
    else:
        given = dict(plan.class_weight)
        unknown = set(given) - set(domain.labels)
        if unknown:
            raise ChoiceError(f"class_weight names the class {unknown.pop()!r}; the classes are {list(domain.labels)}.")
        by_class = np.array([given.get(label, 1.0) for label in domain.labels])
    # A row without a label is of no class: it weighs what labelled ones do in the mean, so that only ratios of classes matter.
    weights = np.where(codes >= 0, by_class[codes.clip(0)], by_class[train.clip(0)].mean())
    return np.asarray(weights if weight is None else weights * weight)
