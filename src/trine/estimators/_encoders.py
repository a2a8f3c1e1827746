"""What a representation is taken from: an artefact of trine, a module, or a pretrained network on disk."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trine import artefact
from trine.choices import Choices
from trine.data import Field, Store, Table, cache, read
from trine.domains import Domain, Image
from trine.errors import ArtefactError, ChoiceError, DataError, nearest
from trine.estimators._batched import chunk_of
from trine.estimators._estimator import Estimator, estimators, load
from trine.models import Autoencoder, Posterior
from trine.models.foreign import INPUT, MASK, CodeMean, Foreign

Floats = NDArray[np.float32]
MOST_REMEMBERED = 1 << 30
"""Bytes of representations that are kept in memory, and eight times as many on disk; the oldest go first."""
LONGEST_TEXT = 512
"""Tokens of a text that are read, at most."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Rows that an encoder can read.

    Attributes:
        rows: their number. table: as named columns, where they have any. store: makes the tensors. fingerprint: of the data.
    """

    rows: int
    table: Table | None
    store: Callable[[], Store]
    fingerprint: str


class Source(abc.ABC):
    """An encoder and how rows become what it reads.

    Attributes:
        name: what it is called in messages and derivations. kept: whether it lies on disk, so that what is computed from it is
            worth keeping there. choices: of the network, as far as they are known.
    """

    kind: ClassVar[str]
    name: str
    kept = False
    choices = Choices()

    @property
    @abc.abstractmethod
    def network(self) -> nn.Module:
        """Batch → z, (batch, features), or (members, batch, features); ``features`` is the width."""

    @abc.abstractmethod
    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        """The rows of ``data``; ``y`` is a column that is none of x.

        Raises:
            DataError: what the encoder reads is not there.
        """

    @abc.abstractmethod
    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """JSON values and tensors from which :func:`restored` makes it again."""

    def domains(self) -> dict[str, Domain]:
        """Column → domain of what is read, where they are known."""
        return {}

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of everything that z follows from beside the rows."""
        about, tensors = self.parts()
        return artefact.digest(json.dumps(about, sort_keys=True, default=str), tensors)

    def features(self, inputs: Inputs) -> Floats:
        """(rows, features) z of each row, of rows that will not come again."""
        return self._compute(inputs.store())

    def represent(self, inputs: Inputs) -> Floats:
        """(rows, features) z of each row; computed once for an encoder and its data, then read from where it was kept."""
        key = hashlib.sha256(f"{self.fingerprint} {inputs.fingerprint} {torch.__version__}".encode()).hexdigest()[:32]
        found = _remembered(key, self.kept)
        if found is None or len(found) != inputs.rows:
            found = self._compute(inputs.store())
            _remember(key, found, self.kept)
        return found

    def _compute(self, store: Store) -> Floats:
        network = self.network
        place = next((p.device for p in network.parameters()), torch.device("cpu"))
        parts = []
        with torch.inference_mode(), at_rest(network):
            for batch in store.batches(torch.split(torch.arange(store.rows), chunk_of(store))):
                z = network(batch.to(place))
                parts.append((z.flatten(0, -3).mean(0) if z.dim() > 2 else z).float().cpu().numpy())
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(1))[0]) + 1
            raise DataError(
                f"The encoder {self.name} gives numbers that are not finite in row {row}; look at that row."
            )
        return found


