"""``trine divergence``: every divergence between two distributions, with method, error and what holds of each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from trine.cli._distributions import parse
from trine.cli._outcome import print_json
from trine.divergences import Comparison, divergence, divergences, profile
from trine.errors import ChoiceError, TrineError

ORDER = ("kl", "reverse_kl", "js", "tv", "hellinger", "chi2", "renyi", "wasserstein", "wasserstein2", "cramer", "mmd")
HEADS = ("divergence", "value", "error", "method", "symmetric", "metric", "disjoint", "unbiased")
LEGEND = (
    "kl and reverse_kl, js, renyi in nats; wasserstein and cramer in units of the values, wasserstein2 in their squares.\n"
    "metric: yes, or its root is one. disjoint: finite where the supports are apart. unbiased: minibatch gradients of\n"
    "samples are, on average, those of all data. error: of quadrature a bound, of Monte Carlo one standard error."
)


def run(
    p: str,
    q: str,
    *,
    only: str | None,
    alpha: float,
    bandwidth: float | None,
    draws: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare, print, draw.

    Raises:
        ChoiceError: a text that is no distribution, an unknown divergence, a figure that cannot be drawn or written.
    """
    from trine.report.figures.divergence import check_format, draw_divergences

    one, other = parse(p, "--p"), parse(q, "--q")
    wanted = [name.strip() for name in only.split(",")] if only else [*ORDER, *sorted(set(divergences) - set(ORDER))]
    for name in wanted:
        divergences[name]  # an unknown one is refused, with the nearest
    if out is not None:
        check_format(out)
    options: dict[str, dict[str, Any]] = {"renyi": {"alpha": alpha}, "mmd": {"bandwidth": bandwidth}}
    found: dict[str, Comparison | None] = {}
    reasons: dict[str, str] = {}
    for name in wanted:
        try:
            found[name] = divergence(name, one, other, draws=draws, seed=seed, **options.get(name, {}))
        except ChoiceError as error:
            if only or (name in ("renyi", "mmd") and "has no form" not in str(error)):
                raise
            found[name], reasons[name] = None, str(error)
    if as_json:
        rows = [
            value.to_json() if value is not None else {"divergence": name, "value": None, "reason": reasons[name]}
            for name, value in found.items()
        ]
        print_json({"p": p, "q": q, "divergences": rows})
    else:
        print(_table(p, q, found, reasons, alpha))
    if out is not None:
        try:
            seen = profile(one, other, alpha)
        except TrineError as error:
            raise ChoiceError(f"--out {out}: {error}") from None
        draw_divergences(out, seen, found, (p, q), alpha)
        if not as_json:
            print(f"\nfigure  {out}")


def _table(p: str, q: str, found: dict[str, Comparison | None], reasons: dict[str, str], alpha: float) -> str:
    rows: list[tuple[str, ...]] = [HEADS]
    for name, value in found.items():
        called = f"renyi α={alpha:g}" if name == "renyi" else name
        statement = tuple(divergences[name].statement.cells().values())
        if value is None:
            rows.append((called, "–", "", "no form for this pair", *statement))
            continue
        error = f"{value.error:.0e}" if value.error else ""
        rows.append((called, _number(float(value)), error, value.method, *statement))
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]

    def aligned(row: tuple[str, ...]) -> str:
        number = {1, 2}
        each = enumerate(zip(row, widths, strict=True))
        return "  ".join(c.rjust(w) if i in number else c.ljust(w) for i, (c, w) in each).rstrip()

    lines = [aligned(row) for row in rows]
    told: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        told.setdefault(reason.rpartition("has no form here: ")[2], []).append(name)
    parts = [f"p  {p}\nq  {q}", "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]]), LEGEND]
    return "\n\n".join(parts + ["\n".join(f"{', '.join(names)}: {why}" for why, names in told.items())] * bool(told))


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:.10g}"
