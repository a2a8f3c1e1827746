"""One normal fitted to a distribution of two humps under each divergence: what each gives up and what it keeps.

    python -m benchmarks.fits [--out docs/fits.png]

Each fit descends D(p, normal(loc, scale)) from three starts (the moments of p, and each hump) by L-BFGS with the
gradients of the library's quadrature, and keeps the best. Nothing is drawn at random; some fifteen seconds on one core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from trine.divergences import divergences
from trine.report.figures.divergence import smaller

WEIGHTS, LOCS, SCALES = (0.6, 0.4), (-2.0, 3.0), (0.7, 1.2)
PANELS = (
    ("kl", "KL(p ‖ q): covers all of p"),
    ("reverse_kl", "KL(q ‖ p): picks a hump"),
    ("js", "Jensen-Shannon"),
    ("tv", "Total variation"),
    ("hellinger", "Hellinger"),
    ("chi2", "χ²(p ‖ q)"),
    ("renyi", "Rényi, order 0.1"),
    ("wasserstein", "Wasserstein, W₁"),
    ("wasserstein2", "Wasserstein, W₂"),
    ("cramer", "Cramér"),
    ("mmd", "MMD, bandwidth 1"),
)
OPTIONS: dict[str, dict[str, float]] = {"mmd": {"bandwidth": 1.0}, "renyi": {"alpha": 0.1}}
INK, SOFT, LINE, HUMPS, FIT = "#1b2430", "#5a6676", "#d5dbe3", "#9ba7b7", "#cf5f0a"


def humps() -> MixtureSameFamily:
    """The distribution that is fitted to, in float64."""
    weights, locs, scales = (torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, LOCS, SCALES))
    return MixtureSameFamily(Categorical(weights), Normal(locs, scales))


def fit(name: str, p: MixtureSameFamily) -> tuple[float, float, float]:
    """Location, scale and value of the best normal under the divergence ``name``."""
    kind: Any = divergences[name]
    divergence = kind(**OPTIONS.get(name, {}))
    found = []
    for loc, scale in ((p.mean.item(), p.stddev.item()), *zip(LOCS, SCALES, strict=True)):
        theta = torch.tensor([loc, math.log(scale)], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS([theta], max_iter=60, line_search_fn="strong_wolfe", tolerance_change=1e-12)

        def loss(theta: Tensor = theta, optimiser: torch.optim.Optimizer = optimiser) -> Tensor:
            optimiser.zero_grad()
            value: Tensor = divergence(Normal(theta[0], theta[1].exp()), p)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimiser.step(loss)  # type: ignore[arg-type]
        value = divergence(Normal(theta[0], theta[1].exp()), p).item()
        found.append((theta[0].item(), theta[1].exp().item(), value))
    return min(found, key=lambda each: each[2])


def draw(p: MixtureSameFamily, fits: dict[str, tuple[float, float, float]], path: Path) -> None:
    """Twelve panels: p, and each fit over it."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style = {
        "font.size": 9.0, "text.color": INK, "axes.edgecolor": LINE, "axes.titlesize": 9.6, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
        "axes.grid": True, "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.6, "xtick.color": LINE,
        "xtick.labelcolor": SOFT, "xtick.labelsize": 8.0, "axes.xmargin": 0.0,
    }  # fmt: skip
    x = torch.linspace(-7.0, 9.0, 500, dtype=torch.float64)
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11.2, 6.4), layout=ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.08))
        FigureCanvasAgg(figure)
        axes = figure.subplots(3, 4, sharex=True, sharey=True).flatten()
        density = p.log_prob(x).exp()
        for i, ax in enumerate(axes):
            ax.fill_between(x, density, color=HUMPS, alpha=0.45, linewidth=0)
            ax.set(ylim=(0, 0.62), yticks=[], xticks=[-6, -3, 0, 3, 6])
            if i == 0:
                ax.set_title("p = 0.6 N(−2, 0.7) + 0.4 N(3, 1.2)")
                continue
            name, title = PANELS[i - 1]
            loc, scale, _ = fits[name]
            ax.plot(x, Normal(loc, scale).log_prob(x).exp(), color=FIT, linewidth=1.9)
            ax.set_title(title)
            ax.text(0.98, 0.93, f"N({loc:.2f}, {scale:.2f})".replace("-", "−"), color=SOFT, fontsize=8.6, ha="right", va="top",
                    transform=ax.transAxes)  # fmt: skip
        figure.savefig(path, dpi=100, metadata={"Software": None})
        smaller(path)


def main() -> None:
    """Fit, print a table, draw."""
    parser = argparse.ArgumentParser(description="One normal fitted to two humps under each divergence.")
    parser.add_argument("--out", type=Path, default=Path("docs/fits.png"))
    out: Path = parser.parse_args().out
    torch.set_num_threads(1)
    p = humps()
    fits = {name: fit(name, p) for name, _ in PANELS}
    print(f"{'divergence':<14}{'location':>10}{'scale':>9}{'value':>12}")
    for name, (loc, scale, value) in fits.items():
        print(f"{name:<14}{loc:>10.4f}{scale:>9.4f}{value:>12.6f}")
    draw(p, fits, out)
    print(f"figure  {out}")


if __name__ == "__main__":
    main()