@contextlib.contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation; afterwards every part of it is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class Fitted(Source):
    """An artefact of trine."""

    kind = "trine"

    def __init__(self, estimator: Estimator, name: str | None = None) -> None:
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator)
        self.estimator = estimator
        self.name = name or type(estimator).__name__
        self.kept = name is not None
        self.choices = estimator.derivation_.choices
        if not estimator.schema_.x:
            raise ChoiceError(f"The model {self.name} reads no x and so represents nothing; give one that has inputs.")

    @functools.cached_property
    def network(self) -> nn.Module:
        model = self.estimator.derivation_.model
        model = model.network if isinstance(model, Posterior) else model
        if isinstance(model, Autoencoder):
            return CodeMean(model.encoder, model.latent).eval()
        encoder = model.encoder
        assert isinstance(encoder, nn.Module)
        return encoder

    def domains(self) -> dict[str, Domain]:
        return dict(self.estimator.schema_.x)

    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        table = self._table(data, y)
        for name, domain in self.estimator.schema_.x.items():
            _require_size(table, name, domain)
        names = list(self.estimator.schema_.x)
        return Inputs(table.rows, table, lambda: self.estimator._encode(table)[0], table.select(names).fingerprint())

    def _table(self, data: Any, y: str | None) -> Table:
        estimator, names = self.estimator, list(self.estimator.schema_.x)
        if isinstance(data, np.ndarray | Tensor):
            array = data.detach().cpu().numpy() if isinstance(data, Tensor) else data
            table = read(array)
            if len(table.names) == len(names):  # columns of an array go by place
                table = Table.of(
                    [
                        dataclasses.replace(table.column(old), name=new)
                        for old, new in zip(table.names, names, strict=True)
                    ]
                )
            elif estimator._from_arrays() or len(names) > 1:
                raise DataError(
                    f"X has {len(table.names)} columns and the encoder {self.name} was trained with {len(names)}; give those."
                )
            return estimator._table(table)
        table = data if isinstance(data, Table) else estimator.plan_.shaped(read(data))
        absent = [name for name in names if name not in table]
        others = [name for name in table.names if name != y]
        if (
            absent
            and len(names) == len(others) == 1
            and estimator.schema_.x[names[0]].recognise(table.column(others[0]))
        ):
            # The only column is of the kind that the only column was, under another name.
            table = table.beside(Table.of([dataclasses.replace(table.column(others[0]), name=names[0])]))
            absent = []
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise DataError(
                f"The data lack the column {absent[0]!r}{more}, which the encoder {self.name} reads."
                f"{nearest(absent[0], table.names)} It reads: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}; the data "
                f"have: {', '.join(table.names[:12])}{' …' if len(table.names) > 12 else ''}."
            )
        if y in names:
            raise DataError(
                f"The encoder {self.name} reads the column {y!r}, which is to be predicted; its answer would be given away. "
                "Train the encoder without that column."
            )
        return table

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"kind": self.kind, "manifest": self.estimator.manifest()}, self.estimator.tensors()


def _require_size(table: Table, name: str, domain: Domain) -> None:
    """Refuse arrays of pixels of another size: a domain would cut and stretch them unasked."""
    if not isinstance(domain, Image):
        return
    column = table.column(name)
    if column.levels is None and column.offsets is None and column.values.ndim in (3, 4):
        height, width = column.values.shape[1:3]
        if (height, width) != (domain.height, domain.width):
            raise DataError(
                f"Column {name!r} has pictures of {height} × {width} pixels and the encoder was trained on {domain.height} × "
                f"{domain.width}; resize or pad them first."
            )


class Module(Source):
    """A ``torch.nn.Module``: arrays and tensors go in as they are."""

    kind = "module"

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        self.module = module
        self.name = name or type(module).__name__
        self._network = Foreign(module, self.name)

    @property
    def network(self) -> nn.Module:
        return self._network

    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        if isinstance(data, Tensor):
            x = data.detach().cpu()
        elif isinstance(data, np.ndarray) and data.dtype.kind in "biuf":
            x = torch.from_numpy(np.ascontiguousarray(data))
        else:
            x = _numbers(data if isinstance(data, Table) else read(data), y, self.name)
        if x.dim() < 2 or not len(x):
            raise DataError(f"X has the shape {tuple(x.shape)}; an encoder reads (rows, ...) with at least one row.")
        x = x if x.dtype in (torch.float32, torch.int64) else x.float()
        if x.is_floating_point() and not bool(x.isfinite().all()):
            raise DataError(
                f"X holds numbers that are missing or not finite, and {self.name} says nothing on how to read them."
            )
        table = data if isinstance(data, Table) else None
        print_ = hashlib.sha256(f"{x.dtype} {tuple(x.shape)}".encode() + x.contiguous().numpy().tobytes()).hexdigest()
        return Inputs(len(x), table, lambda: Store({INPUT: Field(x, {INPUT: None})}), print_)

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {"kind": self.kind, "name": self.name}, _state(self.module)


