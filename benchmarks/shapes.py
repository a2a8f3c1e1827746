"""Shapings of a code of 8 numbers, on binarised MNIST: what comes back, what the codes are like, what is drawn from them.

    taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.shapes --rows 15000 --epochs 8

Pixels are binarised at a threshold (see ``benchmarks.vae``); dense networks 784-400-8 and back, the same steps for all. On 5,000
test pictures: what the reconstruction costs (−log q(x given z) at the code's mean, nats); energy distance and MMD² of the codes
from the prior; FD-classifier, the Fréchet distance of 5,000 samples in the last layer of a classifier that is trained here on
MNIST's 2,000 first training rows (no Inception network: no FID), with the distance of as many training pictures as its floor; and
the accuracy of a logistic regression on the codes of 5,000 training rows. Kept in ``results/shapes.json`` and
``results/shapes.md``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import RESULTS, conditions, keep, load
from benchmarks.foreign import pictures
from trine.evaluation.samples import frechet

SHAPES = ("none", "kl", "js", "mmd", "wasserstein", "cramer")
JUDGED = 5000


def main() -> None:
    import torch
    from sklearn.linear_model import LogisticRegression

    import trine
    from trine.divergences.two_sample import energy_distance, mmd

    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    x, y = pictures("mnist", "train")
    test, truth = pictures("mnist", "t10k")
    x, test = (np.where(part > 127, 255, 0).astype(np.uint8) for part in (x, test))
    judge = trine.Classifier(random_state=0, epochs=12, channels=16, threads=1).fit(x[:2000], y[:2000].astype(str))

    def features(rows: NDArray[Any]) -> NDArray[Any]:
        return judge.represent(rows)

    real = features(test[:JUDGED])
    results = load("shapes")
    results["floor"] = frechet(features(x[-JUDGED:]), real)
    for shape in given.shapes:
        start = time.perf_counter()
        model = trine.Autoencoder(
            8,
            shape,
            image="dense",
            hidden=(400,),
            batch_size=100,
            step_size=2e-3,
            epochs=given.epochs,
            random_state=0,
            threads=1,
        ).fit(x[: given.rows])
        codes, own = model.transform(test[:JUDGED]), model.transform(x[:JUDGED])
        torch.manual_seed(0)
        z = torch.from_numpy(codes[:2000])
        if shape == "kl":  # the aggregate of codes is of draws, not of means
            store, _ = model._encode(test[:2000])
            with torch.inference_mode():
                z = model._network.encode(store.batch(torch.arange(store.rows)))[0].sample()
        prior = torch.randn(2000, 8)
        found = model.evaluate(test[:JUDGED])
        probe = LogisticRegression(max_iter=2000).fit(own, y[:JUDGED])
        drawn = model.sample(JUDGED, seed=0)
        results[shape] = {
            "reconstruction": -found.metrics["reconstruction"].value,
            "energy": float(energy_distance(z, prior)),
            "mmd": float(mmd(z, prior, [0.5 * 8**0.5, 8**0.5, 2 * 8**0.5])),
            "fd": frechet(features(np.where(drawn > 127, 255, 0).astype(np.uint8)), real),
            "probe": float(probe.score(codes, truth[:JUDGED])),
            "seconds": time.perf_counter() - start,
        }
        results["conditions"] = {**conditions(), "rows": given.rows, "epochs": given.epochs}
        keep("shapes", results)
        print(shape, results[shape], flush=True)
    write(results)


def write(results: dict[str, Any]) -> None:
    """The table as Markdown."""
    lines = [
        "# Shapings of a code of 8 numbers",
        "",
        __doc__ or "",
        f"FD-classifier of real pictures: {results['floor']:.2f}.",
        "",
    ]
    lines += ["| shape | reconstruction, nats | energy distance | MMD² | FD-classifier | linear probe | seconds |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for shape in SHAPES:
        if found := results.get(shape):
            lines.append(
                f"| {shape} | {found['reconstruction']:.1f} | {found['energy']:.4f} | {found['mmd']:.5f} | {found['fd']:.2f} | "
                f"{100 * found['probe']:.1f} % | {found['seconds']:.0f} |"
            )
    lines += ["", "Samples of `none` come from a mixture of normals fitted to its codes afterwards."]
    lines += ["", f"Conditions: {results['conditions']}"]
    (RESULTS / "shapes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
