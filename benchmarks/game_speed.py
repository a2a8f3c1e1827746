"""Steps of a game a second against a loop by hand on the same networks.

    OMP_NUM_THREADS=1 python -m benchmarks.game_speed

``pictures``: 28 × 28, batches of 64, as ``trine.GAN()`` derives networks and choices for MNIST (relativistic pairs, R1 and R2 on
every fourth step of the critic). ``rows``: two columns of numbers, batches of 256, dense layers, the penalties on every step, and
the likelihood of the true rows. By hand is the loop as one would write it in its best form: fused AdamW, ``set_to_none``, made
rows once a step, the same penalties as often, the average of weights every fourth step, batches by ``index_select``, gradients
for one player at a time. ``twice`` is the same loop with the generator run again for its own step, as CycleGAN's and most
tutorials' loops do: what it loses is what outputs once a step gain. Contestants take turns, the order reversed every round; the
clock is the process's own processor time, one thread; a ratio is the median over rounds, with the range. On a machine that others
use as much, runs of few rounds differ by several hundredths. Kept in ``results/game_speed.json``, ``.md``.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.conditions import RESULTS, conditions, keep, load
from benchmarks.speed import mnist
from trine.choices import Choices
from trine.data import Batches, read
from trine.estimators._plan import Plan, prepare
from trine.methods.gan import BETAS
from trine.training.loop import steps

GAMES = ("pictures", "rows")
SECONDS = 1.0
"""Length of a segment, processor time."""
SIZE, EMA, EVERY = 5e-4, 0.999, 4


def rows_of_two() -> pd.DataFrame:
    """20,000 points around a ring."""
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, 20_000) * np.pi / 4
    return pd.DataFrame(
        {"a": 2 * np.cos(angle) + rng.normal(0, 0.1, 20_000), "b": 2 * np.sin(angle) + rng.normal(0, 0.1, 20_000)}
    )


class Game:
    """The networks and choices that trine derives for a data set, and both loops on copies of them."""

    def __init__(self, what: str) -> None:
        torch.manual_seed(0)
        table = read(mnist()) if what == "pictures" else read(rows_of_two())
        every = {} if what == "pictures" else {"penalty_every": 1}
        choices = Choices.of({"schedule": "constant", "step_size": SIZE, "ema": EMA, **every})
        self.prepared = prepare(Plan((), method="gan", stop_fraction=0.0, choices=choices), table)
        made = self.prepared.derivation.choices
        assert made.batch_size is not None
        assert made.penalty is not None
        assert made.penalty_every is not None
        self.size, self.penalty, self.every = made.batch_size, made.penalty, made.penalty_every
        self.likelihood = (made.likelihood or 0.0) / len(self.prepared.derivation.schema.x)
        self.rows = torch.from_numpy(self.prepared.rows.train)

    def trine(self) -> Callable[[], float]:
        """The one loop."""
        derivation = self.prepared.derivation
        model, criterion = copy.deepcopy((derivation.model, derivation.criterion))
        model.train(), criterion.train()
        state = derivation.procedure.init(model, criterion)
        state.total = 10**9
        batches = Batches(self.prepared.store, self.rows, self.size)

        def unending() -> Any:
            while True:
                yield from batches

        taking = steps(derivation.procedure, state, model, criterion, unending())
        return self._timed(lambda: next(taking))

    def hand(self, twice: bool = False) -> Callable[[], float]:
        """The best loop by hand; ``twice``: the generator runs for each player's step."""
        derivation = self.prepared.derivation
        model, critic = copy.deepcopy((derivation.model, next(iter(derivation.criterion.terms)).divergence.critic))
        model.train(), critic.train()
        trunk, made, width = model.trunk, model.made, model.noise.width
        with torch.no_grad():
            real_of = made.seen(self.prepared.store.batch(self.rows)).clone()
        players = [list(model.parameters()), list(critic.parameters())]
        of_g, of_d = (torch.optim.AdamW(own, SIZE, BETAS, weight_decay=0.0, fused=True) for own in players)
        current = [p.detach() for p in players[0]]
        averaged = [p.clone() for p in current]

        def generate(real: Tensor) -> tuple[Tensor, Tensor | float]:
            """Made rows, and what the likelihood of the true ones, given the same noise, costs."""
            features = trunk(torch.randn(self.size, width))
            cost = -self.likelihood * made.log_density(features, real).mean() if self.likelihood else 0.0
            return made(features), cost

        def slope(values: Tensor, at: Tensor) -> Tensor:
            (rise,) = torch.autograd.grad(values.sum(), at, create_graph=True)
            return rise.flatten(1).square().sum(1).mean()

        def unending() -> Any:
            taken = 0
            while True:
                order = torch.randperm(len(real_of))
                for first in range(0, len(order) - self.size + 1, self.size):
                    real = real_of.index_select(0, order[first : first + self.size])
                    fake, cost = generate(real)
                    seen = fake.detach()
                    looked = taken % self.every == 0
                    if looked:
                        real.requires_grad_(True)
                        seen.requires_grad_(True)
                    on_real, on_fake = critic(real), critic(seen)
                    loss = softplus(on_fake - on_real).mean()
                    if looked:
                        loss = loss + 0.5 * self.every * self.penalty * (slope(on_real, real) + slope(on_fake, seen))
                    loss.backward(inputs=players[1])
                    of_d.step()
                    of_d.zero_grad(set_to_none=True)
                    if twice:
                        fake, cost = generate(real)
                    with torch.no_grad():
                        above = critic(real)
                    (softplus(above - critic(fake)).mean() + cost).backward(inputs=players[0])
                    of_g.step()
                    of_g.zero_grad(set_to_none=True)
                    taken += 1
                    if taken % 4 == 0:
                        torch._foreach_lerp_(averaged, current, 1 - EMA**4)
                    yield

        taking = unending()
        return self._timed(lambda: next(taking))

    def _timed(self, step: Callable[[], Any]) -> Callable[[], float]:
        """Segments of as many steps as fill the time, a multiple of four."""
        for _ in range(8):
            step()
        started = time.process_time()
        for _ in range(8):
            step()
        count = max(8, 4 * round(SECONDS / (time.process_time() - started) * 2))

        def segment() -> float:
            started = time.process_time()
            for _ in range(count):
                step()
            return count / (time.process_time() - started)

        return segment


