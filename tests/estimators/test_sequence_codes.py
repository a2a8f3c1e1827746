"""Autoencoders of series, sounds, texts and tables with them: codes that say more than none, and rows that come back whole."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

import trine
from trine import Autoencoder
from trine.domains import Audio, Series, Text

FAST: dict[str, Any] = {"random_state": 0, "threads": 1}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """(rows, 64 steps, 1) digits read row by row, 400 to learn from and 200 held out."""
    series = load_digits().data[:600, :, None]
    return series[:400], series[400:]


@pytest.fixture(scope="module")
def of_digits(digits: tuple[np.ndarray, np.ndarray]) -> Autoencoder:
    return Autoencoder(code=8, channels=16, epochs=15, **FAST).fit(digits[0])


def test_a_code_of_a_series_says_more_than_none(of_digits: Autoencoder, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The best that a constant code can do is the mean of every step, with one scale."""
    train, test = digits
    std = train.std()
    means, scale = train.mean(0), (train - train.mean(0)).std()
    constant = -0.5 * (((test - means) / scale) ** 2 + np.log(2 * np.pi)) - np.log(scale / std)
    assert of_digits.score(test) > constant.sum((1, 2)).mean() + 10.0
    found = of_digits.evaluate(test).metrics["unexplained"].value
    assert found < 0.75 * ((test - means) ** 2).mean() / ((test - train.mean()) ** 2).mean()


