"""Transfer: what one model has learned of x, put to use where labels are few."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from torch import Tensor
from torch.distributions import Categorical, Distribution

from trine import artefact
from trine.choices import Choices
from trine.data import Schema, Store, Table, encode, read, split
from trine.domains import Category, Column, Labels, Text
from trine.errors import ArtefactError, ChoiceError, DataError, SchemaError, nearest
from trine.estimators._answers import answer, written
from trine.estimators._arguments import share
from trine.estimators._batched import chunk_of, concatenate
from trine.estimators._encoders import Inputs, Source, at_rest, source_of
from trine.estimators._estimator import Estimator, estimators
from trine.estimators._heads import Head, LinearHead, NetHead, Task, head_of
from trine.estimators._plan import Prepared, Rows
from trine.estimators._training import fit as train
from trine.estimators._transferred.answering import Answering
from trine.estimators._transferred.artefact import parts_of, restore
from trine.estimators._transferred.kept import about, begun, keep, require_free_or_transfer
from trine.evaluation import Evaluation, evaluate, remembered
from trine.methods import Derivation, Facts
from trine.methods.transfer import TUNES, TransferMethod
from trine.models.foreign import Foreign
from trine.models.transfer import Tuned
from trine.rules import in_units
from trine.training import Run

TARGET = "y"
"""Name of the target when it comes as an array of its own."""
TRAINED = ("linear", "mlp")
"""Heads that have a gradient, so that what is below them can be tuned."""
ARCHITECTURE = (
    "hidden", "activation", "normalization", "prenorm", "residual", "dropout", "members", "numbers", "categories", "channels",
    "sequence", "units", "layers", "bidirectional", "pooling", "audio", "augment", "flip", "image",
)  # fmt: skip
"""Choices of an encoder that say what its network is; the others say how it was trained."""


@estimators.register("transfer")
class Transfer(Estimator):
    """A head on the representation of an encoder that was trained before, on other rows or for another purpose.

    With ``tune="frozen"`` z is computed once and kept, and no parameter, running statistic or buffer of the encoder changes.
    Otherwise a copy of the encoder goes on being trained under a new rule by the one loop; the encoder that was given stays as
    it is.

    Args:
        encoder: an artefact of trine (a path, a run directory or a fitted estimator), a ``torch.nn.Module`` (X is then an array
            or a tensor that goes in as it is; a copy is kept, so that training the module on changes no answer),
            ``"timm:NAME@/path/to/weights.safetensors"`` or ``"transformers:/path/to/directory"``.
        head: ``linear``, ``mlp``, ``boosting`` (XGBoost with early stopping) or a scikit-learn classifier or regressor.
        tune: ``frozen``; ``last``: its last layer is tuned; ``all``: every layer; ``gradual``: layers are let loose from the top,
            with smaller steps the further down.
        task: ``classification``, ``regression``, or None: by the head, or by what y looks like.
        epochs: of tuning. step_size: its peak. batch_size: examples a step. Derived where None.
        validation_fraction: share of the rows that decide when to stop, where something is to stop.
        random_state: None, an integer or a numpy random state.
        threads: of torch and of boosting; None chooses.
        budget: seconds that tuning may take; None for no bound.
        verbose: whether to show progress on standard error.

    Attributes (after ``fit``):
        classes_: (classes,) the user's own labels, where y is a category. source_: the encoder. derivation_: prints what was done.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X, y = load_digits(return_X_y=True)
        >>> encoder = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh())
        >>> model = Transfer(encoder, "linear", random_state=0).fit(X[:500] / 16, y[:500])
        >>> bool(model.score(X[500:] / 16, y[500:]) > 0.8)
        True
    """

    kind = "transfer"
    method = "transfer"

    def __init__(
        self,
        encoder: Any = None,
        head: Any = "linear",
        tune: str = "frozen",
        *,
        task: str | None = None,
        epochs: int | None = None,
        step_size: float | None = None,
        batch_size: int | None = None,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        threads: int | None = None,
        budget: float | None = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.tune = tune
        self.task = task
        self.epochs = epochs
        self.step_size = step_size
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads
        self.budget = budget
        self.verbose = verbose

    def __sklearn_clone__(self) -> Self:
        """A copy that is not fitted, with the same encoder: what it has learned is what is transferred."""
        given = self.get_params(deep=False)
        return type(self)(**{k: v if k == "encoder" else clone(v, safe=False) for k, v in given.items()})

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, RegressorTags

        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        kind = self._kind()
        tags.estimator_type = kind
        tags.classifier_tags = ClassifierTags() if kind == "classifier" else None
        tags.regressor_tags = RegressorTags() if kind == "regressor" else None
        return tags

    def _kind(self) -> str | None:
        """``classifier`` or ``regressor``, once that is known."""
        from sklearn.base import is_classifier, is_regressor

        if hasattr(self, "schema_"):
            return "classifier" if isinstance(self._target(), Category) else "regressor"
        if self.task is not None:
            return {"classification": "classifier", "regression": "regressor"}.get(self.task)
        if isinstance(self.head, str):
            return None
        return "classifier" if is_classifier(self.head) else "regressor" if is_regressor(self.head) else None

    # Fitting -----------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: ArrayLike | str, *, out: str | os.PathLike[str] | None = None) -> Self:
        """Take the representation of X and fit the head to y.

        Args:
            X: rows that the encoder reads: of an artefact what it was trained on (arrays, frames, files); of a module an array or
                tensor; of a pretrained network pictures or texts.
            y: (rows,) targets, or the name of a column of X.
            out: directory for the run, so that what the loop trains (``tune`` or the head ``mlp``) can be gone on with: the same
                call goes on with it, and one that asks for something else is refused. None keeps nothing on disk.

        Raises:
            TrineError (a ValueError): what was wrong, where, and what to do.
            KeyboardInterrupt: Ctrl-C; the run in ``out`` is kept.
        """
        self._require_choices()
        if out is not None:
            require_free_or_transfer(out)
        self.source_: Source = source_of(self.encoder)
        if isinstance(y, str):
            table = X if isinstance(X, Table) else _read(self.source_, X)
            inputs, target, name = self.source_.inputs(table, y), Table.of([table.column(y)]), y
        else:
            inputs = self.source_.inputs(X)
            target, name = Table.of([_column(_one_each(y, inputs.rows))]), TARGET
        rows = np.arange(inputs.rows)
        return (
            self._fit_inputs(inputs, target, name, rows)
            if out is None
            else self._fit_in(out, inputs, target, name, rows)
        )

    def _fit_in(
        self, out: str | os.PathLike[str], inputs: Inputs, target: Table, name: str, rows: NDArray[np.int64]
    ) -> Self:
        """Fit in the run at ``out``, a new one or the one that the same call began."""
        with contextlib.ExitStack() as held:
            opened: list[Run] = []

            def begin() -> Run:
                asked = about(self, f"{inputs.fingerprint} {target.fingerprint()}", by_fit=True)
                opened.append(held.enter_context(begun(out, asked)))
                return opened[0]

            self._fit_inputs(inputs, target, name, rows, begin)
            self.tensors()  # a head that cannot be kept is refused before anything is made
            keep(self, opened[0] if opened else begin())
        return self

    def fit_rows(self, table: Table, y: str, rows: NDArray[np.int64] | None = None) -> Self:
        """Fit on ``rows`` of a table, whose column ``y`` is the target; z is that of all rows, computed once.

        Args:
            table: every row; those without y are passed over. rows: (n,) index; None takes all.
        """
        self._require_choices()
        self.source_ = source_of(self.encoder)
        return self._fit_table(table, y, np.arange(table.rows) if rows is None else rows)

    def _fit_table(self, table: Table, y: str, rows: NDArray[np.int64], begin: Callable[[], Run] | None = None) -> Self:
        column = table.column(y)  # raises, with the nearest name
        return self._fit_inputs(self.source_.inputs(table, y), Table.of([column]), y, rows, begin)

    def _fit_inputs(
        self,
        inputs: Inputs,
        target: Table,
        name: str,
        rows: NDArray[np.int64],
        begin: Callable[[], Run] | None = None,
    ) -> Self:
        """Fit on ``rows``; ``begin`` gives the run that the loop trains in, and is called when nothing is left to be refused."""
        started = time.perf_counter()
        rows = rows[~target.column(name).missing[rows]]
        if len(rows) < 2:
            have = "1 row has" if len(rows) == 1 else f"{len(rows)} rows have"
            raise DataError(f"{have} a value of {name!r}; at least 2 are needed to learn from.")
        schema = Schema.infer(target, (name,), (), self._stated(target, name), fewest=1)
        self.schema_ = dataclasses.replace(schema.fit(target, rows), x=self.source_.domains())
        domain = self.schema_.y[name]
        if isinstance(domain, Labels | Text) or domain.ragged:
            raise SchemaError(
                f"Column {name!r} is {domain.describe()}; transfer answers with a class or a number. State what it is with "
                "task='classification' or 'regression'."
            )
        plan = self._plan([name], {})
        self.plan_ = dataclasses.replace(plan, x=tuple(self.schema_.x))
        if isinstance(domain, Category):
            self.classes_ = np.array(domain.decode(np.arange(len(domain.labels))).tolist())
        elif hasattr(self, "classes_"):
            del self.classes_
        codes = self._codes(target.column(name))
        if isinstance(domain, Category) and len(np.unique(codes[rows])) < 2:
            raise DataError(
                f"Column {name!r} is {self.classes_[int(codes[rows][0])]!r} in all of the {len(rows)} rows to learn from; there is "
                "one class only, and nothing to tell it from."
            )
        self.marginal_ = {name: self._values(target.column(name))[rows]}
        self.head_: Head | None = None
        self.model_: Tuned | None = None
        if self.tune == "frozen":
            self._fit_head(inputs, codes, rows, begin)
        else:
            self._fit_network(inputs, target, rows, begin)
        self.provenance_ = {
            "rows": {"train": len(rows), "stop": 0, "held_out": 0},
            "seconds": time.perf_counter() - started,
            "epochs": len(self.history_),
            "encoder": self.source_.name,
            **self._trained,
        }
        self.metrics_: dict[str, Any] = {}
        self.evaluations_: dict[str, Evaluation] = {}
        self.novelty_ = None
        self.calibrations_ = {}
        return self

    def _require_choices(self) -> None:
        """Refuse what cannot be, before anything is read."""
        if self.encoder is None and not hasattr(self, "source_"):
            raise ChoiceError(
                "Transfer needs an encoder: an artefact of trine, a torch.nn.Module, timm:… or transformers:…."
            )
        if self.tune not in TUNES:
            raise ChoiceError(
                f"tune is {self.tune!r}.{nearest(str(self.tune), TUNES)} It is one of {', '.join(TUNES)}."
            )
        if self.task not in (None, "classification", "regression"):
            raise ChoiceError(f"task is {self.task!r}; it is 'classification', 'regression' or None.")
        share("validation_fraction", self.validation_fraction)
        head_of(self.head)
        if self.tune != "frozen" and self.head not in TRAINED:
            raise ChoiceError(
                f"tune={self.tune!r} needs a head with a gradient, {' or '.join(TRAINED)}, and the head is "
                f"{self.head if isinstance(self.head, str) else type(self.head).__name__}; take tune='frozen' with it."
            )

    def _stated(self, target: Table, name: str) -> dict[str, Any]:
        """What the user, or the head, says that y is."""
        kind = self._kind_asked()
        if kind == "classifier":
            return {name: "category"}
        if kind == "regressor":
            from trine.data import guess_target

            guess = guess_target(target.column(name)).domain
            return {name: "real" if guess is None or isinstance(guess, Category) else guess}
        return {}

    def _kind_asked(self) -> str | None:
        """The kind by what was asked, whatever was fitted before."""
        kept = self.__dict__.pop("schema_", None)
        try:
            return self._kind()
        finally:
            if kept is not None:
                self.schema_ = kept

    def _codes(self, column: Column) -> NDArray[Any]:
        """(rows,) class codes, −1 of what is missing, or numbers in y's own units."""
        domain = self._target()
        if isinstance(domain, Category):
            return np.asarray(domain.encode(column)).reshape(-1).astype(np.int64)
        return np.asarray(self._values(column), dtype=np.float64)

    def _values(self, column: Column) -> NDArray[Any]:
        """(rows,) y in the user's units; of a row without one anything."""
        domain = self._target()
        return np.asarray(domain.decode(np.asarray(domain.encode(column)).reshape(len(column), -1)[:, 0]))

    @property
    def _looped(self) -> bool:
        """Whether the one loop trains it, so that it can be gone on with; other heads are fitted at once."""
        return self.tune != "frozen" or self.head == NetHead.kind

    def _fit_head(
        self, inputs: Inputs, codes: NDArray[Any], rows: NDArray[np.int64], begin: Callable[[], Run] | None
    ) -> None:
        domain = self._target()
        z = self.source_.represent(inputs)
        task = Task(
            len(domain.labels) if isinstance(domain, Category) else None,
            self.plan_.seed,
            self.threads or 1,
            self.validation_fraction,
            run=begin() if begin is not None and self._looped else None,
            verbose=self.verbose,
        )
        head = head_of(self.head)
        self.head_ = head.fit(z[rows], codes[rows], task)
        self.history_, self._trained = [], {}
        if isinstance(head, NetHead):
            self.history_ = head.model.history_
            self._trained = {name: head.model.provenance_[name] for name in ("seconds", "best_epoch", "stopped")}
        self.derivation_: Any = Answering(
            self.source_.name, z.shape[1], self.head_.describe(), self.schema_, len(rows), self.get_choices()
        )

    def _fit_network(
        self, inputs: Inputs, target: Table, rows: NDArray[np.int64], begin: Callable[[], Run] | None
    ) -> None:
        store = inputs.store()
        only_y = dataclasses.replace(self.schema_, x={})
        fields = encode(target, only_y).fields
        store = Store({**store.fields, **{name: field for name, field in fields.items() if name.startswith("y.")}})
        domain = self._target()
        strata = self._codes(target.column(next(iter(self.schema_.y))))[rows] if isinstance(domain, Category) else None
        keep, stop = split(len(rows), self.validation_fraction, self.plan_.seed + 1, strata)
        if len(stop) < 8:  # a score over a handful of rows stops at random
            keep, stop = np.arange(len(rows)), np.zeros(0, dtype=np.int64)
        facts = Facts(len(keep))
        derivation = self._derived(facts, self.get_choices(), store.batch(torch.from_numpy(rows[: min(len(rows), 8)])))
        self._start_at_probe(derivation, inputs, target, rows[keep])
        plan = dataclasses.replace(self.plan_, choices=derivation.choices)
        prepared = Prepared(plan, store, Rows(rows[keep], rows[stop], np.zeros(0, dtype=np.int64)), derivation)
        fitted = train(prepared, run=None if begin is None else begin(), progress=self.verbose)
        model = derivation.model
        assert isinstance(model, Tuned)
        self.model_ = model.eval()
        self.derivation_ = derivation
        self.history_ = fitted.result.history
        self.n_iter_ = max(1, fitted.result.epochs)
        self._trained = {
            "rows": {"train": len(keep), "stop": len(stop), "held_out": 0},
            "seconds": fitted.result.seconds,
            "best_epoch": fitted.result.best_epoch,
            "stopped": fitted.result.stopped,
            "threads": fitted.threads,
        }

    def _start_at_probe(self, derivation: Derivation, inputs: Inputs, target: Table, rows: NDArray[np.int64]) -> None:
        """Set the new rule to what the linear head on the fixed z would be.

        A rule that starts from nothing pulls at all layers with gradients that say only how wrong it is itself (Kumar et al.,
        Fine-Tuning can Distort Pretrained Features, 2022).
        """
        domain, model = self._target(), derivation.model
        assert isinstance(model, Tuned)
        top = getattr(model.rules[0], "head", None)
        linear, start = getattr(top, "linear", None), getattr(top, "start", None)
        if self.head != "linear" or not isinstance(domain, Category) or domain.ordered:
            return
        if not isinstance(linear, torch.nn.Linear) or not isinstance(
            start, Tensor
        ):  # of many members, each has its own z
            return
        z, codes = self.source_.represent(inputs), self._codes(target.column(next(iter(self.schema_.y))))
        task = Task(len(domain.labels), self.plan_.seed, self.threads or 1, self.validation_fraction)
        probe = LinearHead().fit(z[rows], codes[rows], task)
        weight, bias = torch.from_numpy(probe.weight), torch.from_numpy(probe.bias - probe.weight @ probe.mean)
        if linear.out_features == 1 and len(weight) == 2:  # of two classes one number decides
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        if weight.shape == linear.weight.shape:
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.copy_(bias.clamp(-20.0, 20.0) - start)
            derivation.reasons["head"] = "starts as the linear head on the fixed z (Kumar et al., 2022)"

    def _derived(self, facts: Facts, choices: Choices, sample: Any) -> Derivation:
        """The three parts of a tuned transfer; without a sample, as they are restored."""
        schema = self.schema_
        known = self.source_.kind == "trine"
        origin = {name: getattr(self.source_.choices, name) for name in ARCHITECTURE} if known else {}
        network = self.source_.network
        if sample is not None and isinstance(network, Foreign):
            with torch.inference_mode(), at_rest(network):  # only a pass tells how many numbers it gives
                network.features = network(sample).shape[-1]
        method = TransferMethod(network, self.tune, str(self.head), known, sample)
        resolved, reasons = method.resolve(schema, choices.replace(**origin), facts)
        reasons |= {name: "the encoder's" for name, value in origin.items() if value is not None}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan_.seed)
            model, criterion, procedure = method.build(schema, resolved, facts)
        return Derivation("transfer", schema, resolved, reasons, facts, model, criterion, procedure)

    # Using -------------------------------------------------------------------------------------------------------

    def represent(self, data: Any) -> NDArray[np.float32]:
        """(rows, features) z of each row, by the encoder as it is in this transfer: frozen or tuned."""
        inputs = self._inputs(data)
        if self.model_ is None:
            return self.source_.represent(inputs)
        parts = [outputs["z"] for outputs in self._network_outputs(inputs)]
        return torch.cat([z.flatten(0, -3).mean(0) if z.dim() > 2 else z for z in parts]).float().numpy()

    def _inputs(self, data: Any) -> Inputs:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return self.source_.inputs(data, next(iter(self.schema_.y)) if self._names_target(data) else None)

    def _names_target(self, data: Any) -> bool:
        """Whether ``data`` may have y among their columns."""
        return not isinstance(data, np.ndarray | Tensor)

    def _network_outputs(self, inputs: Inputs) -> Any:
        store = inputs.store()
        assert self.model_ is not None
        model = self.model_.eval()
        with torch.inference_mode():
            for batch in store.batches(torch.split(torch.arange(store.rows), chunk_of(store, self.schema_))):
                yield model(batch)

    def _distribution(self, inputs: Inputs, rows: NDArray[np.int64] | None = None) -> Distribution:
        if self.head_ is not None:
            z = self.source_.represent(inputs)
            return self.head_.distribution(z if rows is None else z[rows])
        name = next(iter(self.schema_.y))
        found = concatenate([outputs[f"y_hat.{name}"] for outputs in self._network_outputs(inputs)])
        with torch.inference_mode():
            q = in_units(self._target(), found)
            if rows is None:
                return q
            from trine.estimators._batched import select

            return select(q, torch.from_numpy(rows))

    def predict_distribution(self, X: Any) -> Distribution:
        """q(y given x) of each row, in the user's units; of a category over ``classes_``.

        Of a head that says a number and not how sure it is, a normal distribution with the spread of its errors on rows held
        back.
        """
        return self._distribution(self._inputs(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """(rows,) the likeliest class, in the user's labels, or the mean of q(y given x)."""
        return answer(self._target(), self.predict_distribution(X)) if self._ready() else np.zeros(0)

    def _ready(self) -> bool:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(self)
        return True

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(rows, classes) probabilities in the order of ``classes_``.

        Raises:
            SchemaError: y is a number.
        """
        q = self.predict_distribution(X)
        if not isinstance(self._target(), Category):
            raise SchemaError("y is a number, and only categories have probabilities; use predict_distribution.")
        assert isinstance(q, Categorical)
        p = q.probs.double().numpy()
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def score(self, X: Any, y: ArrayLike) -> float:
        """Accuracy, or R² where y is a number."""
        from sklearn.metrics import accuracy_score, r2_score

        found = self.predict(X)
        return float((accuracy_score if isinstance(self._target(), Category) else r2_score)(np.asarray(y), found))

    def evaluate(self, data: Any, y: ArrayLike | None = None) -> Evaluation:
        """Metrics with bootstrap intervals on rows that have the target, against the trivial prediction.

        Args:
            data: a table or file with the target column; or inputs alone, with ``y`` beside them.

        Raises:
            DataError: no target column, or not one target for each row.
        """
        return next(iter(self.evaluate_all(data, y).values()))

    def evaluate_all(self, data: Any, y: ArrayLike | None = None) -> dict[str, Evaluation]:
        """Target → :class:`~trine.evaluation.Evaluation`."""
        self._ready()
        name = next(iter(self.schema_.y))
        if y is None:
            table = data if isinstance(data, Table) else _read(self.source_, data)
            if name not in table:
                raise DataError(f"The data lack the target column {name!r}; evaluation needs it beside the inputs.")
            return {name: self.evaluate_rows(table, np.arange(table.rows))}
        inputs = self._inputs(data)
        column = dataclasses.replace(_column(_one_each(y, inputs.rows)), name=name)
        return {name: self._evaluated(inputs, column, np.arange(inputs.rows))}

    def evaluate_rows(self, table: Table, rows: NDArray[np.int64]) -> Evaluation:
        """The metrics on ``rows`` of a table with the target column."""
        name = next(iter(self.schema_.y))
        return self._evaluated(self.source_.inputs(table, name), table.column(name), rows)

    def _evaluated(self, inputs: Inputs, column: Column, rows: NDArray[np.int64]) -> Evaluation:
        rows = rows[~column.missing[rows]]
        if not len(rows):
            raise DataError(f"No row has a known {column.name!r}; evaluation needs at least one.")
        truth = self._values(column)[rows]
        seen = getattr(self, "marginal_", {}).get(column.name)
        marginal = remembered(self._target()) if seen is None else seen
        q = self._distribution(inputs, rows)
        return evaluate(self._target(), truth, q, marginal=marginal, rows=rows + 1, seed=self.plan_.seed)

    def predictions(self, data: Any) -> dict[str, NDArray[Any]]:
        """What ``trine predict`` writes: the row number, the prediction, and how sure it is."""
        self._ready()
        q = self.predict_distribution(data if isinstance(data, Table) else _read(self.source_, data))
        name = next(iter(self.schema_.y))
        columns: dict[str, NDArray[Any]] = {"row": np.arange(1, q.batch_shape[0] + 1)}
        return columns | written(self._target(), name, q)

    # Saving and loading ------------------------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The JSON half of the artefact."""
        return parts_of(self)[0]

    def tensors(self) -> dict[str, Tensor]:
        """The other half."""
        return parts_of(self)[1]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the artefact: encoder and head, JSON and tensors in one safetensors file that executes nothing.

        Raises:
            ArtefactError: the head cannot be kept without pickle; or the file cannot be written.
        """
        self._ready()
        return artefact.save(path, *parts_of(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], encoder: Any = None) -> Self:
        """The transfer saved at ``path``, or in a run directory.

        Args:
            encoder: what a file cannot hold: the module (its weights are read from the file), or where a pretrained network is now.

        Raises:
            ArtefactError: no such file; truncated, altered, or of another kind; or it needs ``encoder``.
        """
        source = Path(path)
        source = source / "model.trine" if (source / "model.trine").is_file() else source
        manifest, tensors = artefact.load(source)
        if manifest.get("estimator") != cls.kind:
            raise ArtefactError(
                f"{source} holds an estimator {manifest.get('estimator')!r} and no transfer; use trine.load."
            )
        return cls._restore(manifest, tensors, str(source), encoder)

    @classmethod
    def _restore(
        cls, manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], path: str, encoder: Any = None
    ) -> Self:
        found: Self = restore(cls, manifest, tensors, path, encoder)
        return found


def _one_each(y: ArrayLike, rows: int) -> NDArray[Any]:
    """(rows,) targets of y, (rows,) or (rows, 1)."""
    target = np.asarray(y)
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    if target.ndim != 1 or len(target) != rows:
        raise DataError(f"X has {rows} rows and y has the shape {target.shape}; give one target for each row.")
    return target


def _column(values: NDArray[Any]) -> Column:
    """Y as a column."""
    return read({TARGET: values}).column(TARGET)


def _read(source: Source, data: Any) -> Table:
    """``data`` as a table, in the shape that the encoder's data had."""
    plan = getattr(getattr(source, "estimator", None), "plan_", None)
    table = read(data)
    return table if plan is None else plan.shaped(table)
