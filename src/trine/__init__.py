"""trine: learning = a model f(x, θ) + a differentiable criterion L(f) + a procedure that solves θ* = argmin L(f).

Say what you have; trine derives the three, shows the derivation, and trains::

    model = trine.fit("adult.csv", y="income")
    model.predict(frame)
    model.save("adult.trine")

Names are imported when first used, so that ``import trine`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from trine._version import __version__ as __version__

_WHERE = {
    "Autoencoder": "trine.estimators",
    "Batch": "trine.data",
    "Choices": "trine.choices",
    "Classifier": "trine.estimators",
    "ConditionalGAN": "trine.estimators",
    "Criterion": "trine.criterion",
    "Derivation": "trine.methods",
    "GAN": "trine.estimators",
    "MultiLabelClassifier": "trine.estimators",
    "MultiTarget": "trine.estimators",
    "Novelty": "trine.estimators",
    "Regressor": "trine.estimators",
    "Run": "trine.training",
    "Schema": "trine.data",
    "Store": "trine.data",
    "Term": "trine.criterion",
    "Transducer": "trine.estimators",
    "Transfer": "trine.estimators",
    "Translator": "trine.estimators",
    "TrineError": "trine.errors",
    "derive": "trine.estimators",
    "divergence": "trine.divergences",
    "fit": "trine.estimators",
    "load": "trine.estimators",
    "read": "trine.data",
    "resume": "trine.estimators",
}

_ROOMS = ("gradients",)
"""Rooms that are names of their own: ``trine.gradients.compare``."""

__all__ = [*_WHERE, "__version__"]

if TYPE_CHECKING:
    from trine import gradients as gradients
    from trine.choices import Choices as Choices
    from trine.criterion import Criterion as Criterion
    from trine.criterion import Term as Term
    from trine.data import Batch as Batch
    from trine.data import Schema as Schema
    from trine.data import Store as Store
    from trine.data import read as read
    from trine.divergences import divergence as divergence
    from trine.errors import TrineError as TrineError
    from trine.estimators import GAN as GAN
    from trine.estimators import Autoencoder as Autoencoder
    from trine.estimators import Classifier as Classifier
    from trine.estimators import ConditionalGAN as ConditionalGAN
    from trine.estimators import MultiLabelClassifier as MultiLabelClassifier
    from trine.estimators import MultiTarget as MultiTarget
    from trine.estimators import Novelty as Novelty
    from trine.estimators import Regressor as Regressor
    from trine.estimators import Transducer as Transducer
    from trine.estimators import Transfer as Transfer
    from trine.estimators import Translator as Translator
    from trine.estimators import derive as derive
    from trine.estimators import fit as fit
    from trine.estimators import load as load
    from trine.estimators import resume as resume
    from trine.methods import Derivation as Derivation
    from trine.training import Run as Run


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"trine.{name}")
    try:
        module = importlib.import_module(_WHERE[name])
    except KeyError:
        raise AttributeError(f"module 'trine' has no attribute {name!r}") from None
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE, *_ROOMS})
