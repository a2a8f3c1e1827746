"""The main job, twice, on data that scikit-learn embeds: images in class folders, and a table."""

from __future__ import annotations

import shutil
from pathlib import Path

from trine.errors import RunError

MARK = "made by `trine demo`"
"""First line of a file that tells a directory of ours from a user's."""


def run_demo(out: Path) -> None:
    """Write the two data sets under ``out/data``, train on each as ``trine fit`` does, and print where the reports are.

    Raises:
        RunError: ``out`` exists and was not made by an earlier demo.
    """
    from trine.cli import main

    if out.exists():
        mark = out / ".demo"
        if not mark.is_file() and any(out.iterdir()):
            raise RunError(f"{out} exists and holds something else; give another directory: trine demo --out DIR.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / ".demo").write_text(MARK + "\n", encoding="utf-8")
    digits = write_digits(out / "data" / "digits")
    table = write_diabetes(out / "data" / "diabetes.csv")
    for title, arguments in (
        ("1. Images: a folder of class folders of handwritten digits", [str(digits), "--out", str(out / "digits")]),
        (
            "2. A table: how far diabetes has progressed after a year",
            [str(table), "--y", "progression", "--out", str(out / "diabetes")],
        ),
    ):
        print(f"\n{title}\n{'─' * len(title)}\n$ trine fit {' '.join(arguments)}\n", flush=True)
        try:
            main(["fit", *arguments])
        except SystemExit as stop:
            if stop.code:
                raise


def write_digits(folder: Path) -> Path:
    """scikit-learn's 1,797 digits, 8 × 8 pixels, as ``folder/<digit>/<number>.png``."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
        Image.fromarray(image).save(folder / str(label) / f"{number:04d}.png")
    return folder


def write_diabetes(path: Path) -> Path:
    """scikit-learn's 442 patients in their original units, as CSV."""
    import numpy as np
    from sklearn.datasets import load_diabetes

    from trine.data import write

    data = load_diabetes(scaled=False)
    named = {
        "s1": "cholesterol",
        "s2": "ldl",
        "s3": "hdl",
        "s4": "cholesterol_to_hdl",
        "s5": "log_triglycerides",
        "s6": "glucose",
        "bp": "blood_pressure",
    }
    columns = {named.get(name, name): data.data[:, i] for i, name in enumerate(data.feature_names)}
    columns["sex"] = np.where(columns["sex"] == 1, "group 1", "group 2")
    write(path, {**columns, "progression": data.target})
    return path
