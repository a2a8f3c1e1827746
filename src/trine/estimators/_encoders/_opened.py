"""From what a user names to an encoder, and from what a file holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from trine.domains import Image
from trine.errors import ArtefactError, ChoiceError
from trine.estimators._estimator import Estimator, estimators, load
from trine.models.foreign import Foreign

from ._fitted import Fitted
from ._module import Module
from ._pretrained import Pretrained
from ._source import Source

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
        f"The encoder is {_said(encoder)}; it is an artefact of trine (a path, a run directory or a fitted estimator), a "
        "torch.nn.Module, or timm:… or transformers:… with a path."
    )


def lasting(encoder: Any) -> str | None:
    """What names an encoder on disk from whatever directory one looks; None of one in memory."""
    if not isinstance(encoder, str | os.PathLike):
        return None
    text = os.fspath(encoder)
    if not text.startswith(PREFIXES):
        return os.path.abspath(text)
    name, sign, path = text.partition("@" if text.startswith("timm:") else ":")
    return f"{name}{sign}{os.path.abspath(os.path.expanduser(path))}" if path else text


def _said(encoder: Any) -> str:
    """What was given; of arrays and tables their shape alone."""
    shape = getattr(encoder, "shape", None)
    return repr(encoder) if shape is None else f"a {type(encoder).__name__} of shape {tuple(shape)}"


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
    if isinstance(given, nn.Module):
        return _filled(Module(given), tensors, path)
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
    if isinstance(source, Pretrained) and data.get("domain") is not None:
        source._domain = Image.from_json(data["domain"])  # type: ignore[assignment]
    return _filled(source, tensors, path)


def _filled(source: Source, tensors: Mapping[str, Tensor], path: str) -> Source:
    """The source with the weights that were kept at ``path``."""
    network = source.network
    assert isinstance(network, Foreign)
    try:
        network.network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
        raise ArtefactError(
            f"The module given is not the encoder of {path}: {lines[min(1, len(lines) - 1)]}."
        ) from None
    return source
