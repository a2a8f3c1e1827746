"""A batch's named tensors → named outputs: tensors and distributions."""

from .supervised import Supervised as Supervised
