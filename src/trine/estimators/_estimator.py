"""What every estimator shares: parameters as choices, fitting through a plan, batches of outputs, saving and loading."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import Tensor

from trine import artefact
from trine._version import __version__
from trine.choices import Choices
from trine.data import Batch, Schema, Store, Table, read, stored
from trine.domains import Domain
from trine.errors import ArtefactError, DataError, RunError, nearest
from trine.estimators._arguments import require_rows_of_pictures, seed_of, share
from trine.estimators._batched import chunk_of
from trine.estimators._calibration import PREFIX as CALIBRATION
from trine.estimators._calibration import restored, to_tensors
from trine.estimators._novelty import assess_pass, fit_detector, watch_of
from trine.estimators._plan import Plan, Prepared, prepare
from trine.estimators._training import Fitted, fit
from trine.evaluation.calibration import Calibration
from trine.evaluation.novelty import NoveltyDetector
from trine.methods import Derivation, Facts, derive
from trine.models import Autoencoder, Posterior
from trine.registry import Registry
from trine.training import Run

estimators: Registry[type[Estimator]] = Registry("estimator", "trine.estimators")


SERIES = "x"
"""What the column of an array of series is called."""
MORE = "more."
"""Prefix of the tensors that a kind of estimator keeps of its own."""
NOVELTY = "novelty."
"""Prefix, in an artefact, of the detector's tensors; none of the model's begins so."""


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators; the parameters are documented on :class:`~trine.choices.Choices` and :class:`Plan`.

    Attributes (after ``fit``):
        derivation_: the three parts and why they are so; ``print(model.derivation_)`` shows it.
        schema_: domains of x and y with what they learned. history_: one record an epoch (losses, held-out score).
        novelty_: the :class:`~trine.evaluation.novelty.NoveltyDetector`; None in artefacts of before there was one.
        n_features_in_: number of input columns. feature_names_in_: their names, when they were strings.
    """

    kind: ClassVar[str]
    method: ClassVar[str]
    _run: Run | None = None
    """Where ``fit`` logs and keeps checkpoints, of an estimator that is a part of what a run trains."""

    def get_choices(self) -> Choices:
        """The parameters that are choices, as given."""
        names = {field.name for field in dataclasses.fields(Choices)}
        return Choices.of({k: v for k, v in self.get_params(deep=False).items() if k in names})

    @classmethod
    def parameters_of(cls, choices: Mapping[str, Any]) -> dict[str, Any]:
        """What of ``choices``, name → value, are parameters of this estimator, under its own names."""
        names = set(cls().get_params(deep=False))
        return {name: value for name, value in choices.items() if name in names}

    # Fitting -----------------------------------------------------------------------------------------------------

    def _plan(self, y: Sequence[str], domains: Mapping[str, Any]) -> Plan:
        """The statement that ``fit`` makes, from the constructor's parameters."""
        parameters = self.get_params(deep=False)
        state = parameters["random_state"]
        if state is None or isinstance(state, np.random.RandomState | np.random.Generator):
            seed = _drawn(state)
        else:
            seed = seed_of(state, name="random_state")
        return Plan(
            y=tuple(y),
            domains=dict(domains),
            method=self.method,
            choices=self.get_choices(),
            stop_fraction=share("validation_fraction", parameters["validation_fraction"]),
            class_weight=_pairs(parameters.get("class_weight")),
            seed=seed,
            threads=parameters["threads"],
            budget=parameters["budget"],
            fewest=1,
        )

    def _fit(self, plan: Plan, table: Table, weight: np.ndarray | None = None) -> Self:
        prepared = prepare(plan, table, weight=weight)
        self._adopt(prepared.derivation, plan)
        fitted = fit(prepared, run=self._run, progress=bool(self.get_params(deep=False)["verbose"]))
        return self._finish(prepared, fitted)

    def _adopt(self, derivation: Derivation, plan: Plan) -> None:
        """Take the parts as this estimator's own."""
        self.derivation_ = derivation
        self.schema_: Schema = derivation.schema
        self.plan_ = plan
        if not self._from_arrays():
            self.n_features_in_ = len(self.schema_.x)

    def _from_arrays(self) -> bool:
        """Whether it was fitted on (X, y), whose columns go by place, and not on a table, whose columns go by name."""
        return bool(getattr(self, "from_arrays_", False))

    def _finish(self, prepared: Prepared, fitted: Fitted) -> Self:
        """Keep what training left."""
        self.derivation_.model.eval()
        self.novelty_: NoveltyDetector | None = fit_detector(prepared)
        self.calibrations_: dict[str, Calibration] = {}
        self.history_ = fitted.result.history
        self.n_iter_ = max(1, fitted.result.epochs)
        self.provenance_: dict[str, Any] = {
            "rows": {
                "train": len(prepared.rows.train),
                "stop": len(prepared.rows.stop),
                "held_out": len(prepared.rows.held_out),
                **({"unlabelled": len(prepared.rows.unlabelled)} if prepared.unlabelled else {}),
            },
            "seconds": fitted.result.seconds,
            "epochs": fitted.result.epochs,
            "best_epoch": fitted.result.best_epoch,
            "stopped": fitted.result.stopped,
            "threads": fitted.threads,
        }
        self.metrics_: dict[str, Any] = {}
        return self

    # Using -------------------------------------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "derivation_")

    def _check_inputs(self, X: Any, *, reset: bool) -> tuple[Table, dict[str, str]]:
        """X as a table, checked as scikit-learn checks it; and the domains that its form implies.

        A plain array of numbers is what its author says it is: numbers, none of them taken for an identifier or a code. A mapping
        from column to values goes by its names.
        """
        from sklearn.utils.validation import validate_data

        if isinstance(X, Mapping) and not hasattr(X, "toarray"):  # one of SciPy's sparse arrays is a dict
            table = read(X)
            if reset:
                self.n_features_in_ = len(table.names)
                self.feature_names_in_ = np.array(table.names, dtype=object)
            return table, {}
        array = isinstance(X, np.ndarray | torch.Tensor)
        if (series := self._series(X, reset)) is not None:
            return read({SERIES: series}), {}
        if hasattr(X, "columns") and not array:
            validate_data(self, X, reset=reset, skip_check_array=True)
            return read(X), {}
        if array and X.ndim > 2:
            return read(X), {}
        checked = validate_data(
            self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=2 if reset else 1
        )
        if reset and checked.dtype.kind == "f" and np.isnan(checked).all():
            raise DataError("All numbers of X are missing (NaN), so that there is nothing to learn from; give some.")
        if checked.dtype.kind in "biuf":
            table = read(checked.astype(np.float64))
            return table, dict.fromkeys(table.names, "real")
        return read(checked), {}

    def _series(self, X: Any, reset: bool) -> NDArray[Any] | None:
        """Rows that are series of different lengths as an array of them; None of rows that are not.

        To begin with, their lengths tell; once fitted on such rows, a few of one length are series as well.
        """
        known = not reset and [(name, domain.ragged) for name, domain in self.schema_.x.items()] == [(SERIES, True)]
        return series_of(X, known)

    def _table(self, data: Any) -> Table:
        """``data`` as a table that has every input column.

        Raises:
            DataError: a column that training had is not there; names it and the nearest.
        """
        require_rows_of_pictures(data, self.schema_.x)
        if self._from_arrays() and not isinstance(data, str | Table) and not hasattr(data, "__fspath__"):
            data = self._check_inputs(data, reset=False)[0]
        table = data if isinstance(data, Table) else self.plan_.shaped(read(data, pairs=self.plan_.pairs))
        absent = [name for name in self.schema_.x if name not in table]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(
                f"The data lack the column {absent[0]!r}{more}, which the model was trained with."
                f"{nearest(absent[0], table.names)} Give all of: {', '.join(self.schema_.x)}."
            )
        return table

    def _encode(self, data: Any, *, targets: bool = False) -> tuple[Store, Table]:
        table = self._table(data)
        return stored(table, self.schema_, targets=targets, memory=self.plan_.memory), table

    def _outputs(self, store: Store, chosen: Tensor | None = None, *, assess: bool = False) -> Iterator[dict[str, Any]]:
        """The model's outputs, a chunk of rows at a time, in evaluation; with ``assess`` also ``novelty``, where there is a
        detector.
        """
        for _, outputs in self._batches(store, chosen, assess=assess):
            yield outputs

    def _batches(
        self, store: Store, chosen: Tensor | None = None, *, assess: bool = False
    ) -> Iterator[tuple[Batch, dict[str, Any]]]:
        """(batch, what :meth:`_outputs` gives for it), a chunk of rows at a time."""
        index = torch.arange(store.rows) if chosen is None else chosen
        model = self.derivation_.model.eval()
        watch = watch_of(model) if assess and self.novelty_ is not None else None
        # Of many θ's one is watched, in a pass of its own.
        apart = isinstance(model, Posterior)
        with torch.inference_mode(), contextlib.nullcontext() if apart else watch or contextlib.nullcontext():
            for batch in store.batches(torch.split(index, chunk_of(store, self.schema_))):
                outputs = model(batch)
                if watch is not None and self.novelty_ is not None:
                    if apart:
                        with watch:
                            outputs["z"] = watch.encoder(batch)
                    outputs["novelty"] = assess_pass(self.novelty_, watch, outputs["z"], batch)
                yield batch, outputs

    def represent(self, data: Any) -> NDArray[np.float32]:
        """(rows, features) z of each row: what the decision rule reads; of weight-sharing members their mean.

        Of an autoencoder it is the code's mean, of a code of categories the likeliest. Of many θ's, the representation under the
        one that is shown.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        store, _ = self._encode(data)
        model = self.derivation_.model.eval()
        network = model.network if isinstance(model, Posterior) else model
        parts: list[Tensor] = []
        with torch.inference_mode():
            for batch in store.batches(torch.split(torch.arange(store.rows), chunk_of(store, self.schema_))):
                z: Tensor = network.encode(batch)[1] if isinstance(network, Autoencoder) else _z(network, batch)
                parts.append(z.float().flatten(0, -3).mean(0) if z.dim() > 2 else z.float())
        return torch.cat(parts).numpy()

    def first(self, data: Any, rows: int = 2) -> Batch:
        """The batch of the first ``rows`` rows of ``data``, e.g. to show the shapes that pass between the blocks."""
        store, _ = self._encode(data)
        return store.batch(torch.arange(min(rows, store.rows)))

    # Saving and loading ------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The JSON half of the artefact."""
        return {
            "estimator": self.kind,
            "method": self.plan_.method,
            "schema": self.schema_.to_json(),
            "choices": self.derivation_.choices.to_json(),
            "reasons": self.derivation_.reasons,
            "facts": _facts_json(self.derivation_.facts),
            "plan": self.plan_.to_json(),
            "arrays": self._array_inputs(),
            "calibration": {name: found.to_json() for name, found in self.calibrations_.items()},
            "provenance": self.provenance_,
            "metrics": self.metrics_,
            "versions": versions(),
        }

    def _array_inputs(self) -> dict[str, Any] | None:
        """Number (of pixels none) and names of the columns of X, when it was fitted on arrays."""
        if not self._from_arrays():
            return None
        names = getattr(self, "feature_names_in_", None)
        return {
            "columns": getattr(self, "n_features_in_", None),
            "names": None if names is None else [str(name) for name in names],
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artefact: JSON and tensors in one safetensors file, by custom called ``*.trine``.

        Raises:
            ArtefactError: the file cannot be written.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return artefact.save(path, self.manifest(), self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """The other half of the artefact."""
        tensors: dict[str, Tensor] = dict(self.derivation_.model.state_dict())
        if self.novelty_ is not None:
            tensors.update({NOVELTY + name: tensor for name, tensor in self.novelty_.tensors.items()})
        tensors.update(to_tensors(self.calibrations_))
        tensors.update({MORE + name: tensor.contiguous() for name, tensor in self._more_tensors().items()})
        return tensors

    @classmethod
    def _restore(cls, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str) -> Self:
        """The fitted estimator that :meth:`save` wrote."""
        try:
            schema = Schema.from_json(manifest["schema"])
            choices = Choices.from_json(manifest["choices"])
            plan = Plan.from_json(manifest["plan"])
            data = dict(manifest["facts"])
            invariances = data["invariances"]
            facts = Facts(
                data["rows"],
                None if invariances is None else tuple(invariances),
                data["evidence"],
                int(data.get("unlabelled", 0)),
                int(data.get("table_rows", 0)),
            )
            derivation = derive(str(manifest["method"]), schema, choices, facts, plan.seed)
            derivation = dataclasses.replace(derivation, reasons=dict(manifest["reasons"]))
            novelty = {name.removeprefix(NOVELTY): part for name, part in tensors.items() if name.startswith(NOVELTY)}
            derivation.model.load_state_dict(
                {k: v for k, v in tensors.items() if not k.startswith((NOVELTY, CALIBRATION, MORE))}
            )
            calibrations = restored(manifest, tensors)
            detector = NoveltyDetector.restored(novelty) if novelty else None
            provenance, metrics = dict(manifest["provenance"]), dict(manifest["metrics"])
        except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
            # torch names the tensors that do not fit on the lines after its first.
            lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()] or [
                type(error).__name__
            ]
            first = lines[1] if isinstance(error, RuntimeError) and len(lines) > 1 else lines[0]
            first = f"its manifest lacks {first}" if isinstance(error, KeyError) else first
            raise ArtefactError(
                f"{path} does not fit together ({first}): it was altered, or written by a trine whose parts differ "
                f"({(manifest.get('versions') or {}).get('trine', 'unknown')}; this is {versions()['trine']})."
            ) from None
        estimator = cls(**cls.parameters_of(dataclasses.asdict(plan.choices)), random_state=plan.seed)
        if (arrays := manifest.get("arrays")) is not None:
            estimator.from_arrays_ = True
            if arrays["columns"] is not None:
                estimator.n_features_in_ = int(arrays["columns"])
            if arrays["names"] is not None:
                estimator.feature_names_in_ = np.array(arrays["names"], dtype=object)
        estimator._adopt(derivation, plan)
        derivation.model.eval()
        estimator.novelty_ = detector
        estimator._take_tensors({k.removeprefix(MORE): v for k, v in tensors.items() if k.startswith(MORE)})
        estimator.calibrations_ = calibrations
        estimator.history_ = []
        estimator.provenance_, estimator.metrics_ = provenance, metrics
        estimator._learn_schema()
        return estimator

    def _more_tensors(self) -> dict[str, Tensor]:
        """What the artefact keeps besides the model's tensors, by name."""
        return {}

    def _take_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take what :meth:`_more_tensors` gave."""

    def _learn_schema(self) -> None:
        """Set the fitted attributes that scikit-learn expects and the schema holds."""

    def _target(self) -> Domain:
        """The only target's domain."""
        return next(iter(self.schema_.y.values()))


def series_of(X: Any, known: bool = False) -> NDArray[Any] | None:
    """(rows,) arrays, of a list or an array of series of different lengths, or of any lengths where they are ``known`` to be such;
    None of anything else.
    """
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object):
        return None
    if not len(X) or not all(isinstance(row, list | tuple | np.ndarray) and np.ndim(row[:1]) > 0 for row in X):
        return None
    if not known and len({len(row) for row in X}) == 1:
        return None
    rows = np.empty(len(X), dtype=object)
    for i, row in enumerate(X):
        rows[i] = np.asarray(row)
    return rows


