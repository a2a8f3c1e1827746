"""The Inception v3 network in whose features FID is taken, for weights that the user has; nothing is fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d

from trine.errors import ArtefactError

SIDE = 299
"""Pixels a side that pictures are brought to."""
FEATURES = 2048
CLASSES = 1008
"""Classes of the network that FID is of, the one of 2015; others end in 1,000."""
MARK = "Mixed_7c.branch3x3dbl_3b.conv.weight"
"""A parameter that no other network has."""
TO_READ = (".pth", ".pt", ".safetensors")


class _Convolution(nn.Module):
    def __init__(
        self, before: int, after: int, size: int | tuple[int, int], stride: int = 1, pad: bool = False
    ) -> None:
        super().__init__()
        sides = (size, size) if isinstance(size, int) else size
        padding = tuple(side // 2 for side in sides) if pad else 0
        self.conv = nn.Conv2d(before, after, sides, stride, padding, bias=False)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


def _mean(x: Tensor) -> Tensor:
    """Over 3 × 3 places; of those beyond the edge none counts, as in the network of 2015."""
    return avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _A(nn.Module):
    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(before, 64, 1)
        self.branch5x5_1 = _Convolution(before, 48, 1)
        self.branch5x5_2 = _Convolution(48, 64, 5, pad=True)
        self.branch3x3dbl_1 = _Convolution(before, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, pad=True)
        self.branch_pool = _Convolution(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(_mean(x))], 1
        )


class _B(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(before, 384, 3, 2)
        self.branch3x3dbl_1 = _Convolution(before, 64, 1)
        self.branch3x3dbl_2 = _Convolution(64, 96, 3, pad=True)
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool2d(x, 3, 2)], 1)


class _C(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(before, 192, 1)
        self.branch7x7_1 = _Convolution(before, width, 1)
        self.branch7x7_2 = _Convolution(width, width, (1, 7), pad=True)
        self.branch7x7_3 = _Convolution(width, 192, (7, 1), pad=True)
        self.branch7x7dbl_1 = _Convolution(before, width, 1)
        self.branch7x7dbl_2 = _Convolution(width, width, (7, 1), pad=True)
        self.branch7x7dbl_3 = _Convolution(width, width, (1, 7), pad=True)
        self.branch7x7dbl_4 = _Convolution(width, width, (7, 1), pad=True)
        self.branch7x7dbl_5 = _Convolution(width, 192, (1, 7), pad=True)
        self.branch_pool = _Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_mean(x))], 1)


class _D(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Convolution(before, 192, 1)
        self.branch3x3_2 = _Convolution(192, 320, 3, 2)
        self.branch7x7x3_1 = _Convolution(before, 192, 1)
        self.branch7x7x3_2 = _Convolution(192, 192, (1, 7), pad=True)
        self.branch7x7x3_3 = _Convolution(192, 192, (7, 1), pad=True)
        self.branch7x7x3_4 = _Convolution(192, 192, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, max_pool2d(x, 3, 2)], 1)


class _E(nn.Module):
    def __init__(self, before: int, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = _Convolution(before, 320, 1)
        self.branch3x3_1 = _Convolution(before, 384, 1)
        self.branch3x3_2a = _Convolution(384, 384, (1, 3), pad=True)
        self.branch3x3_2b = _Convolution(384, 384, (3, 1), pad=True)
        self.branch3x3dbl_1 = _Convolution(before, 448, 1)
        self.branch3x3dbl_2 = _Convolution(448, 384, 3, pad=True)
        self.branch3x3dbl_3a = _Convolution(384, 384, (1, 3), pad=True)
        self.branch3x3dbl_3b = _Convolution(384, 384, (3, 1), pad=True)
        self.branch_pool = _Convolution(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = max_pool2d(x, 3, 1, 1) if self.maximum else _mean(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        return torch.cat(
            [*parts, self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)], 1
        )


class Inception(nn.Module):
    """(batch, 1 or 3, height, width) in [0, 1] → (batch, 2048): Inception v3 up to the mean over places, as FID takes it.

    Names of parameters are those that published weights have. Pictures come to 299 × 299 by bilinear interpolation.

    References:
        Szegedy et al., `Rethinking the Inception Architecture for Computer Vision`, 2016. Heusel et al., `GANs Trained by a Two
        Time-Scale Update Rule Converge to a Local Nash Equilibrium`, 2017 (FID).
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, pad=True)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _A(192, 32), _A(256, 64), _A(288, 64)
        self.Mixed_6a = _B(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            _C(768, 128),
            _C(768, 160),
            _C(768, 160),
            _C(768, 192),
        )
        self.Mixed_7a, self.Mixed_7b, self.Mixed_7c = _D(768), _E(1280, False), _E(2048, True)

    def forward(self, pictures: Tensor) -> Tensor:
        x = pictures.expand(-1, 3, -1, -1)
        x = 2 * interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(x, 3, 2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(max_pool2d(x, 3, 2))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        found: Tensor = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean((2, 3))
        return found


def inception(path: str | os.PathLike[str]) -> tuple[Inception, str]:
    """(the network with the weights of a file, in evaluation, ``FID`` where they are those that FID is of, else ``FD-inception``).

    Args:
        path: a state dict, ``.safetensors``, or ``.pth`` or ``.pt`` of tensors alone (nothing in it is executed).

    Raises:
        ArtefactError: no such file, one that holds more than tensors, or weights of another network; says what is wrong.
    """
    state = _state_of(Path(path).expanduser())
    if MARK not in state:
        raise ArtefactError(
            f"{path} holds weights of another network than Inception v3 ({', '.join(list(state)[:3])} …); give a network with its "
            "weights, e.g. timm:NAME@/path/to/weights.safetensors or an artefact of trine."
        )
    last = state.get("fc.bias")
    trunk = {name: value for name, value in state.items() if not name.startswith(("fc.", "AuxLogits."))}
    network = Inception()
    for name in network.state_dict():  # counters of batches, which evaluation does not read, are in some files alone
        if name.endswith("num_batches_tracked"):
            trunk.setdefault(name, torch.zeros((), dtype=torch.int64))
    try:
        network.load_state_dict(trunk)
    except RuntimeError as error:
        why = str(error).partition("\n\t")[2].partition("\n")[0][:200]
        raise ArtefactError(f"{path} is no state dict of Inception v3: {why} Give the whole of it.") from None
    return network.eval().requires_grad_(False), "FID" if last is not None and len(last) == CLASSES else "FD-inception"


def _state_of(path: Path) -> Mapping[str, Tensor]:
    import pickle

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is no file of tensors alone"
        raise ArtefactError(f"The weights {path} cannot be read: {why}. Give a state dict.") from None
    except Exception as error:
        raise ArtefactError(f"The weights {path} cannot be read ({type(error).__name__}). Give a state dict.") from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ArtefactError(f"{path} holds no state dict, names and tensors; save network.state_dict().")
    return found
