"""What a report shows of a translator: rows of either pile, translations of each, what comes back, and how they came to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from trine.data import Batch, Table, table_of
from trine.domains import Domain
from trine.estimators._shown.film import PICTURES, SEED, SIDE, bytes_of_seen, small
from trine.estimators._shown.samples import ANSWERS, ROWS_OF_STRIP, Look, early, pixels, short
from trine.estimators._shown.sheets import moving_sheet, sheet
from trine.estimators._x_given_z import cut
from trine.models import Translator
from trine.models.translator import PLACES, SIDES
from trine.training import Result, generators

SHOWN = 6
"""Rows of either pile that are shown."""


def translations_film(model: Translator, batch: Batch) -> Callable[[], dict[str, Tensor]]:
    """A film of how the rows of ``batch`` are translated either way, with the same noise each time.

    A frame is a mapping ``a``, ``b`` → what is made: pictures as (n, channels, height, width) bytes with no side above 64, rows as
    critics see them.

    Args:
        batch: rows of A beside rows of B, where the model is; at most 32 of them are filmed, 16 large pictures.
    """

    def frame() -> dict[str, Tensor]:
        with generators.seeded(SEED):
            return {to: _small(model.translate(batch, to, noise(model, to, batch.size))) for to in SIDES}

    return frame


def filmed(model: Translator) -> int:
    """How many rows of either pile a film shows."""
    shapes = [_shape(model, side) for side in SIDES]
    return PICTURES // 2 if any(len(shape) == 3 and max(shape[1:]) > SIDE // 2 for shape in shapes) else PICTURES


def noise(model: Translator, to: str, rows: int, seed: int = SEED) -> Tensor:
    """(rows, width) noise of the one direction, the same each time."""
    drawn = torch.randn(rows, model.noise[PLACES[to]], generator=torch.Generator().manual_seed(seed))
    return drawn.to(next(model.parameters()).device)


def translations_record(
    model: Translator,
    batch: Batch,
    film: Batch,
    domains: Mapping[str, Mapping[str, Domain]],
    result: Result,
    look: Look,
) -> dict[str, Any]:
    """Everything that is shown, as JSON values; pictures are data URIs.

    Args:
        model: trained, on the CPU. batch: rows of A beside rows of B, best such as were not learned from.
        film: the batch that was filmed. domains: ``a``, ``b`` → column → fitted domain of that pile.
        result: what training left, with the film. look: (domains, table, row) → ``values`` and ``image`` of a row.
    """
    model.eval()
    with generators.seeded(SEED), torch.inference_mode():
        sides = [_Side(model, to, domains, look) for to in SIDES]
        return {
            "made": "translations",
            "sides": [
                {
                    "name": "A → B" if side.to == "b" else "B → A",
                    "from": "A" if side.to == "b" else "B",
                    "to": side.to.upper(),
                    "rows": side.rows(batch),
                    **side.as_training_went(film, result),
                }
                for side in sides
            ],
            "cycles": model.contrast is None,
            "score": {"best_epoch": result.best_epoch},
        }


class _Side:
    """One direction of a translator."""

    def __init__(self, model: Translator, to: str, domains: Mapping[str, Mapping[str, Domain]], look: Look) -> None:
        self.model, self.to, self.look = model, to, look
        self.own: Any = model.to_b if to == "b" else model.to_a
        self.other: Any = model.to_a if to == "b" else model.to_b
        self.domains = {id(self.own): domains[to], id(self.other): domains["a" if to == "b" else "b"]}

    def rows(self, batch: Batch) -> list[dict[str, Any]]:
        """Rows of the other pile: ``given``, ``made`` under several noises, and what comes ``back`` of the first of them."""
        model, to = self.model, self.to
        count = min(SHOWN, batch.size)
        given = self.other.seen(batch)[:count]
        drawn = noise(model, to, count * ANSWERS)
        made = self.own(given.repeat_interleave(ANSWERS, 0), drawn)
        back = None
        if model.contrast is None:
            first = made[::ANSWERS]
            code = model.code_a(given, first) if to == "b" else model.code_b(first, given)
            back = self.other(first, code)
        return [
            {
                "given": self.shown(self.other, given[i : i + 1], None if back is None else back[i : i + 1]),
                "made": self.shown(self.own, made[i * ANSWERS : (i + 1) * ANSWERS]),
                "back": None if back is None else self.shown(self.other, back[i : i + 1], given[i : i + 1]),
            }
            for i in range(count)
        ]

    def shown(self, generator: Any, seen: Tensor, beside: Tensor | None = None) -> dict[str, Any]:
        """Values as critics see them: a sheet of pictures, or ``rows``, each in the axes of the one ``beside`` it."""
        if len(generator.shape) == 3:
            return sheet(pixels(bytes_of_seen(seen)), len(seen))
        domains = self.domains[id(generator)]
        table = self.table(generator, seen)
        others = None if beside is None else self.table(generator, beside)
        return {
            "rows": [self.look(domains, table, i, None if others is None else (others, i)) for i in range(len(seen))]
        }

    def table(self, generator: Any, seen: Tensor) -> Table:
        """Values as critics see them, in the user's units."""
        domains = self.domains[id(generator)]
        return table_of(
            {
                name: short(domains[name].decode(cut(domains[name], value.numpy())))
                for name, value in generator.columns(seen).items()
            }
        )

    def as_training_went(self, batch: Batch, result: Result) -> dict[str, Any]:
        """A strip and a film of the same rows under the same noise."""
        if len(_shape(self.model, self.to)) != 3 or not result.frames:
            return {}
        last = _small(self.model.translate(batch, self.to, noise(self.model, self.to, batch.size)))
        moments = early(result, lambda value: value[self.to], last)
        given = small(bytes_of_seen(self.other.seen(batch)))
        frames = [pixels(frame["value"][self.to]) for frame in result.frames] + [pixels(last)]
        return {
            "strip": [
                {"caption": caption, **sheet(pixels(value[:ROWS_OF_STRIP]), 1)}
                for caption, value in (("given", given), *moments)
            ],
            "film": moving_sheet(frames, 8),
            "filmed": sheet(pixels(given), 8),
        }


def _shape(model: Translator, side: str) -> tuple[int, ...]:
    generator: Any = model.to_b if side == "b" else model.to_a
    return tuple(generator.shape)


def _small(made: Tensor) -> Tensor:
    return small(bytes_of_seen(made)) if made.dim() == 4 else made.float().cpu()