def load(path: str | os.PathLike[str]) -> Any:
    """The estimator saved at ``path`` (by ``save``, or as ``model.trine`` in a run).

    Raises:
        ArtefactError: no such file, truncated, altered, or of a newer format.
        RunError: a run that is not finished.
    """
    source = Path(path)
    if (source / "model.trine").is_file():
        source = source / "model.trine"
    elif (source / "run.json").is_file():
        raise RunError(
            f"The run {source} is not finished and has no model yet; go on with it first: trine resume {source}"
        )
    manifest, tensors = artefact.load(source)
    kind = manifest.get("estimator")
    if kind not in estimators:
        raise ArtefactError(
            f"{source} holds an estimator {kind!r} that this trine does not know; a newer one wrote it."
        )
    return estimators[str(kind)]._restore(manifest, tensors, str(source))


def _z(network: Any, batch: Batch) -> Any:
    return network.encoder(batch)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    import sklearn

    return {
        "trine": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def _facts_json(facts: Facts) -> dict[str, Any]:
    return {
        "rows": facts.rows,
        "invariances": None if facts.invariances is None else list(facts.invariances),
        "evidence": facts.evidence,
        "unlabelled": facts.unlabelled,
        "table_rows": facts.table_rows,
    }


def _pairs(weights: Any) -> Any:
    """A mapping from class to weight as pairs, which JSON keeps as they are."""
    return (
        tuple((_own(label), _own(weight)) for label, weight in weights.items())
        if isinstance(weights, Mapping)
        else weights
    )


def _own(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _drawn(state: np.random.RandomState | np.random.Generator | None) -> int:
    if isinstance(state, np.random.Generator):
        return int(state.integers(2**31 - 1))
    if isinstance(state, np.random.RandomState):
        return int(state.randint(2**31 - 1))
    return int(np.random.default_rng().integers(2**31 - 1))
