"""What a procedure does after the last step: once, with the rows, the same again after a resume, and safe to interrupt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trine.criterion import Criterion, Term
from trine.data import Batches, Schema, encode, read
from trine.divergences import KL
from trine.procedures import Descent, Feed, State
from trine.training import Run, train


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))
        self.register_buffer("noise", torch.zeros(3))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, torch.distributions.Normal]:
        x = batch["x.numbers"] if "x.numbers" in batch else batch["x"]
        return {"y_hat": torch.distributions.Normal(self.slope * x.reshape(-1), torch.ones(()), validate_args=False)}


class Concluding(Descent):
    seen = 0

    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        assert not model.training
        self.seen += sum(len(next(iter(batch.values()))) for batch in batches.epoch(0))
        model.noise.copy_(torch.randn(3))


class Interrupted(Concluding):
    def conclude(self, state: State, model: nn.Module, criterion: Criterion, batches: Feed) -> None:
        raise KeyboardInterrupt


def batches() -> Batches:
    x = torch.linspace(-1, 1, 40).unsqueeze(1).numpy()
    table = read((x, 2 * x[:, 0]))
    schema = Schema.infer(table, ["y"], domains={"y": "real"}).fit(table)
    return Batches(encode(table, schema), torch.arange(40), 10, 0)


def trained(procedure: Descent, run: Run | None) -> Line:
    model = Line()
    train(model, Criterion(Term(KL(), "y_hat", "y")), procedure, batches(), epochs=2, seed=5, run=run)
    return model


def test_it_is_called_once_with_all_training_rows_and_its_noise_is_the_seed_s() -> None:
    procedure = Concluding(step_size=0.1)
    torch.manual_seed(123)
    first = trained(procedure, None)
    assert procedure.seen == 40
    torch.manual_seed(9)
    torch.testing.assert_close(trained(Concluding(step_size=0.1), None).noise, first.noise, rtol=0, atol=0)


def test_a_run_that_is_stopped_in_it_says_so_and_ends_alike_when_resumed(tmp_path: Path) -> None:
    whole = trained(Concluding(step_size=0.1), None)
    with Run.create(tmp_path / "run", {}) as run:
        with pytest.raises(KeyboardInterrupt, match="the 8 steps are kept"):
            trained(Interrupted(step_size=0.1), run)
        assert run.data["status"] == "stopped"
    with Run.open(tmp_path / "run") as run:
        resumed = trained(Concluding(step_size=0.1), run)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
