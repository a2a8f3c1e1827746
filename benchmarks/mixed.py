"""A table whose columns are numbers, categories, pictures and sounds, of which no part alone can tell y; defaults only.

    python -m benchmarks.mixed --seeds 0 1 2 --threads 1

Each row is a person of Adult with a picture of MNIST and a clip of the Free Spoken Digit set, all three from the training
part for training rows and from the test part for test rows. y is the digit on the picture if the person is married (civil
spouse), else the digit that is spoken. One row in fifty lacks the picture and one in fifty the sound; of those, y is the digit
that is there to be told, so that each row can be answered. Whoever sees only some of the columns cannot do better than
the ceilings that are printed beside; the fits on parts of the columns show that they do not.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conditions import DATA, RESULTS, conditions, keep, load

MARRIED = "Married-civ-spouse"
LACKING = 0.02
PARTS = {
    "all columns": None,
    "without the table": ["picture", "sound"],
    "without the picture": ["person", "sound"],
    "without the sound": ["person", "picture"],
}


def idx(path: Path) -> np.ndarray:
    """The array of a gzip'd IDX file."""
    with gzip.open(path) as file:
        data = file.read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def build(folder: Path, part: str, rows: int, seed: int) -> tuple[Path, dict[str, float]]:
    """(CSV of ``rows`` rows with pictures beside it, share of rows that each part of the columns can tell at best)."""
    from PIL import Image

    train = part == "train"
    draw = np.random.default_rng([seed, int(train)])
    prefix = "train" if train else "t10k"
    images = idx(DATA / "mnist" / f"{prefix}-images-idx3-ubyte.gz")
    digits = idx(DATA / "mnist" / f"{prefix}-labels-idx1-ubyte.gz")
    with (DATA / "adult_income" / f"{part}.csv").open(newline="", encoding="utf-8") as file:
        people = list(csv.DictReader(file))
    clips = sorted((DATA / "free_spoken_digits" / "recordings").glob("*.wav"))
    clips = [clip for clip in clips if (int(clip.stem.split("_")[2]) < 5) is not train]

    folder.mkdir(parents=True, exist_ok=True)
    pictures, sounds = draw.permutation(len(images))[:rows], draw.integers(0, len(clips), rows)
    person = draw.permutation(len(people))[:rows]
    lacking = draw.random(rows)
    told = dict.fromkeys(("without the table", "without the picture", "without the sound"), 0.0)
    path = folder / f"{part}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*people[0], "picture", "sound", "digit"])
        writer.writeheader()
        for i in range(rows):
            row: dict[str, Any] = dict(people[person[i]])
            seen, spoken = int(digits[pictures[i]]), int(clips[sounds[i]].stem[0])
            looks = row["marital_status"] == MARRIED
            row["picture"], row["sound"] = f"{part}-{i}.png", str(clips[sounds[i]])
            if lacking[i] < LACKING:
                row["picture"], looks = "", False
            elif lacking[i] < 2 * LACKING:
                row["sound"], looks = "", True
            if row["picture"]:
                Image.fromarray(images[pictures[i]]).save(folder / row["picture"])
            row["digit"] = seen if looks else spoken
            writer.writerow(row)
            both = bool(row["picture"] and row["sound"])
            told["without the table"] += 1.0 if not both or seen == spoken else 0.0
            told["without the picture"] += 0.0 if looks else 1.0
            told["without the sound"] += 1.0 if looks else 0.0
    # Where both digits are there and differ, the better guess without the table is the more frequent of the two.
    share = {name: count / rows for name, count in told.items()}
    share["without the table"] += (1 - share["without the table"]) * max(
        share["without the picture"], share["without the sound"]
    )
    # What cannot be told is guessed: one in ten.
    for name in ("without the picture", "without the sound"):
        share[name] += (1 - share[name]) / 10
    return path, share


def columns(train: Path, part: list[str] | None) -> list[str] | None:
    """The names of x; ``person`` stands for all columns of Adult."""
    if part is None:
        return None
    with train.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))[:-3]
    return [name for one in part for name in (names if one == "person" else [one])]


def main() -> None:
    """Fit every part of the columns, and write the results."""
    import trine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--rows", type=int, nargs=2, default=[6000, 2000], help="training and test rows")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    results = load("mixed")
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            train, _ = build(Path(folder), "train", options.rows[0], seed)
            test, ceiling = build(Path(folder), "test", options.rows[1], seed)
            for part in options.parts:
                started = time.perf_counter()
                model = trine.fit(
                    train, y="digit", x=columns(train, PARTS[part]), domains={"digit": "category"}, valid=test,
                    seed=seed, threads=options.threads,
                )  # fmt: skip
                accuracy = model.metrics_["digit"]["accuracy"]["value"]
                found = {
                    "accuracy": accuracy,
                    "ceiling": ceiling.get(part, 1.0),
                    "seconds": time.perf_counter() - started,
                }
                results.setdefault(part, {})[str(seed)] = found
                print(seed, part, found, flush=True)
                results["conditions"] = {**conditions(), "rows": options.rows, "threads": options.threads}
                keep("mixed", results)
                write(results)


def write(results: dict[str, Any]) -> None:
    """The results as a page."""
    where = results["conditions"]
    lines = [
        "# A mixed table: people, pictures and spoken digits",
        "",
        "`python -m benchmarks.mixed` — y is the digit on the picture if the person is married, else the digit that is spoken; "
        f"{where['rows'][0]:,} training and {where['rows'][1]:,} test rows from the sets' own parts; one row in 50 "
        "lacks its picture, one in 50 its sound. Defaults only; mean ± standard deviation over seeds. The ceiling is what "
        "can be told from those columns at best.",
        "",
        "| x | accuracy on test rows | ceiling | seeds | seconds |",
        "|---|---|---|---|---|",
    ]
    for part in PARTS:
        found = list(results.get(part, {}).values())
        if found:
            values = [one["accuracy"] for one in found]
            spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
            lines.append(
                f"| {part} | {np.mean(values):.4f}{spread} | {np.mean([one['ceiling'] for one in found]):.3f} | {len(values)} | "
                f"{np.mean([one['seconds'] for one in found]):.0f} |"
            )
    about = (
        f"{where['cpu']}; Python {where['python']}, torch {where['torch']}; {where['threads']} thread; {where['date']}."
    )
    (RESULTS / "mixed.md").write_text("\n".join([*lines, "", about, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
