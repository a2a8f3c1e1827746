"""Libraries that are optional."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from trine.errors import ChoiceError


class MissingLibrary(ChoiceError):
    """A library that is optional is not there, or cannot be imported; the message says what to install."""


def library_called(name: str, extra: str) -> Any:
    """The module ``name``, which the extra ``extra`` brings.

    Raises:
        MissingLibrary: it is not there, or cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:  # a broken companion (torchvision without its GPU) raises what it likes
        more = " It needs a torchvision built for this torch." if name == "timm" else ""
        raise MissingLibrary(
            f"The encoder is a network of {name}, which cannot be imported here ({type(error).__name__}: {first_line(error)}): "
            f"pip install 'trine[{extra}]'.{more}"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of a message that has any, without its full stop; else the error's name."""
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
