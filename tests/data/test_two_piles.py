"""Two piles of rows that do not belong to each other: what fits together, what is refused, the order of batches."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from trine.data import PiledBatches, Piles, Schema, Shares, Store, TwoPiles
from trine.errors import ChoiceError, DataError, SchemaError


def piles_of(n, m):
    """Rows 0 … n − 1 of A, and 100 … of B."""
    return Piles(Store.of(x=torch.arange(n)), Store.of(y=torch.arange(m) + 100))


def rows_of(batches):
    return [(batch["x"].tolist(), batch["y"].tolist()) for batch in batches]


def tables(a, b, **more):
    return TwoPiles.read(a, b, **more)


def numbers(n, seed=0, **more):
    random = np.random.default_rng(seed)
    return {"age": random.normal(size=n), "kind": np.array(["u", "v"])[random.integers(0, 2, n)], **more}


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_is_the_larger_pile_once_and_the_smaller_one_evenly(n, m, size, epoch):
    batches = PiledBatches(piles_of(n, m), batch_size=size, seed=n)
    seen = rows_of(batches.epoch(epoch))
    a, b = (np.concatenate([pair[side] for pair in seen]) for side in (0, 1))
    assert len(seen) == batches.steps_per_epoch
    larger, smaller = (a, b - 100) if n >= m else (b - 100, a)
    assert sorted(larger) == list(range(max(n, m)))
    counts = np.bincount(smaller, minlength=min(n, m))
    # An epoch may begin and end within passes over the smaller pile.
    assert counts.max() - counts.min() <= 2


def test_the_smaller_pile_goes_on_where_the_last_epoch_left_it():
    batches = PiledBatches(piles_of(10, 4), batch_size=5, seed=1)
    beside = np.concatenate([b for epoch in range(4) for _, b in rows_of(batches.epoch(epoch))])
    assert (np.bincount(beside - 100) == 10).all()


@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 9), st.integers(0, 2), st.data())
def test_piles_resumed_anywhere_go_on_as_if_never_stopped(n, m, size, epoch, data):
    whole = PiledBatches(piles_of(n, m), batch_size=size, seed=3)
    start = data.draw(st.integers(0, whole.steps_per_epoch - 1))
    resumed = PiledBatches(piles_of(n, m), batch_size=size, seed=3)
    assert rows_of(resumed.epoch(epoch, start)) == rows_of(whole.epoch(epoch))[start:]


def test_piles_of_one_size_are_put_together_anew_in_every_epoch():
    batches = PiledBatches(piles_of(50, 50), batch_size=50, seed=0)
    pairs = [{(int(a), int(b)) for a, b in batches.pairs(epoch)} for epoch in range(2)]
    assert len(pairs[0] & pairs[1]) < 10
    assert not any(int(a) == int(b) for a, b in batches.pairs(0)[:1]) or len({a == b for a, b in pairs[0]}) == 2
    assert rows_of(batches.epoch(0)) != rows_of(PiledBatches(piles_of(50, 50), batch_size=50, seed=1).epoch(0))


def test_chosen_rows_of_each_pile_alone_are_taken():
    batches = PiledBatches(piles_of(20, 20), torch.arange(5), torch.arange(10, 20), batch_size=4)
    seen = rows_of(batches.epoch(0))
    assert {row for a, _ in seen for row in a} == set(range(5))
    assert {row for _, b in seen for row in b} == set(range(110, 120))
    assert sum(batch.size for batch in batches.all(3)) == 10


def test_a_rank_s_shares_make_up_the_batches(monkeypatch):
    batches = PiledBatches(piles_of(12, 7), batch_size=4, seed=2)
    monkeypatch.setattr("trine.collective.processes", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr("trine.collective.rank", lambda rank=rank: rank)
        parts.append(rows_of(Shares(batches).epoch(0)))
    joined = [(a + c, b + d) for (a, b), (c, d) in zip(*parts, strict=True)]
    monkeypatch.undo()
    assert joined == rows_of(batches.epoch(0))


def test_a_batch_size_of_nothing_is_refused():
    with pytest.raises(ChoiceError, match="at least 1"):
        PiledBatches(piles_of(4, 4), batch_size=0)


# What the two piles are -------------------------------------------------------------------------------------------


def test_each_pile_has_its_own_domains_of_the_same_columns():
    a, b = numbers(60), numbers(40, 1)
    b = {"kind": np.where(b["kind"] == "u", "w", "v"), "age": b["age"] * 10 + 50}  # in another order too
    piles = tables(a, b).fit()
    assert list(piles.schema.x) == list(piles.schema.y) == ["age", "kind"]
    assert piles.schema.x["age"].low == pytest.approx(a["age"].min())
    assert piles.schema.y["age"].low == pytest.approx(b["age"].min())
    assert set(piles.schema.y["kind"].labels) == {"v", "w"}
    batch = next(iter(PiledBatches(piles.stored(), batch_size=8).epoch(0)))
    assert batch["x.numbers"].shape == (8, 1)
    assert batch["y.age"].shape == batch["y.kind"].shape == (8,)
    assert Schema.from_json(piles.schema.to_json()) == piles.schema


def test_domains_are_fitted_on_the_training_rows_of_their_pile():
    a, b = numbers(60), numbers(40, 1)
    piles = tables(a, b).fit(np.arange(10), np.arange(20, 40))
    assert piles.schema.x["age"].low == pytest.approx(a["age"][:10].min())
    assert piles.schema.y["age"].low == pytest.approx(b["age"][20:].min())


def test_counts_in_one_pile_and_measures_in_the_other_are_numbers_in_both():
    piles = tables({"n": np.arange(40) % 17}, {"n": np.random.default_rng(0).normal(size=40)})
    assert piles.schema.x["n"].kind == piles.schema.y["n"].kind == "real"
    assert "numbers" in piles.schema.reasons["n"]


def test_a_pile_without_rows_or_with_one_is_refused():
    for n, told in ((0, "no rows"), (1, "1 row")):
        with pytest.raises(DataError, match=f"Pile B.*{told}"):
            tables(numbers(20), numbers(n))
    with pytest.raises(DataError, match="Pile A: The data has no rows"):
        tables(numbers(0), numbers(20))


def test_columns_that_differ_are_named():
    with pytest.raises(DataError, match="'height' is in pile A and not in pile B"):
        tables(numbers(20, height=np.arange(20.0)), numbers(20))
    with pytest.raises(DataError, match=r"'ages' is in pile B and not in pile A. Did you mean 'age'"):
        tables(numbers(20), {**numbers(20), "ages": np.arange(20.0)})
    chosen = tables(numbers(20, height=np.arange(20.0)), numbers(20, 1), columns=["age"])
    assert list(chosen.schema.x) == ["age"]


def test_a_column_of_two_kinds_is_refused_with_a_remedy():
    with pytest.raises(SchemaError, match=r"'age' is real in pile A and category in pile B.*--domain age="):
        tables({"age": np.linspace(-1, 1, 30)}, {"age": np.array(["old", "young"] * 15)})


def test_only_columns_of_each_belong_together_whatever_their_names():
    piles = tables({"left": np.linspace(0, 1, 30)}, {"right": np.linspace(3, 4, 30)}).fit()
    assert piles.schema.y["left"].low == pytest.approx(3.0)


def test_identical_piles_and_few_rows_are_told():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (20, 8, 8), dtype=np.uint8)
    for same in (numbers(30), pixels):
        with pytest.warns(UserWarning, match="hold the same rows"):
            tables(same, same).fit().stored()
    with pytest.warns(UserWarning, match="Pile B has 3 rows"):
        tables(pixels, 255 - pixels[:3]).fit().stored()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tables(pixels, 255 - pixels).fit().stored()


# Pictures -----------------------------------------------------------------------------------------------------------


def test_grey_and_coloured_pixels_become_coloured_and_that_is_told():
    random = np.random.default_rng(0)
    grey, colour = (random.integers(0, 255, (20, 8, 8, c), dtype=np.uint8) for c in (1, 4))
    with pytest.warns(UserWarning, match="1 channels in A and 4 in B: both are taken as RGB"):
        piles = tables(grey, colour).fit()
    assert piles.schema.x["image"].channels == piles.schema.y["image"].channels == 3
    stored = piles.stored()
    batch = next(iter(PiledBatches(stored, batch_size=20, shuffle=False).epoch(0)))
    assert torch.allclose(batch["x"], torch.from_numpy(grey / np.float32(255)).movedim(3, 1).expand(-1, 3, -1, -1))
    assert torch.allclose(batch["y"], torch.from_numpy(colour[..., :3] / np.float32(255)).movedim(3, 1))


def test_folders_of_pictures_of_other_sizes_and_channels_meet(tmp_path):
    random = np.random.default_rng(0)
    for name, side, mode in (("a", 24, "L"), ("b", 16, "RGB")):
        (tmp_path / name).mkdir()
        for i in range(20):
            pixels = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Picture.fromarray(pixels).convert(mode).save(tmp_path / name / f"{i}.png")
    with pytest.warns(UserWarning, match="RGB; 24 × 24 pixels in A and 16 × 16 in B: both are brought to 16 × 16"):
        piles = tables(tmp_path / "a", tmp_path / "b").fit()
    batch = next(iter(PiledBatches(piles.stored(), batch_size=4).epoch(0)))
    assert batch["x"].shape == batch["y"].shape == (4, 3, 16, 16)
    with pytest.warns(UserWarning, match="hold the same rows"):
        tables(tmp_path / "a", tmp_path / "a").fit().stored()


def test_piles_that_differ_in_what_is_left_out_are_not_one(recwarn):
    values = np.arange(60.0) % 7
    a = {"x": values, "kind": np.arange(60.0) % 5}
    tables(a, {"x": values, "kind": np.full(60, 9.0)}).fit().stored()
    assert not [told for told in recwarn if "hold the same rows" in str(told.message)]


def test_without_a_column_in_common_none_is_suggested():
    with pytest.raises(DataError, match=r"same columns\.$"):
        tables({"a": np.arange(9.0), "c": np.arange(9.0)}, {"b": np.arange(9.0), "d": np.arange(9.0)})
