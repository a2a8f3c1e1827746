"""Inception v3 from a file of the user's: what it is, what is refused, and when a distance is called the FID."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trine.errors import ArtefactError
from trine.evaluation.inception import CLASSES, Inception, inception


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {**Inception().state_dict(), "fc.weight": torch.zeros(CLASSES, 2048), "fc.bias": torch.zeros(CLASSES)}


def test_it_has_the_size_of_the_published_network() -> None:
    assert sum(parameter.numel() for parameter in Inception().parameters()) == 21_785_568  # without the last layer


def test_files_of_either_kind_give_the_same_network_and_its_name(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    torch.save(state, tmp_path / "fid.pth")
    save_file({name: value for name, value in state.items() if "fc." not in name}, tmp_path / "trunk.safetensors")
    (one, fid), (other, name) = inception(tmp_path / "fid.pth"), inception(tmp_path / "trunk.safetensors")
    assert (fid, name) == ("FID", "FD-inception")
    pictures = torch.rand(2, 1, 20, 24)
    seen = one(pictures)
    assert seen.shape == (2, 2048)
    assert torch.equal(seen, other(pictures))
    assert torch.allclose(seen, one(pictures.expand(-1, 3, -1, -1)), atol=1e-5)  # grey is read as colour
    assert torch.allclose(seen[:1], one(pictures[:1]), atol=1e-4)  # nothing hangs on the batch
    counters = {name: value for name, value in state.items() if "num_batches" not in name}
    torch.save({**counters, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "other.pt")
    assert inception(tmp_path / "other.pt")[1] == "FD-inception"


def test_a_mean_over_places_counts_none_beyond_the_edge() -> None:
    """As in the network of 2015: a constant map stays constant."""
    from trine.evaluation.inception import _mean

    assert torch.allclose(_mean(torch.ones(1, 2, 5, 5)), torch.ones(1, 2, 5, 5))


def test_what_is_no_such_file_is_said(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ArtefactError, match="No such file"):
        inception(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights", encoding="utf-8")
    with pytest.raises(ArtefactError, match="no file of tensors alone"):
        inception(tmp_path / "text.pth")
    (tmp_path / "text.safetensors").write_text("no weights", encoding="utf-8")
    with pytest.raises(ArtefactError, match="Give a state dict"):
        inception(tmp_path / "text.safetensors")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(ArtefactError, match="another network than Inception v3"):
        inception(tmp_path / "linear.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ArtefactError, match="no state dict"):
        inception(tmp_path / "list.pth")
    part = {name: value for name, value in state.items() if not name.startswith("Mixed_5b")}
    torch.save(part, tmp_path / "part.pth")
    with pytest.raises(ArtefactError, match="Missing key"):
        inception(tmp_path / "part.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled module could execute anything
    with pytest.raises(ArtefactError, match="no file of tensors alone"):
        inception(tmp_path / "module.pth")
