"""What is chosen for a user who chooses nothing, and why. The figures behind each are in `benchmarks/results`."""

from __future__ import annotations

import math
from typing import Any

import torch

from trine.choices import Choices
from trine.data import Schema
from trine.domains import Image
from trine.methods._base import Facts

TABLE_EXAMPLES, IMAGE_EXAMPLES = 600_000, 360_000
"""Examples that training is planned to see, over all epochs."""
TABLE_EPOCHS, IMAGE_EPOCHS = (15, 150), (7, 60)
"""Fewest and most epochs."""
SMALL_SIDE = 64
"""Pictures of at most this shorter side get the full width."""
LARGEST_BATCH = {"table": 1024, "images": 256}


def resolve_supervised(schema: Schema, choices: Choices, facts: Facts) -> tuple[Choices, dict[str, str]]:
    """The choices with nothing left open, and a reason for each that was left open."""
    images = any(isinstance(domain, Image) for domain in schema.x.values())
    table = not all(isinstance(domain, Image) for domain in schema.x.values())
    derived: dict[str, tuple[Any, str]] = _of_size(facts.rows, images)
    if table:
        derived |= {
            "hidden": ((256, 256), "a wide shallow trunk serves most tables"),
            "activation": ("relu", "cheap, and He initialisation keeps its scale"),
            "dropout": (0.1, "against overfitting; 0.1 held on all tables measured"),
            "members": (8, "weight-sharing members average out each other's errors (TabM)"),
            "numbers": ("piecewise", "piecewise-linear bins at quantiles: heavy tails and spikes do no harm"),
            "categories": ("embedding", "a learned vector for each category"),
            "unknown": (0.02, "so that a row with nothing known is answered by the prior"),
        }
    if images:
        derived |= {
            "channels": _channels(schema),
            "augment": (True, "shifts by up to an eighth of the side leave a picture's meaning"),
            "flip": _flip(facts),
            "autocast": _autocast(),
            "activation": ("relu", "cheap, and He initialisation keeps its scale"),
            "unknown": (0.02, "so that a row with nothing known is answered by the prior"),
        }
    if images and not table:
        derived |= {
            "hidden": ((), "the convolutions' features go to the rule directly"),
            "dropout": (0.0, "shifting the images regularises"),
            "members": (1, "members pay for tables"),
        }
    derived.setdefault("autocast", ("none", "the products of a table's network are small"))
    derived |= {
        "normalization": ("none" if table else "batch", "of the dense layers" if table else "of the convolutions"),
        "prenorm": (False, "as usual without deep residual stacks"),
        "residual": (
            not table,
            "two dense layers need no shortcut" if table else "pairs of convolutions add their input",
        ),
    }
    open_ = {name: value for name, value in derived.items() if getattr(choices, name) is None}
    resolved = choices.replace(**{name: value for name, (value, _) in open_.items()})
    return resolved, {name: why for name, (_, why) in open_.items()}


def _of_size(rows: int, images: bool) -> dict[str, tuple[Any, str]]:
    """What depends on the number of training rows: batch, epochs, step size, average, patience."""
    most = LARGEST_BATCH["images" if images else "table"]
    batch = 2 ** round(math.log2(min(max(rows / 100, 32), most)))
    examples, (fewest, longest) = (IMAGE_EXAMPLES, IMAGE_EPOCHS) if images else (TABLE_EXAMPLES, TABLE_EPOCHS)
    epochs = min(max(round(examples / rows), fewest), longest)
    a_epoch = max(1, rows // batch)
    average = round(1.0 - min(max(1.0 / a_epoch, 0.002), 0.05), 4)
    derived: dict[str, tuple[Any, str]] = {
        "batch_size": (batch, f"about a hundredth of {rows:,} rows, a power of two from 32 to {most}"),
        "epochs": (epochs, f"to see about {examples:,} examples, within {fewest} to {longest} epochs"),
        "patience": (max(8, epochs // 5), "epochs without a better held-out score"),
        "ema": (average, "the average spans about an epoch"),
        "clip": (1.0, "one bad batch cannot throw the weights far"),
        "optimiser": ("adamw", "one step size serves weights of any scale"),
    }
    if images:
        size = round(5e-3 * math.sqrt(batch / 256), 6)
        return derived | {
            "step_size": (size, "5e-3 at batch 256, by the square root of the batch"),
            "schedule": ("onecycle", "large steps early, small ones late"),
            "weight_decay": (0.05, "of matrices and filters alone"),
        }
    return derived | {
        "step_size": (2e-3, "held on all tables measured"),
        "schedule": ("cosine", "large steps early, small ones late"),
        "weight_decay": (0.02, "of matrices alone"),
    }


def _channels(schema: Schema) -> tuple[int, str]:
    """Width of the first stage, which works at full size."""
    side = max(min(d.height, d.width) for d in schema.x.values() if isinstance(d, Image))
    if side <= SMALL_SIDE:
        return 32, "width of the first stage; each stage doubles it"
    return 16, f"narrower than for small pictures, since the first stages work on {side} pixels a side"


def _flip(facts: Facts) -> tuple[str, str]:
    """Mirror images, as far as the training rows were seen to allow."""
    adopted = facts.invariances or ()
    name = "both" if len(adopted) == 2 else adopted[0] if adopted else "none"
    return name, facts.evidence or "not measured"


def _autocast() -> tuple[str, str]:
    """bfloat16 where the processor multiplies in it."""
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16", "the GPU multiplies in bfloat16"
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return "bf16", "this processor multiplies in bfloat16, about twice as fast"
    return "none", "this processor has no bfloat16 products"