def test_series_come_back_in_the_form_and_units_that_they_came_in(
    of_digits: Autoencoder, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    back = of_digits.reconstruct(digits[1])
    assert back.shape == digits[1].shape
    assert np.abs(back - digits[1]).mean() < 0.75 * np.abs(digits[1] - digits[0].mean()).mean()
    drawn = of_digits.sample(5)
    assert drawn.shape == (5, 64, 1)
    assert np.array_equal(drawn, of_digits.sample(5))
    assert not np.array_equal(drawn, of_digits.sample(5, noise=False))
    way = of_digits.interpolate(digits[1][:2], digits[1][2:4], steps=3)
    assert way.shape == (6, 64, 1)
    assert np.allclose(way[0], back[0], atol=1e-3)
    assert np.allclose(way[5], back[3], atol=1e-3)


def test_series_of_different_lengths_come_back_as_long() -> None:
    rows = np.random.default_rng(0)
    lengths = rows.integers(10, 60, 300)
    waves = [np.sin(np.arange(n) * 6 / n) * rows.normal() + 0.05 * rows.normal(size=n) for n in lengths]
    data = pd.DataFrame({"wave": waves})
    model = Autoencoder(code=3, channels=16, epochs=24, **FAST).fit(data[:250])
    assert isinstance(model.schema_.x["wave"], Series)
    back = model.reconstruct(data[250:])["wave"]
    off = [abs(np.log(len(found) / len(wave))) for found, wave in zip(back, waves[250:], strict=True)]
    spread = np.abs(np.log(lengths[250:] / np.median(lengths))).mean()
    assert np.mean(off) < 0.4 * spread
    drawn = [len(row) for row in model.sample(200)["wave"]]
    assert min(drawn) >= 1
    assert max(drawn) <= 2 * lengths.max()
    assert np.std(drawn) > 3.0
    assert model.evaluate(data[250:]).metrics["unexplained"].value < 0.4


def test_a_sounds_code_tells_how_loud_it_is_when(tmp_path: Any) -> None:
    """Bursts of tones, written as files: beside one scale for all samples, the code saves much of what a sample costs."""
    import soundfile

    rate, count = 2000, 200
    draw = np.random.default_rng(0)
    lengths = draw.integers(300, 500, count)
    clips = []
    for i, length in enumerate(lengths):
        time = np.arange(length) / rate
        loud = np.exp(-(((time - draw.uniform(0.05, 0.12)) / 0.03) ** 2)) * draw.uniform(0.2, 0.8)
        clips.append(loud * np.sin(6.28 * draw.uniform(100, 300) * time) + 0.002 * draw.normal(size=length))
        soundfile.write(tmp_path / f"{i}.wav", clips[-1], rate, subtype="PCM_16")
    data = pd.DataFrame({"clip": [str(tmp_path / f"{i}.wav") for i in range(count)]})
    model = Autoencoder(code=6, channels=16, epochs=10, **FAST).fit(data[:160])
    assert isinstance(model.schema_.x["clip"], Audio)
    samples = np.concatenate(clips[160:]) * 32768
    found = -model.score_samples(data[160:]).sum() / len(samples)
    trivial = (
        np.log(2 * np.abs(np.concatenate(clips[:160]) * 32768).mean()) + 1
    )  # Laplace, the better of the plain families here
    assert found < trivial - 0.8
    drawn = model.sample(3)["clip"]
    assert all(np.abs(row).max() <= 1.0 and 100 < len(row) <= 1000 for row in drawn)
    back = model.reconstruct(data[160:])["clip"]
    assert len(back) == 40
    assert all(row.ndim == 1 for row in back)


def words() -> pd.DataFrame:
    """The distinct words of scikit-learn's own descriptions of data."""
    text = " ".join(load().DESCR for load in (load_breast_cancer, load_digits, load_iris, load_wine))
    found = sorted(set(re.findall(r"[a-z]{3,10}", text)))
    return pd.DataFrame({"word": np.random.RandomState(0).permutation(found)})


def test_a_texts_code_tells_its_letters() -> None:
    data = words()
    train, test = data[:-80], data[-80:]
    model = Autoencoder(code=16, epochs=24, **FAST).fit(train)
    assert isinstance(model.schema_.x["word"], Text)
    tokens = test["word"].str.len().sum() + len(test)
    found = -model.score_samples(test).sum() / tokens
    assert found < 0.75 * _bigrams(train["word"], test["word"])
    assert model.evaluate(test).metrics["wrong"].value < 0.75
    back = model.reconstruct(test)["word"]
    assert all(isinstance(word, str) for word in back)
    assert np.mean([len(a) == len(b) for a, b in zip(back, test["word"], strict=True)]) > 0.3
    assert len(model.sample(4)["word"]) == 4


def test_the_code_of_a_variational_text_does_not_collapse() -> None:
    data = words()
    model = Autoencoder(code=4, shape="kl", epochs=12, **FAST).fit(data)
    choices = model.derivation_.choices
    assert (choices.free_bits, choices.warmup) == (0.25, 0.3)
    assert (model.transform(data).std(0) > 0.3).all()  # of 1 where a code is its prior, 0 where it is collapsed
    priced = Autoencoder(code=4, shape="kl", epochs=2, free_bits=0.0, warmup=0.0, **FAST).fit(data)
    assert priced.derivation_.choices.free_bits == 0.0
    assert priced.transform(data).std(0).mean() < 0.1


def _bigrams(train: Any, test: Any) -> float:
    """Nats a token of the best that knows only the letter before, with a half added to each count."""
    counts: dict[str, dict[str, float]] = {}
    for word in train:
        for a, b in zip("^" + word, word + "$", strict=True):
            counts.setdefault(a, {})[b] = counts.setdefault(a, {}).get(b, 0.5) + 1
    lost = [
        -np.log(counts[a].get(b, 0.5) / (sum(counts[a].values()) + 0.5 * (27 - len(counts[a]))))
        for word in test
        for a, b in zip("^" + word, word + "$", strict=True)
    ]
    return float(np.mean(lost))


def test_a_table_with_a_text_gives_all_of_its_columns_again() -> None:
    table = load_iris(as_frame=True)
    frame = table.data.iloc[:, :2].set_axis(["length", "width"], axis=1)
    frame["kind"] = [f"iris {table.target_names[k]}" for k in table.target]
    frame["note"] = [f"leaf no {n % 7}" for n in range(150)]
    frame.loc[3, "note"] = None
    model = trine.fit(frame, method="autoencoder", domains={"note": "text"}, code=4, epochs=40, seed=0, threads=1)
    assert np.isfinite(model.score_samples(frame)).all()
    back = model.reconstruct(frame)
    assert set(back) == {"length", "width", "kind", "note"}
    assert np.mean(back["kind"] == frame["kind"]) > 0.8
    assert all(isinstance(note, str) for note in back["note"])
    drawn = model.sample(3)
    assert set(drawn) == set(back)
