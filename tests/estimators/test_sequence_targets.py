"""A y that is a text: from data to texts, scores, files, and a language model without x."""

import csv
import random

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import trine
from trine.cli._app import app
from trine.errors import ChoiceError
from trine.estimators import _batched


def _words(n, seed=0, longest=3, letters="abc"):
    draw = random.Random(seed)
    return ["".join(draw.choice(letters) for _ in range(draw.randint(1, longest))) for _ in range(n)]


@pytest.fixture(scope="module")
def reversal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reversal")
    words = _words(1200, longest=4)
    with (folder / "words.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["word", "back"])
        writer.writerows([word, word[::-1]] for word in words)
    result = CliRunner().invoke(
        app,
        ["fit", str(folder / "words.csv"), "--y", "back", "--domain", "word=text", "--domain", "back=text", "--quiet",
         "--out", str(folder / "run"), "--set", "epochs=14", "--set", "units=48", "--set", "batch_size=32"],
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    return folder, result.output


def test_reversal_is_learned_and_reported(reversal):
    folder, shown = reversal
    assert "exact_match" in shown
    model = trine.load(folder / "run")
    assert type(model).__name__ == "Transducer"
    metrics = model.metrics_["back"]
    assert metrics["exact_match"]["value"] > 0.9
    assert metrics["exact_match"]["baseline"] < 0.3
    assert 1.0 <= metrics["perplexity"]["value"] < 1.2 < metrics["perplexity"]["baseline"]
    page = (folder / "run" / "report.html").read_text()
    assert "back on 120 held-out rows" in page


@pytest.mark.parametrize("decoding", ["greedy", "beam"])
def test_predictions_are_texts_with_their_probability_whatever_the_other_rows(reversal, decoding):
    folder, _ = reversal
    model = trine.load(folder / "run")
    object.__setattr__(model.derivation_, "choices", model.derivation_.choices.replace(decoding=decoding))
    alone = model.predictions({"word": ["abc"]})
    among = model.predictions({"word": ["a", "abc", "abca", "ccbb"]})
    assert alone["back"][0] == among["back"][1] == "cba"
    assert alone["back_log_probability"][0] == pytest.approx(among["back_log_probability"][1], abs=1e-4)
    assert -1.0 < alone["back_log_probability"][0] <= 0.0
    assert model.predict({"word": ["a", "abc", "abca", "ccbb"]}).tolist() == among["back"].tolist()


def test_predict_writes_texts(reversal):
    folder, _ = reversal
    out = folder / "p.csv"
    done = CliRunner().invoke(app, ["predict", str(folder / "run"), str(folder / "words.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(out.open()))
    words = [row["word"] for row in csv.DictReader((folder / "words.csv").open())]
    assert np.mean([row["back"] == word[::-1] for row, word in zip(rows, words, strict=True)]) > 0.9


def test_log_probability_is_that_of_the_loaded_model_row_by_row(reversal):
    folder, _ = reversal
    model = trine.load(folder / "run")
    data = {"word": ["abc", "a", "bb"], "back": ["cba", "a", "bb"]}
    each = [model.evaluate({k: [v[i]] for k, v in data.items()}).metrics["nll"].value for i in range(3)]
    assert model.evaluate(data).metrics["nll"].value == pytest.approx(np.mean(each), abs=1e-4)


def test_a_text_longer_than_any_in_training_is_scored_whole(reversal):
    folder, _ = reversal
    model = trine.load(folder / "run")
    found = model.evaluate({"word": ["abcabcabc", "ab"], "back": ["cbacbacba", "ba"]})
    assert found.metrics["exact_match"].value == 0.5
    assert found.mistakes[0]["truth"] == "cbacbacba"


def test_the_distribution_of_all_rows_is_that_of_their_chunks(reversal, monkeypatch):
    folder, _ = reversal
    model = trine.load(folder / "run")
    words = ["abcb", "a", "bb", "cab"]
    whole = model.predict_distribution({"word": words})
    monkeypatch.setattr(_batched, "LARGEST", 1)
    parts = model.predict_distribution({"word": words})
    y = torch.tensor([[3, 4, 5], [3, -1, -1], [4, 4, -1], [-1, -1, -1]])
    with torch.no_grad():
        torch.testing.assert_close(parts.log_prob(y), whole.log_prob(y), atol=1e-5, rtol=1e-5)


def test_beside_other_targets_and_missing_values():
    words = np.array(_words(400), dtype=object)
    back = np.array([word[::-1] for word in words], dtype=object)
    back[::40], words[5::40] = None, None
    data = {"word": words, "size": np.linspace(0, 1, 400), "back": back,
            "first": np.array([(word or "?")[0] for word in words], dtype=object)}  # fmt: skip
    model = trine.fit(
        data, y=["back", "first"], domains={"word": "text", "back": "text", "first": "category"}, epochs=2
    )
    assert type(model).__name__ == "MultiTarget"
    found = model.predict({"word": np.array(["ab", None, "c"], dtype=object), "size": [0.1, 0.2, np.nan]})
    assert all(isinstance(text, str) for text in found["back"])
    assert set(model.metrics_) == {"back", "first"}
    assert model.evaluate_all(data)["back"].rows == 390


def test_without_x_it_is_a_language_model(tmp_path):
    draw = random.Random(0)
    # Letters go round: a b c a b c, from any first letter, of 2 to 5.
    names = []
    for _ in range(600):
        first, length = draw.randint(0, 2), draw.randint(2, 5)
        names.append("".join("abc"[(first + i) % 3] for i in range(length)))
    (tmp_path / "names.csv").write_text("name\n" + "\n".join(names) + "\n")
    result = CliRunner().invoke(
        app,
        ["fit", str(tmp_path / "names.csv"), "--y", "name", "--domain", "name=text", "--out", str(tmp_path / "run"),
         "--quiet", "--set", "epochs=40", "--set", "units=32", "--set", "batch_size=32", "--set", "dropout=0.0"],
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    model = trine.load(tmp_path / "run")
    # Entropy of a name: log 3 of the first letter, log 4 of the length.
    nll = model.metrics_["name"]["nll"]["value"]
    assert np.log(12) - 0.15 < nll < np.log(12) + 0.3
    done = CliRunner().invoke(app, ["sample", str(tmp_path / "run"), "-n", "50"])
    assert done.exit_code == 0, done.output
    drawn = done.output.strip("\n").split("\n")
    assert len(drawn) == 50
    assert np.mean([name in names for name in drawn]) > 0.8
    assert len(set(drawn)) >= 6
    assert model.generate(50, seed=0).tolist() == drawn
    assert model.generate(50, seed=1).tolist() != drawn
    assert "sample" in CliRunner().invoke(app, ["--help"]).output


def test_a_state_of_torch_is_left_alone_by_sampling(reversal):
    folder, _ = reversal
    model = trine.load(folder / "run")
    before = torch.get_rng_state()
    drawn = model.generate(3, {"word": ["abc", "b"]})
    assert drawn.shape == (2, 3)
    assert torch.equal(before, torch.get_rng_state())


def test_mistakes_are_named(reversal):
    folder, _ = reversal
    model = trine.load(folder / "run")
    with pytest.raises(ChoiceError, match="give rows to draw texts for"):
        model.generate(3)
    words = _words(100)
    data = {"word": words, "back": [word[::-1] for word in words]}
    both = {"word": "text", "back": "text"}
    with pytest.raises(ChoiceError, match="set members=1"):
        trine.fit(data, y="back", domains=both, members=4, epochs=1)
    with pytest.raises(ChoiceError, match="divergence=kl"):
        trine.fit(data, y="back", domains=both, divergence="cramer", epochs=1)
