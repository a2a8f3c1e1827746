"""The report of a generator: samples, how they came to be, what they are nearest to, and the scores with their floors."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_wine

import trine
from trine.blocks.translation import ResidualTranslator
from trine.blocks.unpaired import PictureCode, PictureMap
from trine.data import Batch, read
from trine.domains import Image as ImageDomain
from trine.domains import Real
from trine.estimators._shown.record import _look
from trine.estimators._shown.samples import arcs
from trine.estimators._shown.sheets import moving_sheet, sheet
from trine.estimators._shown.translations import translations_film, translations_record
from trine.models import Translator
from trine.models.translator import Contrast
from trine.report import report_run
from trine.report.content import ReportContent
from trine.report.page import _cards, render
from trine.training import Result

DIGITS = load_digits()
PICTURES = (DIGITS.images[:400] * 15).astype(np.uint8)


def picture_of(uri: str) -> Any:
    assert uri.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def pixels_of(uri: str) -> np.ndarray:
    return np.asarray(picture_of(uri).convert("RGBA"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generators") / "digits"
    trine.fit({"image": PICTURES}, method="gan", out=out, threads=1, epochs=4, channels=8, critic_augment=0.0)
    return out


def test_pictures_are_shown_from_the_first_step_to_what_was_kept(digits: Path) -> None:
    told = json.loads((digits / "record.json").read_text())["samples"]
    assert told["made"] == "pictures"
    assert not told["conditional"]
    captions = [moment["caption"] for moment in told["strip"]]
    assert captions[0] == "step 0"
    assert captions[-1] == "kept"
    assert 5 <= len(captions) <= 9
    columns = [pixels_of(moment["image"]) for moment in told["strip"]]
    assert all(column.shape == (6 * 9 - 1, 8, 4) for column in columns)
    assert (columns[0] != columns[-1]).any()
    film = picture_of(told["film"]["image"])
    assert 5 <= film.n_frames <= told["film"]["frames"]  # frames that are alike are one
    # Its last frame is what was kept, and so is the strip's: of the same noise.
    still = pixels_of(told["film"]["still"])
    assert (still[:8, :8] == columns[-1][:8]).all()
    assert pixels_of(told["samples"]["image"]).shape == (5 * 9 - 1, 12 * 9 - 1, 4)


def test_what_is_kept_is_what_the_saved_model_makes(digits: Path) -> None:
    told = json.loads((digits / "record.json").read_text())["samples"]
    model = trine.load(digits)
    noise = torch.randn(60, model._network.noise.width, generator=torch.Generator().manual_seed(20_406))
    made = model.columns_of(noise)["image"]
    shown = pixels_of(told["samples"]["image"])
    assert np.abs(shown[:8, 9:17, 0].astype(int) - made[1]).max() <= 1


def test_what_is_kept_for_the_report_changes_no_weight(digits: Path) -> None:
    kept = trine.load(digits)._network.state_dict()
    plain = trine.fit({"image": PICTURES}, method="gan", threads=1, epochs=4, channels=8, critic_augment=0.0)
    for name, value in plain._network.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_samples_stand_beside_their_nearest_training_rows(digits: Path) -> None:
    told = json.loads((digits / "record.json").read_text())["samples"]
    times = [near["times"] for near in told["nearest"]]
    assert times == sorted(times)
    assert len(times) == 8
    for near in told["nearest"]:
        rows = pixels_of(near["rows"]["image"])[:, :8, 0]
        assert (rows == PICTURES).all(axis=(1, 2)).any()  # a row as it is


def test_the_score_has_its_floor_and_the_page_all_parts(digits: Path) -> None:
    record = json.loads((digits / "record.json").read_text())
    score = record["samples"]["score"]
    assert 0 < score["floor"] < record["history"][0]["held_out"]
    page = report_run(digits).read_text()
    for part in (
        "Samples of image",
        "Scores against 40 held-out rows",
        "As training went",
        "From the first step to what was kept",
        "Is it known by heart?",
        "From noise to noise",
        "as many true rows",
        "Losses of generator and critic",
    ):
        assert part in page, part
    assert "trivial" not in page[page.index("<body>") : page.index('id="schema"')].replace('class="trivial"', "")
    assert page.count('class="sheet"') == 1 + 1 + len(record["samples"]["strip"]) + 16 + 1
    assert len(page) < 500_000
    assert 'id="codes"' not in page


def test_a_class_has_a_row_of_samples(tmp_path: Path) -> None:
    table = {"digit": np.array([f"a {i}" for i in DIGITS.target[:300]]), "image": PICTURES[:300]}
    trine.fit(table, y="image", method="conditional_gan", out=tmp_path / "run", threads=1, epochs=2, channels=8)
    told = json.loads((tmp_path / "run" / "record.json").read_text())["samples"]
    assert [row["label"] for row in told["classes"]] == [f"a {i}" for i in range(10)]
    assert told["conditional"]
    assert pixels_of(told["classes"][3]["image"]).shape == (8, 10 * 9 - 1, 4)
    page = report_run(tmp_path / "run").read_text()
    assert "A row for each class" in page
    assert "image from digit" in page


def test_another_condition_stands_beside_its_answers(tmp_path: Path) -> None:
    table = {"turned": PICTURES[:300, ::-1], "slant": DIGITS.target[:300] * 0.5, "image": PICTURES[:300]}
    trine.fit(table, y="image", method="conditional_gan", out=tmp_path / "run", threads=1, epochs=1, channels=8)
    told = json.loads((tmp_path / "run" / "record.json").read_text())["samples"]
    assert len(told["answers"]) == 6
    for row in told["answers"]:
        given, true = pixels_of(row["given"]["image"]), pixels_of(row["true"]["image"])
        assert (given[..., 0] == true[::-1, :, 0]).all()  # the condition is the true picture's own
        assert pixels_of(row["made"]["image"]).shape == (8, 5 * 9 - 1, 4)
    assert "answers to it under as many noises" in report_run(tmp_path / "run").read_text()


def test_a_picture_that_is_given_stands_first_in_the_strip_and_beside_the_film(tmp_path: Path) -> None:
    table = {"turned": PICTURES[:200, ::-1], "image": PICTURES[:200]}
    trine.fit(table, y="image", method="conditional_gan", out=tmp_path / "run", threads=1, epochs=1, channels=8)
    told = json.loads((tmp_path / "run" / "record.json").read_text())["samples"]
    assert [moment["caption"] for moment in told["strip"]][:2] == ["given", "step 0"]
    first = pixels_of(told["strip"][0]["image"])[:8, :, 0]
    assert (PICTURES[:200, ::-1] == first).all(axis=(1, 2)).any()
    assert (pixels_of(told["filmed"]["image"])[:8, :8, 0] == first).all()
    page = report_run(tmp_path / "run").read_text()
    assert "What was given</figcaption>" in page
    assert page.count("Losses of generator and critic") == 2  # the figure's name and its title, once


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    n = 500
    low = rng.random(n) < 0.5
    size = np.where(low, rng.normal(-3, 0.3, n), rng.normal(2, 1, n))
    weight = np.where(rng.random(n) < 0.2, np.nan, 2 * size + rng.normal(0, 0.1, n))
    kind = np.where(low, "a <b>", "c & d")
    out = tmp_path_factory.mktemp("generators") / "table"
    table = {"size": size, "weight": weight, "kind": kind, "free": rng.uniform(0, 1, n)}
    trine.fit(table, method="gan", out=out, threads=1, epochs=3, hidden=(32,))
    return out


def test_a_table_is_shown_column_by_column_pair_by_pair_and_row_by_row(table: Path) -> None:
    told = json.loads((table / "record.json").read_text())["samples"]
    assert [column["column"] for column in told["marginals"]] == ["size", "weight", "kind", "free"]
    assert sum(told["marginals"][2]["samples"]) == pytest.approx(1)
    together = told["associations"]
    assert together["columns"] == ["size", "weight", "kind", "free"]
    assert together["data"][0][1] > 0.95
    assert together["data"][2][0] > 0.8
    assert abs(together["data"][0][3]) < 0.15
    assert 0 < together["floor"] < 0.1
    assert together["difference"] > 2 * together["floor"]  # after three epochs
    assert told["cloud"]["columns"] == ["size", "weight"]
    assert told["cloud"]["moments"][0]["caption"] == "step 0"
    assert told["cloud"]["moments"][-1]["caption"] == "kept"
    times = [near["times"] for near in told["nearest_rows"]]
    assert times == sorted(times)
    assert told["way"] == []  # each row is drawn by chances of its own
    assert set(told["drawn"][0]["values"]) == {"size", "weight", "kind", "free"}
    page = report_run(table).read_text()
    for part in (
        "Two columns from the first step",
        "Column by column",
        "How columns go together",
        "training row",
        "a &lt;b&gt;",
    ):
        assert part in page, part
    assert "a <b>" not in page


def test_a_single_column_of_numbers_is_shown_as_it_spread(tmp_path: Path) -> None:
    table = {"x": np.random.default_rng(0).normal(size=300)}
    trine.fit(table, method="gan", out=tmp_path / "run", threads=1, epochs=2, hidden=(16,))
    told = json.loads((tmp_path / "run" / "record.json").read_text())["samples"]
    assert "cloud" not in told
    assert "associations" not in told
    assert [moment["caption"] for moment in told["spread"]][:: len(told["spread"]) - 1] == ["step 0", "kept"]
    for moment in told["spread"]:
        assert sum(moment["samples"]) + moment["beyond"]["samples"] == pytest.approx(1)
    assert "over true rows in grey" in report_run(tmp_path / "run").read_text()


def test_numbers_given_numbers_stand_beside_what_was_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 400)
    table = {
        "dose": x,
        "answer": np.where(rng.random(400) < 0.5, 1, -1) * (2 + x),
        "kind": np.where(x > 0, "up", "down"),
    }
    trine.fit(
        table, y=["answer", "kind"], method="conditional_gan", out=tmp_path / "run", threads=1, epochs=2, hidden=(32,)
    )
    told = json.loads((tmp_path / "run" / "record.json").read_text())["samples"]
    assert told["associations"]["columns"] == ["dose", "answer", "kind"]
    assert told["cloud"]["columns"] == ["dose", "answer"]
    assert [column["column"] for column in told["marginals"]] == ["answer", "kind"]
    given = told["given"][0]
    assert list(given["given"]["values"]) == ["dose"]
    assert (float(given["given"]["values"]["dose"]) > 0) == (given["true"]["values"]["kind"] == "up")
    assert len({answer["values"]["answer"] for answer in given["made"]}) == 5
    page = report_run(tmp_path / "run").read_text()
    assert "What was given" in page
    assert "for one condition" in page


class Changed(torch.nn.Module):
    """A generator between two piles of numbers: the columns of the other pile, moved by the noise."""

    def __init__(self, field: str, sign: float) -> None:
        super().__init__()
        self.field, self.shape = field, (2,)
        self.sign = torch.nn.Parameter(torch.tensor(sign))

    def forward(self, value: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.sign * value + z

    def seen(self, batch: Any) -> torch.Tensor:
        return torch.stack([batch[f"{self.field}.left"], batch[f"{self.field}.right"]], 1)

    def columns(self, seen: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"left": seen[:, 0], "right": seen[:, 1]}


class NoCode(torch.nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(a), 2)


def filmed_result(film: Any, steps: int = 3) -> Result:
    return Result(
        [], 1, steps, 1, None, "epochs", [], 0.0, [{"step": i, "epoch": i, "value": film()} for i in range(steps)]
    )


@pytest.mark.parametrize("contrast", [False, True])
def test_translations_of_pictures_stand_beside_what_was_given_and_what_comes_back(contrast: bool) -> None:
    torch.manual_seed(0)
    domain = ImageDomain(channels=1, height=8, width=8)

    def network(field: str) -> PictureMap:
        return PictureMap(domain, field, ResidualTranslator(1, 1, 4, 2, noise=2, halvings=1))

    more = {"contrast": Contrast([4, 8, 8], 5, 10)} if contrast else {}
    codes = PictureCode(2, 2, 4, 8), PictureCode(2, 2, 4, 8)
    model = Translator(network("y.image"), network("x.image"), *codes, (2, 2), **more)
    values = torch.from_numpy(PICTURES[:40, None] / 255).float()
    batch = Batch({"x.image": values[:12], "y.image": values[12:24]})
    film = translations_film(model, batch)
    domains = {"a": {"image": domain}, "b": {"image": domain}}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        before = torch.get_rng_state()
        told = translations_record(model, batch, batch, domains, filmed_result(film), _look)
        assert torch.equal(torch.get_rng_state(), before)
    assert [side["name"] for side in told["sides"]] == ["A → B", "B → A"]
    assert told["cycles"] is not contrast
    for side, start in zip(told["sides"], (0, 12), strict=True):
        assert len(side["rows"]) == 6
        given = pixels_of(side["rows"][1]["given"]["image"])
        assert (given[..., 0] == PICTURES[start + 1]).all()
        made = pixels_of(side["rows"][1]["made"]["image"])
        assert made.shape == (8, 5 * 9 - 1, 4)
        assert (made[:, :8] != made[:, 9:17]).any()  # another noise, another answer
        assert (side["rows"][1]["back"] is None) == contrast
        assert [moment["caption"] for moment in side["strip"]] == ["given", "step 0", "step 1", "step 2", "kept"]
        # The weights did not move, so that the film ends as it began.
        assert (pixels_of(side["strip"][1]["image"]) == pixels_of(side["strip"][-1]["image"])).all()
    page = render(ReportContent(title="t", samples=told))
    assert "5 translations of it" in page
    assert ("and back" in page) is not contrast
    assert "Rows of B" in page


def test_a_run_on_two_piles_has_its_translations_and_the_floor_of_its_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    piles = [{"size": rng.normal(i, 1, 160), "kind": np.array(["p", "q"])[rng.integers(0, 2, 160)]} for i in (0, 3)]
    trine.fit(piles[0], other=piles[1], method="unpaired", out=tmp_path / "run", threads=1, epochs=2, hidden=(16, 16))
    record = json.loads((tmp_path / "run" / "record.json").read_text())
    score = record["samples"]["score"]
    assert score["name"] == "FD-standardised, A and B together"
    assert 0 < score["floor"] < record["history"][0]["held_out"]
    assert {"size", "kind"} == set(record["samples"]["sides"][0]["rows"][0]["made"]["rows"][0]["values"])
    page = report_run(tmp_path / "run").read_text()
    for part in ("A ↔ B", "A → B", "What is made to be A, against", "comes back", "generator (B)"):
        assert part in page, part


def test_translations_of_rows_are_written_out() -> None:
    model = Translator(Changed("y", -1.0), Changed("x", -1.0), NoCode(), NoCode(), (2, 2))
    batch = Batch(
        {f"{side}.{name}": torch.arange(8.0) + i for side in "xy" for i, name in enumerate(("left", "right"))}
    )
    real = Real().fit(read({"left": np.arange(8.0)}).column("left"))
    domains = {side: {"left": real, "right": real} for side in "ab"}
    beside = []

    def look(own: Any, table: Any, index: int, other: Any = None) -> dict[str, Any]:
        if other is not None:
            beside.append((float(table.column("left").values[index]), float(other[0].column("left").values[other[1]])))
        return _look(own, table, index, other)

    told = translations_record(model, batch, batch, domains, filmed_result(translations_film(model, batch)), look)
    # What was given and what comes back of it have the axes of each other, since the eye compares them.
    assert len(beside) == 2 * 2 * 6
    assert all(pair[::-1] == mirrored for pair, mirrored in zip(beside[::2], beside[1::2], strict=True))
    row = told["sides"][0]["rows"][2]
    given = [float(value) for value in row["given"]["rows"][0]["values"].values()]
    assert given == pytest.approx(real.decode(np.array([2.0, 3.0])), rel=1e-3)
    assert len({made["values"]["left"] for made in row["made"]["rows"]}) == 5
    assert "strip" not in told["sides"][0]
    first, back = row["made"]["rows"][0]["values"], row["back"]["rows"][0]["values"]
    middle = float(real.decode(np.zeros(1))[0])
    assert float(back["left"]) - middle == pytest.approx(middle - float(first["left"]), abs=0.02)
    page = render(ReportContent(title="t", samples=told))
    assert "Translations" in page
    assert first["right"] in page


def test_another_run_has_no_samples(tmp_path: Path) -> None:
    data = load_wine()
    table = {"alcohol": data.data[:, 0], "hue": data.data[:, 10], "kind": np.array(["a", "b", "c"])[data.target]}
    trine.fit(table, y="kind", out=tmp_path / "run", epochs=1)
    assert 'id="samples"' not in report_run(tmp_path / "run").read_text()


def test_a_sheet_has_its_pictures_in_their_places_and_nothing_between() -> None:
    pictures = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((1, 3, 4), 50, dtype=np.uint8)
    laid = pixels_of(sheet(pictures, 3)["image"])
    assert laid.shape == (7, 14, 4)
    assert [int(laid[0, 0, 0]), int(laid[0, 5, 0]), int(laid[4, 5, 0])] == [0, 50, 200]
    assert (laid[:, 4, 3] == 0).all()
    assert laid[0, 0, 3] == 255
    assert (laid[4:, 10:, 3] == 0).all()
    film = moving_sheet([pictures, pictures // 2, pictures // 3], 3)
    assert picture_of(film["image"]).n_frames == 3
    large = picture_of(sheet(np.zeros((1, 400, 200, 3), np.uint8), 1)["image"])
    assert large.size == (64, 128)


def test_arcs_keep_the_length_of_noise() -> None:
    ends = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    way = arcs(ends, 9).unflatten(0, (3, 9))
    torch.testing.assert_close(way[:, 0], ends[0::2])
    torch.testing.assert_close(way[:, -1], ends[1::2])
    lengths, own = way.norm(dim=-1), ends.norm(dim=-1)
    assert lengths.min() > 0.9 * own.min()
    assert lengths.max() < 1.1 * own.max()


def test_all_pictures_of_a_row_are_shown_side_by_side() -> None:
    rng = np.random.default_rng(0)
    grey, colour = (rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((3, 8, 8), (3, 17, 10, 3)))
    table = read({"front": grey, "back": colour, "price": np.arange(3.0)})
    domains = {
        "front": ImageDomain().fit(table.column("front")),
        "back": ImageDomain().fit(table.column("back")),
        "price": Real().fit(table.column("price")),
    }
    shown = _look(domains, table, 1)
    assert list(shown["values"]) == ["price"]
    pixels = pixels_of(shown["image"])[..., :3]
    assert pixels.shape == (17, 16 + 1 + 10, 3)
    np.testing.assert_array_equal(pixels[:16, :16], grey[1].repeat(2, 0).repeat(2, 1)[..., None].repeat(3, -1))
    assert (pixels[16, :16] == 128).all()
    assert (pixels[:, 16] == 128).all()
    np.testing.assert_array_equal(pixels[:, 17:], colour[1])
    alone = _look({"front": domains["front"]}, table, 1)
    np.testing.assert_array_equal(pixels_of(alone["image"])[..., 0], grey[1])


def test_a_report_names_the_pictures_of_a_row(tmp_path: Path) -> None:
    out = tmp_path / "two"
    trine.fit(
        {"front": PICTURES[:80], "back": 255 - PICTURES[:80]}, method="gan", out=out, threads=1, epochs=1, channels=4
    )
    assert json.loads((out / "record.json").read_text())["samples"]["pictured"] == ["front", "back"]
    report_run(out)
    assert "from the left front, back" in (out / "report.html").read_text()


def test_the_second_card_is_of_content_where_a_judge_tells_it() -> None:
    metrics = [{"name": name} for name in ("FD-random-conv", "precision", "coverage", "content kept")]
    names = [[card["name"] for card in _cards(part)] for part in (metrics, metrics[:3], metrics[:1])]
    assert names == [["FD-random-conv", "content kept"], ["FD-random-conv", "coverage"], ["FD-random-conv"]]