def _numbers(table: Table, y: str | None, name: str) -> Tensor:
    """The columns of a table as one tensor: all numbers, or one column of pictures, in [0, 1] with channels first."""
    names = [column for column in table.names if column != y]
    columns = [table.column(column) for column in names]
    if len(columns) == 1 and Image.recognise(columns[0]) is not None:
        domain = Image().fit(columns[0])
        return torch.from_numpy(domain.encode(columns[0]).astype(np.float32) / domain.divisor)
    for column in columns:
        if column.levels is not None or column.offsets is not None or column.values.dtype.kind not in "biuf":
            raise DataError(
                f"Column {column.name!r} is not made of numbers, and the encoder {name} is a network that reads tensors; leave "
                "the column out, or give X as an array."
            )
    parts = [np.asarray(column.values, dtype=np.float32).reshape(len(column), -1) for column in columns]
    return torch.from_numpy(np.concatenate(parts, axis=1))


class Pretrained(Source):
    """A network by name through timm, or by its directory through transformers; files are read, nothing is fetched.

    ``timm:NAME@/path/to/weights.safetensors`` reads pictures; ``transformers:/path/to/directory`` reads pictures or texts, by
    what the model is. Pictures come to the size that the network was made for, texts through its tokenizer.

    Raises:
        ChoiceError: the library is not there, or the name is none that it knows. ArtefactError: files that are not there or
            cannot be read.
    """

    kind = "pretrained"
    kept = True

    def __init__(self, reference: str) -> None:
        self.name = self.reference = reference
        library, _, rest = reference.partition(":")
        self._tokenizer: Any = None
        self._domain: Image | None = None
        self.size, self.channels = (0, 0), 3
        self._network = (self._timm if library == "timm" else self._transformers)(rest)
        self._network.eval()

    @property
    def network(self) -> nn.Module:
        return self._network

    def _timm(self, rest: str) -> Foreign:
        name, sign, path = rest.partition("@")
        if not sign or not name or not path:
            raise ChoiceError(
                f"The encoder {self.reference!r} is not of the form timm:NAME@/path/to/weights.safetensors; trine downloads no "
                "weights, so say where they are."
            )
        weights = _weights(path)
        timm = _library("timm", "pretrained")
        try:
            network = timm.create_model(name, pretrained=False, num_classes=0)
        except Exception as error:
            raise ChoiceError(f"timm makes no network {name!r}: {_first_line(error)}.") from None
        lacking, _ = network.load_state_dict(weights, strict=False)
        if lacking:
            raise ArtefactError(
                f"{path} lacks {len(lacking)} of the tensors of {name}, e.g. {lacking[0]!r}; it holds the weights of another "
                "network."
            )
        about = dict(getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None) or {})
        self.channels, *size = about.get("input_size", (3, 224, 224))
        self.size = (int(size[0]), int(size[1]))
        return Foreign(network, self.name, mean=tuple(about.get("mean", ())), std=tuple(about.get("std", ())))

    def _transformers(self, rest: str) -> Foreign:
        place = Path(rest).expanduser()
        if not (place / "config.json").is_file():
            raise ArtefactError(
                f"There is no model at {place} (no config.json). Give the directory that save_pretrained wrote: "
                "transformers:/path/to/directory; trine downloads none."
            )
        transformers = _library("transformers", "pretrained")
        try:
            # Weights from safetensors alone: other formats can execute. No code that comes with a model is run.
            network = transformers.AutoModel.from_pretrained(
                str(place), local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:
            raise ArtefactError(f"{place} cannot be opened by transformers: {_first_line(error)}.") from None
        config = network.config
        if (side := getattr(config, "image_size", None)) is not None:
            self.size = (int(side), int(side)) if isinstance(side, int) else (int(side[0]), int(side[1]))
            self.channels = int(getattr(config, "num_channels", 3))
            about = json.loads(found.read_text()) if (found := place / "preprocessor_config.json").is_file() else {}
            mean, std = (tuple(about.get(f"image_{key}", ())) for key in ("mean", "std"))
            return Foreign(network, self.name, mean=mean, std=std, keyword="pixel_values")
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(place), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise ArtefactError(
                f"{place} holds a model of texts and no tokenizer that can be read: {_first_line(error)}. Save it there too: "
                "tokenizer.save_pretrained(directory)."
            ) from None
        return Foreign(network, self.name, keyword="input_ids", mask="attention_mask")

    def inputs(self, data: Any, y: str | None = None) -> Inputs:
        table = data if isinstance(data, Table) else read(_as_column(data))
        names = [name for name in table.names if name != y]
        wanted = "texts" if self._tokenizer is not None else "pictures"
        fitting = [name for name in names if self._reads(table.column(name))]
        if len(fitting) != 1:
            has = f"{len(fitting)}: {', '.join(fitting)}" if fitting else f"none among {', '.join(names[:12])}"
            raise DataError(f"The encoder {self.name} reads one column of {wanted}, and the data have {has}.")
        column = table.select(fitting)
        make = self._texts if self._tokenizer is not None else self._pictures
        return Inputs(table.rows, table, lambda: make(column.column(fitting[0])), column.fingerprint())

    def _reads(self, column: Any) -> bool:
        if self._tokenizer is None:
            return Image.recognise(column) is not None
        return column.levels is not None and Image.recognise(column) is None

    def _texts(self, column: Any) -> Store:
        texts = ["" if code < 0 else str(column.levels[code]) for code in column.values]
        limit = min(getattr(self._tokenizer, "model_max_length", LONGEST_TEXT), LONGEST_TEXT)
        places = getattr(getattr(self._network.network, "config", None), "max_position_embeddings", LONGEST_TEXT)
        found = self._tokenizer(
            texts, padding=True, truncation=True, max_length=min(limit, places), return_tensors="np"
        )
        ids, mask = (torch.from_numpy(np.asarray(found[key])) for key in ("input_ids", "attention_mask"))
        return Store({INPUT: Field(ids.int(), {INPUT: None}, index=True), MASK: Field(mask.bool(), {MASK: None})})

    def _pictures(self, column: Any) -> Store:
        if column.levels is None:
            pixels = column.values if column.values.ndim == 4 else column.values[..., None]
            if pixels.shape[3] == 1 and self.channels > 1:  # grey is of all colours alike
                pixels = np.repeat(pixels, self.channels, axis=3)
            column = dataclasses.replace(column, values=pixels)
        # The range of raw pixels is that of the first pictures seen.
        domain = self._domain or Image(channels=self.channels, height=self.size[0], width=self.size[1]).fit(column)
        self._domain = domain
        pixels = torch.from_numpy(np.ascontiguousarray(domain.encode(column)))
        return Store({INPUT: Field(pixels, {INPUT: None}, divisor=domain.divisor)})

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        about = None if self._domain is None else self._domain.to_json()
        return {"kind": self.kind, "reference": self.reference, "domain": about}, _state(self._network.network)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights and the tokenizer; the range of pixels shows in the rows' own fingerprint."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        text = json.dumps([self.reference, None if backend is None else backend.to_str()])
        return artefact.digest(text, _state(self._network.network))


def _as_column(data: Any) -> Any:
    """A list of texts as a column."""
    if isinstance(data, list | tuple) and data and isinstance(data[0], str):
        return {"text": np.array(data, dtype=object)}
    if isinstance(data, np.ndarray) and data.dtype.kind in "OU" and data.ndim == 1:
        return {"text": data.astype(object)}
    return data


class MissingLibrary(ChoiceError):
    """A library that is optional is not there, or cannot be imported; the message says what to install."""


def _library(name: str, extra: str) -> Any:
    import importlib

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:  # a broken companion (torchvision without its GPU) raises what it likes
        more = " It needs a torchvision built for this torch." if name == "timm" else ""
        raise MissingLibrary(
            f"The encoder is a network of {name}, which cannot be imported here ({type(error).__name__}: {_first_line(error)}): "
            f"pip install 'trine[{extra}]'.{more}"
        ) from None


def _weights(path: str) -> dict[str, Tensor]:
    """A state dict of a safetensors file.

    Raises:
        ArtefactError: another kind of file, or none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = Path(path).expanduser()
    if place.suffix != ".safetensors":
        raise ArtefactError(
            f"{place} is no .safetensors file; other formats of weights can execute when they are opened. Convert it with "
            "safetensors.torch.save_file(torch.load(path, weights_only=True), new)."
        )
    try:
        return dict(load_file(place))
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"The weights {place} cannot be read ({_first_line(error)}); say where they are.") from None


def _first_line(error: BaseException) -> str:
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module; what shares memory is written twice, which a file needs."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


PREFIXES = ("timm:", "transformers:")


def source_of(encoder: Any) -> Source:
    """The source that ``encoder`` names or is.

    Raises:
        ChoiceError, ArtefactError, RunError: it names nothing that can be read, or is nothing that represents.
    """
    if isinstance(encoder, Source):
        return encoder
    if isinstance(encoder, Estimator):
        return _of_estimator(encoder, None)
    if isinstance(encoder, nn.Module):
        return Module(encoder)
    if isinstance(encoder, str) and encoder.startswith(PREFIXES):
        return Pretrained(encoder)
    if isinstance(encoder, str | os.PathLike):
        if not Path(encoder).exists():
            raise ArtefactError(
                f"There is no encoder at {encoder}. Give an artefact or run directory of trine, "
                "timm:NAME@/path/to/weights.safetensors or transformers:/path/to/directory."
            )
        return _of_estimator(load(encoder), str(encoder))
    raise ChoiceError(
        f"The encoder is {encoder!r}; it is an artefact of trine (a path, a run directory or a fitted estimator), a "
        "torch.nn.Module, or timm:… or transformers:… with a path."
    )


def _of_estimator(estimator: Any, name: str | None) -> Source:
    """An estimator's source: of a transfer its encoder, as it was given or as it was tuned.

    Raises:
        ChoiceError: it is a tuned network that is not of trine.
    """
    source: Source | None = getattr(estimator, "source_", None)
    if source is None or (estimator.model_ is not None and isinstance(source, Fitted)):
        return Fitted(estimator, name)
    if estimator.model_ is not None:
        raise ChoiceError(
            f"The encoder is a transfer that tuned {source.name}; give that network itself: model_.encoder of it."
        )
    return source


def restored(data: Mapping[str, Any], tensors: Mapping[str, Tensor], given: Any, path: str) -> Source:
    """The source that ``parts`` wrote.

    Args:
        given: the encoder itself, where a file cannot hold it: a module, or where a pretrained network is now.
    """
    if data["kind"] == Fitted.kind:
        manifest = data["manifest"]
        return Fitted(estimators[str(manifest["estimator"])]._restore(manifest, tensors, path), path)
    if given is None and data["kind"] == Module.kind:
        raise ArtefactError(
            f"The encoder of {path} is the torch module {data['name']!r}, which a file that executes nothing cannot hold; make the "
            f"module and give it: trine.Transfer.load({path!r}, encoder=module)."
        )
    try:
        source = source_of(data["reference"] if given is None else given)
    except (ArtefactError, ChoiceError) as error:
        if given is not None:
            raise
        raise ArtefactError(
            f"The encoder of {path} is {data['reference']}, which cannot be opened: {error} If it has moved: "
            f"trine.Transfer.load({path!r}, encoder='…')."
        ) from None
    network = source.network
    assert isinstance(network, Foreign)
    if isinstance(source, Pretrained) and data.get("domain") is not None:
        source._domain = Image.from_json(data["domain"])  # type: ignore[assignment]
    try:
        network.network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
        raise ArtefactError(
            f"The module given is not the encoder of {path}: {lines[min(1, len(lines) - 1)]}."
        ) from None
    return source


# Kept representations --------------------------------------------------------------------------------------------

_memory: OrderedDict[str, Floats] = OrderedDict()


def _remembered(key: str, on_disk: bool) -> Floats | None:
    if key in _memory:
        _memory.move_to_end(key)
        return _memory[key]
    path = cache() / "z" / f"{key}.npy"
    if not on_disk or not path.is_file():
        return None
    try:
        found = np.load(path, allow_pickle=False)
        os.utime(path)
    except (OSError, ValueError):
        return None
    if found.dtype != np.float32 or found.ndim != 2:
        return None
    _keep(key, found)
    return np.asarray(found)


def _keep(key: str, z: Floats) -> None:
    z.setflags(write=False)
    _memory[key] = z
    while len(_memory) > 1 and sum(value.nbytes for value in _memory.values()) > MOST_REMEMBERED:
        _memory.popitem(last=False)


def _remember(key: str, z: Floats, on_disk: bool) -> None:
    _keep(key, z)
    if not on_disk:
        return
    folder = cache() / "z"
    try:  # a cache that cannot be written to costs time, and nothing else
        folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=folder, prefix="new.")
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, z, allow_pickle=False)
        os.replace(fresh, folder / f"{key}.npy")
        kept = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
        size = sum(file.stat().st_size for file in kept)
        for file in kept[:-1]:
            if size <= 8 * MOST_REMEMBERED:
                break
            size -= file.stat().st_size
            file.unlink()
    except OSError:
        return


def forget() -> None:
    """Empty the memory of representations; what is on disk stays."""
    _memory.clear()
