"""New kinds of x: what a sparse autoencoder, iterated from noise, holds to be an x, gathered into types and scored."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trine import artefact
from trine.choices import Choices
from trine.data import Schema, Store, Table, read, table_of
from trine.domains import Image
from trine.errors import ArtefactError, ChoiceError, DataError, RunError
from trine.estimators._arguments import count, seed_of, yes_or_no
from trine.estimators._estimator import Estimator, estimators, versions
from trine.estimators._kinds.iteration import iterated
from trine.estimators._kinds.kept_rows import restored, to_json, to_tensors
from trine.estimators._kinds.known_classes import classes, held_out, labelled
from trine.estimators._kinds.look import Look
from trine.estimators._kinds.noise import noise as noise
from trine.estimators._plan import Plan
from trine.estimators._resuming import resume
from trine.estimators._workflow import fit as train
from trine.estimators._workflow import taken_at_its_word
from trine.estimators.autoencoding import Autoencoder
from trine.evaluation.kinds import (
    Kind,
    apart,
    clusters,
    kinds,
    objectness,
    out_of_class,
    plane,
    reduced,
)
from trine.evaluation.remedies import longer
from trine.methods.autoencoder import numbers_in
from trine.training import Run

KNOWN = 1500
"""Known rows, at most, that types are compared with and mapped among."""
RUN = "autoencoder"
"""The autoencoder's run, in the directory of a novelty's own."""
NEVER = "(all)"
"""Name of the one known class where rows have no labels."""


@estimators.register("novelty")
class Novelty(Estimator):
    """Types of x that the data do not hold, by iterating x ← decode(encode(x)) of a sparse autoencoder from noise.

    What is found are fixed points: objects that the autoencoder gives back as they are. Pictures are read as a few strokes
    (``image="winners"``: winner-take-all convolutional maps), anything else through a code of few active numbers
    (``sparsity="topk(k)"``). A sparse code knows parts and not what they may be part of, so that parts of known objects
    make up unknown ones.

    Args:
        starts: noise objects that ``fit`` starts from. steps: of the iteration, at most.
        binarise: whether pictures become ink and paper at every step, by a threshold, for each picture its own, that keeps the
            training pictures' share of ink; None: where the pictures are nearly so themselves.
        most_types: number of types at most; least: objects that make a type.
        image: ``winners``, ``dense`` or ``positional``; None: ``winners`` for an x that is one picture.
        channels: maps of ``winners``. code, sparsity, hidden: of other autoencoders.
        reconstruction: decision rule of x's columns.
        step_size, batch_size, epochs: of the autoencoder's training.
        random_state: seed of everything. threads: torch threads. verbose: whether to show progress.

    Attributes (after ``fit``):
        types_: list of :class:`~trine.evaluation.kinds.Kind`. scores_: of all objects together. trace_: of each step of the
            iteration, ``change`` (mean absolute; of pixels in [0, 1], of numbers in standard deviations) and ``fixed`` (share).
        autoencoder_, classifier_: fitted estimators; the latter None where rows have no labels.
        assigned_: (objects,) the type of each object, −1 of none. map_: (known, 2) and (objects, 2) places.

    References:
        Kazakçı, Cherti and Kégl, `Digits that are not: generating new types through deep neural nets`, 2016.
        Cherti, Kégl and Kazakçı, `Out-of-class novelty generation`, 2017.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> model = Novelty(starts=50, epochs=3, random_state=0).fit(load_digits().images)
        >>> model.generate(10, seed=1).shape[1:]
        (8, 8)
    """

    kind = "novelty"
    method = "autoencoder"

    def __init__(
        self,
        *,
        starts: int = 1000,
        steps: int = 100,
        binarise: bool | None = None,
        most_types: int = 40,
        least: int = 3,
        image: str | None = None,
        channels: int | None = None,
        code: int | None = None,
        sparsity: str | None = None,
        hidden: tuple[int, ...] | None = None,
        reconstruction: str | Mapping[str, str] | None = None,
        step_size: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        random_state: int | None = None,
        threads: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.starts = starts
        self.steps = steps
        self.binarise = binarise
        self.most_types = most_types
        self.least = least
        self.image = image
        self.channels = channels
        self.code = code
        self.sparsity = sparsity
        self.hidden = hidden
        self.reconstruction = reconstruction
        self.step_size = step_size
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state
        self.threads = threads
        self.verbose = verbose

    # Fitting -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        new: Sequence[Any] = (),
        autoencoder: Autoencoder | None = None,
        classifier: Any = None,
        out: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Learn what is known, find what it could also be, and score the types.

        Args:
            X: rows: an array, a data frame, a path, a table; pictures as (rows, height, width[, channels]) pixels.
            y: (rows,) labels, or the name of a column of X that has them; None: what the data name as their target, if any. They
                are no part of x: they say which known class a type is near, and train the classifier that scores it.
            new: labels that the autoencoder is not to see; the classifier learns them, and tells how many objects are of them.
            autoencoder: fitted on rows of the same columns; None trains one on the rows that are not ``new``.
            classifier: fitted on the same columns, with ``predict_proba``, ``represent`` and ``classes_``; None trains one on all
                rows, where they have labels.
            out: directory for the autoencoder's run, so that it can be resumed: the same call goes on with it, and one that asks
                for another autoencoder is refused.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
        """
        self._check(autoencoder, classifier, out)
        table, label = labelled(X, y)
        names, codes = classes(table, label)
        held = held_out(new, names, label)
        rows = np.flatnonzero(~np.isin(codes, held))
        if len(rows) < 2:
            raise DataError(
                f"{len(rows)} rows are left to learn from, and at least 2 are needed; name fewer new labels."
            )
        inputs = table.select([name for name in table.names if name != label])
        known = inputs if len(rows) == table.rows else inputs.take(rows)
        seed = self.random_state or 0
        self.autoencoder_ = autoencoder if autoencoder is not None else self._train(known, seed, out)
        self.schema_: Schema = self.autoencoder_.schema_
        self.derivation_, self.plan_ = self.autoencoder_.derivation_, self.autoencoder_.plan_
        self.classifier_ = classifier
        if classifier is None and label is not None and len(names) > 1:
            self.classifier_ = self._classify(table, label, codes, seed)
        self.classes_, self.new_ = names, [names[c] for c in held]
        chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:KNOWN])
        self.known_: Store = self.autoencoder_._encode(inputs.take(chosen))[0]
        self.known_classes_: NDArray[np.int64] = codes[chosen]
        self._look = Look.of(self.known_, self.schema_.x, self.binarise)
        self.novelty_, self.calibrations_ = None, {}
        self._explore(self.starts, seed)
        self.provenance_ = {**self.autoencoder_.provenance_}
        self.metrics_ = {"novelty": {name: {"value": value} for name, value in self.scores_.items()}}
        return self

    def _check(self, autoencoder: Any, classifier: Any, out: Any) -> None:
        """Refuse what cannot be, before anything is read."""
        for name in ("starts", "steps", "most_types", "least"):
            count(name, getattr(self, name), "at least 1")
        seed_of(self.random_state, 0, "random_state")
        yes_or_no("binarise", self.binarise)
        if self.threads is not None:
            count("threads", self.threads, "1 or more, or None to be chosen")
        self.get_choices()
        fitted = "one that is fitted, or None: one is trained"
        if autoencoder is not None and not (isinstance(autoencoder, Autoencoder) and hasattr(autoencoder, "schema_")):
            raise ChoiceError(f"The autoencoder is {_short(autoencoder)}; give {fitted}.")
        if classifier is not None and not all(
            hasattr(classifier, name) for name in ("predict_proba", "represent", "classes_")
        ):
            raise ChoiceError(f"The classifier is {_short(classifier)}; give {fitted}.")
        if out is not None and not isinstance(out, str | os.PathLike):
            raise ChoiceError(f"out is {out!r}; it is the path of a directory, or None.")

    def _train(self, known: Table, seed: int, out: str | os.PathLike[str] | None) -> Autoencoder:
        """The sparse autoencoder of the known rows."""
        directory = None if out is None else Path(out) / RUN
        choices = self._derived(known)
        if directory is not None and (directory / "run.json").is_file():
            _require_same(directory, known, Choices.of(choices), seed)
            found: Autoencoder = resume(directory, data=known, verbose=self.verbose)
            return found
        model: Autoencoder = train(
            known, method="autoencoder", valid=0.0, seed=seed, threads=self.threads, out=directory, verbose=self.verbose,
            **choices,
        )  # fmt: skip
        return model

    def _derived(self, known: Table) -> dict[str, Any]:
        """Choices of the autoencoder: this estimator's, and what follows from x."""
        named = (
            "image",
            "channels",
            "code",
            "sparsity",
            "hidden",
            "reconstruction",
            "step_size",
            "batch_size",
            "epochs",
        )
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        picture = len(known.names) == 1 and Image.recognise(known.column(known.names[0])) is not None
        if picture:
            found: dict[str, Any] = {
                "image": "winners",
                "reconstruction": "pixel-bernoulli",
                "epochs": int(np.clip(150_000 // max(known.rows, 1), 5, 100)),
            }
            if given.get("image", "winners") == "winners":
                found["step_size"] = 3e-3
            elif "sparsity" not in given:
                found |= {"code": 500, "sparsity": "topk(25)"}
            return found | given
        width = given.get("code", 128)
        # As many numbers as x has, or as the code has, would hold a copy.
        numbers = numbers_in(Schema.infer(known).fit(known)) if "sparsity" not in given else width
        kept = max(min(max(width // 16, 2), numbers - 1, width - 1), 1)
        return {"code": width, "sparsity": f"topk({kept})"} | given

    def _classify(self, table: Table, label: str, codes: NDArray[np.int64], seed: int) -> Any:
        """A classifier of all rows that have a label."""
        labelled = np.flatnonzero(codes >= 0)
        part = table if len(labelled) == table.rows else table.take(labelled)
        more: dict[str, Any] = {}
        if any(isinstance(domain, Image) for domain in self.schema_.x.values()):
            more = {"epochs": int(np.clip(60_000 // max(len(labelled), 1), 3, 20))}
        return train(
            part,
            label,
            domains={label: "category"},
            valid=0.0,
            seed=seed,
            threads=self.threads,
            verbose=self.verbose,
            **more,
        )

    @property
    def ink_(self) -> dict[str, float]:
        """Column of pictures that become ink on paper at every step → share of their pixels that are ink."""
        return self._look.ink

    # Generating --------------------------------------------------------------------------------------------------

    def generate(self, n: int = 100, *, seed: int | None = None, start: Any = None) -> Any:
        """Objects that the autoencoder gives back as they are, each once: at most ``n``.

        Args:
            n: noise objects to start from. seed: of the noise; None: the estimator's own.
            start: rows to start from in the place of noise, as ``X`` of :meth:`fit`.

        Returns:
            Rows in the user's units: an array of pictures where x is one picture, else a mapping from column to values.

        Raises:
            ChoiceError: ``n`` is no whole number, or below 1.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        n = count("n", n, "generation starts from at least 1 noise object")
        first = self._noise(n, seed_of(seed, self.random_state or 0)) if start is None else read(start)
        store, fixed, _ = iterated(self.autoencoder_, self._look, first, self.steps)
        rows = self._look.distinct(store, np.flatnonzero(fixed))
        return self._values(store, rows)

    @property
    def objects_values_(self) -> Any:
        """All objects that ``fit`` found, in the form of :meth:`generate`."""
        return self._values(self.objects_, np.arange(self.objects_.rows))

    def values_of_type(self, kind: Kind) -> Any:
        """The objects of a type, from its centre outwards, in the form of :meth:`generate`."""
        return self._values(self.objects_, np.array(kind.members))

    def _noise(self, n: int, seed: int) -> Table:
        rng = np.random.default_rng(seed)
        return table_of(
            {
                name: noise(domain, functools.partial(self._column, self.known_, name), n, rng)
                for name, domain in self.schema_.x.items()
            }
        )

    def _column(self, store: Store, name: str, rows: NDArray[np.int64] | None = None) -> Any:
        """The column ``name`` of a store, in the user's units."""
        index = torch.arange(store.rows) if rows is None else torch.from_numpy(rows)
        return self.schema_.x[name].decode(store.encoded(f"x.{name}", index))

    def _values(self, store: Store, rows: NDArray[np.int64]) -> Any:
        columns = {name: self._column(store, name, rows) for name in self.schema_.x}
        if len(columns) == 1 and isinstance(next(iter(self.schema_.x.values())), Image):
            return next(iter(columns.values()))
        return columns

    # Types -------------------------------------------------------------------------------------------------------

    def _explore(self, n: int, seed: int) -> None:
        """Objects from noise, their types, and the scores of both."""
        model = self.autoencoder_
        store, fixed, self.trace_ = iterated(model, self._look, self._noise(n, seed), self.steps)
        rows = self._look.distinct(store, np.flatnonzero(fixed))
        if not len(rows):
            raise DataError(
                f"Of {n} objects none came to rest in {self.steps} steps; give more steps (steps=...), or train the autoencoder "
                f"with {longer(model.provenance_.get('stopped'))} or a sparser code."
            )
        table = table_of({name: self._column(store, name, rows) for name in self.schema_.x})
        self.objects_: Store = model._encode(table)[0]
        known, new = reduced(self._look.flat(self.known_, True), self._look.flat(self.objects_, True), seed)
        found = clusters(new, seed, self.most_types, self.least)
        self.assigned_, self.silhouettes_ = found.assigned, found.silhouettes
        labels, codes = self._known_classes()
        p, classes, held = self._judged(table)
        features = self._features(table), self._features(self._known_table())
        deep = reduced(features[1].astype(np.float64), features[0].astype(np.float64), seed)
        distances = apart(new, known, codes, len(labels))
        deeper = apart(deep[1], deep[0], codes, len(labels))
        self.types_: list[Kind] = kinds(new, found, distances, labels, p, classes, held, deeper)
        self.map_ = plane(known, new, seed)
        self.p_ = p
        self.scores_: dict[str, float] = {
            "fixed": float(fixed.mean()),
            "unique": len(rows) / max(int(fixed.sum()), 1),
            "objects": float(len(rows)),
            "types": float(len(self.types_)),
            "in_types": float((self.assigned_ >= 0).mean()),
            "coherence": _weighted(self.types_),
            "coherence_of_noise": self._noise_coherence(known, seed),
            **self._scored(known, new, p, held),
        }
        if held:
            taken = [kind.taken_for for kind in self.types_ if kind.taken_for in self.new_]
            self.scores_ |= {"types_taken_for_new": float(len(taken)), "new_classes_reached": float(len(set(taken)))}

    def judge(self, X: Any) -> dict[str, float]:
        """The scores of other rows, to compare ``scores_`` with: of real ones, or of another generator's.

        Args:
            X: rows with the columns of x.

        Returns:
            ``distance``: median distance from the known rows, in units of their own spacing; with a classifier ``objectness``,
            ``unsure`` (share with no class above 0.5), and where classes were held out ``out_of_class_count``,
            ``out_of_class_max`` and ``out_of_class_first`` (share whose likeliest class is one of them).
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        table = read(X)
        store = self.autoencoder_._encode(table)[0]
        known, rows = reduced(self._look.flat(self.known_, True), self._look.flat(store, True), self.random_state or 0)
        p, _, held = self._judged(table)
        return self._scored(known, rows, p, held)

    def _scored(
        self, known: NDArray[np.float64], rows: NDArray[np.float64], p: NDArray[np.float64] | None, held: list[int]
    ) -> dict[str, float]:
        one = np.zeros(len(known), dtype=np.int64)
        found = {"distance": float(np.median(apart(rows, known, one, 1)))}
        if p is None:
            return found
        found |= {"objectness": objectness(p), "unsure": float((p.max(axis=1) < 0.5).mean())}
        if held:
            scores = out_of_class(p, held)
            found |= {
                "out_of_class_count": scores["count"],
                "out_of_class_max": scores["max"],
                "out_of_class_first": float(np.isin(p.argmax(axis=1), held).mean()),
            }
        return found

    def _noise_coherence(self, known: NDArray[np.float64], seed: int) -> float:
        """Mean silhouette of as many types in the noise that the objects came from: what k-means finds where nothing is."""
        if len(self.types_) < 2:
            return math.nan
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score

        start = self._look.flat(self.autoencoder_._encode(self._noise(min(self.starts, 500), seed))[0], True)
        start = reduced(start, start, seed)[0]
        if len(start) <= len(self.types_):
            return math.nan
        return float(silhouette_score(start, KMeans(len(self.types_), n_init=2, random_state=seed).fit_predict(start)))

    def _known_classes(self) -> tuple[list[str], NDArray[np.int64]]:
        """Names of the classes that known rows have, and of each row which."""
        if not self.classes_:
            return [NEVER], np.zeros(self.known_.rows, dtype=np.int64)
        kept = [c for c in range(len(self.classes_)) if (self.known_classes_ == c).sum() > 1]
        if not kept:
            return [NEVER], np.zeros(self.known_.rows, dtype=np.int64)
        places = {c: i for i, c in enumerate(kept)}
        return [self.classes_[c] for c in kept], np.array([places.get(int(c), -1) for c in self.known_classes_])

    def _judged(self, table: Table) -> tuple[NDArray[np.float64] | None, list[str], list[int]]:
        """(what the classifier says of objects, of which classes, which of them are new)."""
        if self.classifier_ is None:
            return None, [], []
        classes = [str(label) for label in self.classifier_.classes_]
        p = np.asarray(self.classifier_.predict_proba(self._for_classifier(table)), dtype=np.float64)
        return p, classes, [classes.index(label) for label in self.new_ if label in classes]

    def _features(self, table: Table) -> NDArray[np.float32]:
        """(rows, features) of the classifier, else the code."""
        found = (
            self.autoencoder_.represent(table)
            if self.classifier_ is None
            else self.classifier_.represent(self._for_classifier(table))
        )
        return np.asarray(found, dtype=np.float32)

    def _for_classifier(self, table: Table) -> Any:
        """Objects as the classifier reads them: by name, or of one fitted on arrays the array."""
        if self.classifier_._from_arrays() and len(table.names) == 1:
            renamed = dataclasses.replace(table.column(table.names[0]), name=next(iter(self.classifier_.schema_.x)))
            return Table.of([renamed])
        return table

    def _known_table(self) -> Table:
        return table_of({name: self._column(self.known_, name) for name in self.schema_.x})

    # Saving and loading ------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The JSON half of the artefact."""
        parameters = {**self.get_params(deep=False), "random_state": self.random_state or 0}
        return {
            "estimator": self.kind,
            "method": self.method,
            "parameters": {k: list(v) if isinstance(v, tuple) else v for k, v in parameters.items()},
            "autoencoder": self.autoencoder_.manifest(),
            "classifier": None if self.classifier_ is None else self.classifier_.manifest(),
            "fields": to_json(self.known_),
            "classes": self.classes_,
            "new": self.new_,
            "ink": self.ink_,
            "types": [kind.to_json() for kind in self.types_],
            "silhouettes": {str(k): value for k, value in self.silhouettes_.items()},
            "scores": {name: None if math.isnan(value) else value for name, value in self.scores_.items()},
            "trace": self.trace_,
            "provenance": self.provenance_,
            "versions": versions(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The other half."""
        found = {f"autoencoder.{name}": tensor for name, tensor in self.autoencoder_.tensors().items()}
        if self.classifier_ is not None:
            found |= {f"classifier.{name}": tensor for name, tensor in self.classifier_.tensors().items()}
        for prefix, store in (("known", self.known_), ("objects", self.objects_)):
            found |= {f"{prefix}.{name}": tensor for name, tensor in to_tensors(store).items()}
        arrays = {
            "known_classes": self.known_classes_,
            "assigned": self.assigned_,
            "map.known": self.map_[0],
            "map.objects": self.map_[1],
        }
        arrays |= {} if self.p_ is None else {"p": self.p_}
        return found | {
            f"found.{name}": torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artefact: autoencoder, classifier, objects and types in one safetensors file that executes nothing.

        Raises:
            ArtefactError: the file cannot be written.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return artefact.save(path, self.manifest(), self.tensors())

    @classmethod
    def _restore(cls, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str) -> Self:
        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        try:
            given = dict(manifest["parameters"])
            given["hidden"] = None if given["hidden"] is None else tuple(given["hidden"])
            model = cls(**given)
            model.autoencoder_ = Autoencoder._restore(manifest["autoencoder"], part("autoencoder."), path)
            model.schema_ = model.autoencoder_.schema_
            model.derivation_, model.plan_ = model.autoencoder_.derivation_, model.autoencoder_.plan_
            about = manifest["classifier"]
            model.classifier_ = None
            if about is not None:
                model.classifier_ = estimators[str(about["estimator"])]._restore(about, part("classifier."), path)
            model.classes_, model.new_ = list(manifest["classes"]), list(manifest["new"])
            model.known_ = restored(manifest["fields"], part("known."))
            model.objects_ = restored(manifest["fields"], part("objects."))
            found = {name: value.numpy() for name, value in part("found.").items()}
            model.known_classes_, model.assigned_ = found["known_classes"], found["assigned"]
            model.map_, model.p_ = (found["map.known"], found["map.objects"]), found.get("p")
            look = Look.of(model.known_, model.schema_.x, model.binarise)
            ink = {str(name): float(value) for name, value in manifest["ink"].items()}
            model._look = dataclasses.replace(look, ink=ink)
            model.types_ = [Kind.from_json(kind) for kind in manifest["types"]]
            model.silhouettes_ = {int(k): float(value) for k, value in manifest["silhouettes"].items()}
            model.scores_ = {k: math.nan if value is None else float(value) for k, value in manifest["scores"].items()}
            model.trace_, model.provenance_ = list(manifest["trace"]), dict(manifest["provenance"])
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ArtefactError(
                f"{path} does not fit together ({type(error).__name__}: {error}): it was altered, or written by a trine whose "
                f"parts differ (this is {versions()['trine']})."
            ) from None
        model.novelty_, model.calibrations_, model.evaluations_, model.history_ = None, {}, {}, []
        model.metrics_ = {"novelty": {name: {"value": value} for name, value in model.scores_.items()}}
        return model


def _require_same(directory: Path, known: Table, choices: Choices, seed: int) -> None:
    """Refuse to go on with a run of another autoencoder than the one that is asked for.

    Raises:
        RunError: its rows, choices or seed are others; names those that differ.
    """
    with taken_at_its_word(directory):
        record = Run.read(directory)
        plan = Plan.from_json(record["plan"])
        same_rows = record["fingerprint"] == known.fingerprint()
    advice = "Make the call as it was made then, or name another directory."
    if not same_rows:
        raise RunError(f"The autoencoder in {directory} learns other rows than those that are given now. {advice}")
    there, asked = {**plan.choices.to_json(), "seed": plan.seed}, {**choices.to_json(), "seed": seed}
    names = [name for name in asked if asked[name] != there[name]]
    if names:
        has, wants = (", ".join(f"{name}={_said(found[name])}" for name in names) for found in (there, asked))
        raise RunError(f"The autoencoder in {directory} has {has}; asked for: {wants}. {advice}")


def _said(value: Any) -> str:
    return "(derived)" if value is None else str(value)


def _short(value: Any) -> str:
    return f"a {type(value).__name__} that is not fitted" if isinstance(value, Estimator) else repr(value)


def _weighted(found: Sequence[Kind]) -> float:
    sizes = np.array([kind.size for kind in found], dtype=np.float64)
    return float(np.average([kind.coherence for kind in found], weights=sizes)) if len(sizes) else math.nan