def contest(what: str, rounds: int) -> dict[str, Any]:
    """Steps a second of every contestant, by rounds."""
    game = Game(what)
    contestants = {"trine": game.trine(), "hand": game.hand(), "twice": game.hand(twice=True)}
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
            rates[name].append(contestants[name]())

    def ratio(ours: str, theirs: str) -> dict[str, Any]:
        parts = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        return {"median": statistics.median(parts), "range": [min(parts), max(parts)]}

    return {
        "batch": game.size,
        "parameters": sum(p.numel() for p in game.prepared.derivation.model.parameters()),
        "steps a second": {name: statistics.median(values) for name, values in rates.items()},
        "trine / hand": ratio("trine", "hand"),
        "hand / twice": ratio("hand", "twice"),
        "rounds": rounds,
    }


def write(results: dict[str, Any]) -> None:
    """The table as Markdown."""
    lines = ["# Speed of games", "", __doc__ or ""]
    lines += [
        "| game | rounds | batch | steps a second: trine, hand, twice | trine / hand (wanted ≥ 0.95) | outputs once / twice |",
        "|---|---|---|---|---|---|",
    ]
    for what in GAMES:
        if what in results:
            found = results[what]
            cells = [
                f"{found[key]['median']:.2f} ({found[key]['range'][0]:.2f} to {found[key]['range'][1]:.2f})"
                for key in ("trine / hand", "hand / twice")
            ]
            rates = ", ".join(f"{found['steps a second'][name]:.1f}" for name in ("trine", "hand", "twice"))
            lines.append(f"| {what} | {found['rounds']} | {found['batch']} | {rates} | {' | '.join(cells)} |")
    lines += ["", f"Conditions: {results['conditions']}"]
    (RESULTS / "game_speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", default="both", choices=(*GAMES, "both"))
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for what in GAMES if given.what == "both" else (given.what,):
        found = contest(what, given.rounds)
        results = load("game_speed") | {what: found, "conditions": {**conditions(), "threads": 1}}
        keep("game_speed", results)
        write(results)
        print(what, found, flush=True)


if __name__ == "__main__":
    main()
