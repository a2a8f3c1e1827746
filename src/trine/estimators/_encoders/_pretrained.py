"""A pretrained network on disk."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trine import artefact
from trine.data import Field, Store, Table, read
from trine.domains import Image
from trine.errors import ArtefactError, ChoiceError, DataError
from trine.models.foreign import INPUT, MASK, Foreign

from ._library import first_line, library_called
from ._source import Inputs, Source, state_of

LONGEST_TEXT = 512
"""Tokens of a text that are read, at most."""


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
        timm = library_called("timm", "pretrained")
        try:
            network = timm.create_model(name, pretrained=False, num_classes=0)
        except Exception as error:
            raise ChoiceError(f"timm makes no network {name!r}: {first_line(error)}.") from None
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
        transformers = library_called("transformers", "pretrained")
        try:
            # Weights from safetensors alone: other formats can execute. No code that comes with a model is run.
            network = transformers.AutoModel.from_pretrained(
                str(place), local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        except Exception as error:
            raise ArtefactError(f"{place} cannot be opened by transformers: {first_line(error)}.") from None
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
                f"{place} holds a model of texts and no tokenizer that can be read: {first_line(error)}. Save it there too: "
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
        if self._tokenizer is not None:
            return Inputs(table.rows, table, lambda: self._texts(column.column(fitting[0])), column.fingerprint())
        if self._domain is None:  # the range of raw pixels is that of the first pictures seen
            first = self._coloured(column.column(fitting[0]))
            self._domain = Image(channels=self.channels, height=self.size[0], width=self.size[1]).fit(first)
        domain = self._domain
        # Of the same rows other inputs where black and white are others.
        range_ = (domain.black, domain.white, domain.bits, domain.dtype)
        return Inputs(
            table.rows,
            table,
            lambda: self._pictures(column.column(fitting[0]), domain),
            f"{column.fingerprint()} {range_}",
        )

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

    def _coloured(self, column: Any) -> Any:
        """The column with as many channels as the network reads; grey is of all colours alike."""
        if column.levels is not None:
            return column
        pixels = column.values if column.values.ndim == 4 else column.values[..., None]
        if pixels.shape[3] == 1 and self.channels > 1:
            pixels = np.repeat(pixels, self.channels, axis=3)
        return dataclasses.replace(column, values=pixels)

    def _pictures(self, column: Any, domain: Image) -> Store:
        pixels = torch.from_numpy(np.ascontiguousarray(domain.encode(self._coloured(column))))
        return Store({INPUT: Field(pixels, {INPUT: None}, divisor=domain.divisor)})

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        about = None if self._domain is None else self._domain.to_json()
        return {"kind": self.kind, "reference": self.reference, "domain": about}, state_of(self._network.network)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the weights and the tokenizer; the range of pixels shows in the rows' own fingerprint."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        text = json.dumps([self.reference, None if backend is None else backend.to_str()])
        return artefact.digest(text, state_of(self._network.network))


def _as_column(data: Any) -> Any:
    """A list of texts as a column."""
    if isinstance(data, list | tuple) and data and isinstance(data[0], str):
        return {"text": np.array(data, dtype=object)}
    if isinstance(data, np.ndarray) and data.dtype.kind in "OU" and data.ndim == 1:
        return {"text": data.astype(object)}
    return data


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
        raise ArtefactError(f"The weights {place} cannot be read ({first_line(error)}); say where they are.") from None
