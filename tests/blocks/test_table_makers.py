"""Columns of a table as they are made and seen: there and back, draws by their chances, columns that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from trine.blocks.categories_made import CategoriesMaker
from trine.blocks.critic import Critic
from trine.blocks.draws import TURNS, Turns, gumbel_softmax
from trine.blocks.makers import Made
from trine.blocks.number_scale import PARTS, Scale
from trine.blocks.numbers_made import STEEP, STEPS, NumbersMaker, SoftSteps
from trine.choices import Choices
from trine.data import Schema, read, stored
from trine.domains import Column, Real
from trine.evaluation.features import feature_space

ROWS = 400


def columns(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    hours = rng.normal(40, 5, ROWS)
    return {
        "town": rng.choice(["Lille", "Paris", "Metz"], ROWS),
        "age": rng.normal(40, 12, ROWS),
        "gain": np.where(rng.random(ROWS) < 0.9, 0.0, rng.choice([2174.5, 7688.25, 15024.0], ROWS)),
        "hours": np.where(rng.random(ROWS) < 0.2, np.nan, hours),
        "owner": rng.choice(["no", "yes"], ROWS),
    }


@pytest.fixture(scope="module")
def table() -> tuple[Made, dict[str, torch.Tensor]]:
    read_ = read(columns())
    schema = Schema.infer(read_).fit(read_)
    store = stored(read_, schema)
    torch.manual_seed(0)
    batch = store.batch(torch.arange(ROWS))
    return Made(schema.x, "x", 8, Choices()), batch


def test_rows_come_back_as_they_were_seen(table: Any) -> None:
    made, batch = table
    seen = made.seen(batch)
    assert seen.shape == (ROWS, *made.shape)
    assert float(seen.abs().max()) <= 1
    back = made.columns(seen)
    for field, names in made.fields.items():
        true = batch[field].view(ROWS, -1)
        for k, name in enumerate(names):
            assert torch.allclose(back[name].to(true.dtype), true[:, k], atol=1e-4, equal_nan=True), name
    drawn = made.columns(made(torch.randn(2000, 8)))
    assert set(back["gain"].tolist()) >= set(drawn["gain"][drawn["gain"] == 0].tolist())
    assert 0 < float(drawn["hours"].isnan().float().mean()) < 1


def test_what_is_made_is_told_from_true_rows_by_nothing_but_its_values(table: Any) -> None:
    """Shares are 0 or 1 and sum to 1, and what is missing has no value, on both sides; and all of it has a gradient."""
    made, batch = table
    features = torch.randn(ROWS, 8, requires_grad=True)
    for seen in (made.seen(batch), made(features)):
        parts = dict(zip(made.fields, made.parts(seen), strict=True))
        group = made.makers[list(made.fields).index("x.categories")].column
        shares = parts["x.categories"]
        assert set(shares.unique().tolist()) == {0.0, 1.0}
        sums = shares.new_zeros(len(shares), 2).index_add(1, group, shares)
        assert torch.equal(sums, torch.ones_like(sums))
        numbers = parts["x.numbers"]
        place = next(k for k, name in enumerate(made.fields["x.numbers"]) if name == "hours")
        there = numbers[:, 3]
        assert set(there.unique().tolist()) == {-1.0, 1.0}
        assert bool((numbers[there < 0, place] == 0).all())
        maker = made.makers[list(made.fields).index("x.numbers")]
        parts = numbers[:, 4:]
        assert set(parts.unique().tolist()) == {0.0, 1.0}
        drawn = parts.new_zeros(len(parts), 3).index_add(1, maker.group, parts)
        known = torch.ones_like(drawn)
        known[:, place] = (there > 0).float()
        assert torch.equal(drawn, known)  # one part of each number that is there, the part in which its place lies
        at = maker._part(numbers[:, :3]) + maker.offsets
        assert torch.equal(parts.gather(1, at)[known > 0], torch.ones_like(known[known > 0]))
    seen.square().sum().backward()
    assert features.grad is not None
    assert bool(features.grad.isfinite().all())


def test_each_number_knows_its_column(table: Any) -> None:
    made, _ = table
    assert made.column.shape == made.shape
    of = dict(zip(made.fields, torch.split(made.column, [shape[0] for shape in made.shapes]), strict=True))
    assert of["x.categories"].unique().numel() == 2
    assert of["x.numbers"].unique().numel() == 3
    assert not set(of["x.categories"].tolist()) & set(of["x.numbers"].tolist())


def test_a_later_column_can_follow_an_earlier_one_exactly() -> None:
    """What independent draws given the features cannot do; here of more columns than there are turns."""
    count = 2 * TURNS
    domain = read({"side": np.array(["left", "right"] * 20)})
    fitted = Schema.infer(domain).fit(domain).x["side"]
    maker = CategoriesMaker([fitted] * count, 4)
    for weights in (*maker.turns.start.parameters(), *maker.turns.reads.parameters(), *maker.turns.adds.parameters()):
        torch.nn.init.zeros_(weights)
    # Two units tell later turns what the first column is, and all columns of later turns follow them.
    maker.turns.adds[0].weight.data[:2, :2] = torch.eye(2)
    for read_ in maker.turns.reads[1:]:
        read_.weight.data[:, :2] = 40 * torch.eye(2).repeat(len(read_.weight) // 2, 1)
    torch.manual_seed(1)
    drawn = torch.stack(maker.encoded(maker(torch.randn(500, 4))), 1)
    later = drawn[:, count // TURNS :]
    assert torch.equal(later, drawn[:, :1].expand_as(later))
    assert 0.4 < float(drawn[:, 0].float().mean()) < 0.6
    assert 0.3 < float((drawn[:, 0] == drawn[:, 1]).float().mean()) < 0.7  # of one run: independent


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=1, max_size=4), min_size=1, max_size=3), st.integers(0, 99))
def test_draws_have_the_chances_of_the_softmax(logits: list[list[float]], seed: int) -> None:
    group = torch.repeat_interleave(torch.arange(len(logits)), torch.tensor([len(one) for one in logits]))
    flat = torch.tensor([value for one in logits for value in one])
    torch.manual_seed(seed)
    n = 20_000
    drawn = gumbel_softmax(flat.expand(n, -1), group, len(logits))
    chances = torch.cat([torch.tensor(one).softmax(0) for one in logits])
    errors = (chances * (1 - chances) / n).sqrt()
    assert bool(((drawn.mean(0) - chances).abs() <= 5 * errors + 1e-3).all())


def test_the_gradient_is_that_of_the_relaxed_draw() -> None:
    logits, group = torch.randn(6, 5, requires_grad=True), torch.tensor([0, 0, 0, 1, 1])
    weight = torch.randn(5)
    torch.manual_seed(3)
    (gumbel_softmax(logits, group, 2) @ weight).sum().backward()
    torch.manual_seed(3)
    noise = -(-torch.rand(6, 5).clamp(1e-9, 1 - 1e-7).log()).log()
    again = logits.detach().clone().requires_grad_()
    relaxed = torch.cat([((again + noise)[:, part] / 0.5).softmax(1) for part in (slice(0, 3), slice(3, 5))], 1)
    (relaxed @ weight).sum().backward()
    assert logits.grad is not None
    assert again.grad is not None
    assert torch.allclose(logits.grad, again.grad, atol=1e-5)


def test_a_rare_category_weighs_no_more_than_its_column() -> None:
    generator = torch.Generator().manual_seed(0)
    codes = torch.where(torch.rand(5000, generator=generator) < 0.004, 1, 0)
    rows = torch.cat([torch.nn.functional.one_hot(codes, 2), torch.randn(5000, 1, generator=generator)], 1)
    apart = feature_space(rows, [(2,), (1,)], 5000)(rows).var(axis=0)
    together = feature_space(rows, [(2,), (1,)], 5000, columns=torch.tensor([0, 0, 1]))(rows).var(axis=0)
    assert apart[:2].sum() == pytest.approx(2 * apart[2])
    assert together[:2].sum() == pytest.approx(together[2])


def test_a_critic_reads_numbers_by_soft_steps_row_by_row(table: Any) -> None:
    """Of each number its place and soft steps along its scale; what says whether a number is there is read as it is."""
    block = SoftSteps(2, 1)
    value = torch.tensor([[-1.0, 0.5, 1.0], [1.0, -0.5, -1.0]])
    read_ = block(value)
    assert read_.shape == (2, block.features) == (2, 2 * (1 + STEPS) + 1)
    assert torch.equal(read_[:, :3], value)
    thresholds = (torch.arange(STEPS) + 0.5) / (STEPS / 2) - 1
    for i in range(2):
        steps = torch.tanh(STEEP * (value[:, i, None] - thresholds))
        assert torch.allclose(read_[:, 3 + i * STEPS : 3 + (i + 1) * STEPS], steps, atol=1e-6)
    made, batch = table
    schema = Schema.infer(read(columns())).fit(read(columns()))
    critic = Critic(made, schema.x, Choices())
    assert sum(isinstance(part, SoftSteps) for part in critic.blocks) == 1
    torch.manual_seed(0)
    rows = made.seen(batch)
    assert torch.allclose(critic(rows)[:7], critic(rows[:7]), atol=1e-5)


@pytest.mark.parametrize("given", [False, True])
def test_a_critic_gives_as_many_numbers_of_a_row_as_are_asked(given: bool, table: Any) -> None:
    made, batch = table
    schema = Schema.infer(read(columns())).fit(read(columns()))
    torch.manual_seed(0)
    critic = Critic(made, schema.x, Choices(hidden=(32,)), schema.x if given else None, numbers=16)
    rows = made.seen(batch)
    found = critic(rows, batch) if given else critic(rows)
    assert found.shape == (len(rows), 16)
    assert torch.linalg.matrix_rank(found - found.mean(0)) > 8
    if given:  # what belongs to a row is part of what is judged
        other = {name: value.roll(1, 0) for name, value in batch.items()}
        assert not torch.allclose(critic(rows, other), found)


def test_what_is_known_of_a_row_is_a_sum_over_what_was_drawn() -> None:
    torch.manual_seed(0)
    turns = Turns(5, asks=[3, 2, 4], draws=[3, 2, 4], hidden=7)
    features, first, second = torch.randn(6, 5), torch.randn(6, 3), torch.randn(6, 2)
    known = turns.told(1, turns.told(0, turns.known(features), first), second)
    wanted = turns.start(features) + first @ turns.adds[0].weight.T + second @ turns.adds[1].weight.T
    assert torch.allclose(known, wanted, atol=1e-6)
    asked = turns.asked(2, known)
    assert torch.allclose(asked, wanted.relu() @ turns.reads[2].weight.T + turns.reads[2].bias, atol=1e-6)
    assert turns.told(2, known, torch.randn(6, 4)) is known


def humps(n: int = 4000, seed: int = 0) -> Any:
    """Two narrow humps, three of ten rows in the left one."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.3, -5.0, 5.0) + 0.1 * rng.normal(size=n)


def fitted(values: Any) -> Any:
    return Real().fit(Column("a", np.asarray(values, dtype=float)))


def encoded(domain: Any, values: Any) -> torch.Tensor:
    return torch.from_numpy(domain.encode(Column("a", np.asarray(values, dtype=float))))


def test_between_two_humps_nothing_is_made() -> None:
    """Not before training and not after a step of it, whatever the features are; and every row has a gradient."""
    domain = fitted(humps())
    torch.manual_seed(0)
    maker = NumbersMaker([domain], 4)
    features = torch.randn(4000, 4, requires_grad=True)
    for _ in range(2):
        seen = maker(features)
        values = domain.decode(maker.encoded(seen)[0].detach().numpy())
        assert (np.abs(np.abs(values) - 5) < 0.5).all()
        assert 0.05 < (values < 0).mean() < 0.95
        maker.zero_grad()
        features.grad = None
        (seen[:, 0] ** 2 + seen[:, 1]).sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in maker.parameters())
        assert features.grad is not None
        assert bool((features.grad.abs().sum(1) > 0).all())
        with torch.no_grad():
            for p in maker.parameters():
                p -= 0.01 * p.grad / p.grad.abs().max()


@pytest.mark.parametrize(
    "values",
    [
        humps(),
        np.random.default_rng(1).lognormal(3, 2, 3000),
        np.where(np.random.default_rng(2).random(3000) < 0.6, 0.0, np.random.default_rng(3).normal(9, 1, 3000)),
        np.random.default_rng(4).poisson(30, 3000).astype(float),
        np.random.default_rng(5).normal(size=60),
        np.full(30, 7.0),
    ],
    ids=["humps", "long tail", "spike", "counts", "few", "constant"],
)
def test_a_uniform_draw_within_the_parts_has_the_distribution_of_the_column(values: Any) -> None:
    domain = fitted(values)
    scale = Scale(domain)
    assert scale.parts <= PARTS + 2
    assert float(scale.shares.sum()) == pytest.approx(1.0, abs=1e-5)
    assert bool((scale.values.diff() >= 0).all())
    assert bool((scale.places.diff() >= 0).all())
    torch.manual_seed(0)
    maker = NumbersMaker([domain], 1)
    n = 20_000
    part = torch.multinomial(scale.shares, n, replacement=True)
    place = -1 + 2 * (part + torch.rand(n)) / scale.parts
    seen = torch.cat([place[:, None], torch.nn.functional.one_hot(part, scale.parts)], 1)
    drawn = maker.encoded(seen)[0]
    apart = ks_2samp(drawn.numpy(), encoded(domain, values)[:, 0].numpy()).statistic
    assert apart < 0.02 + 1.0 / len(values) ** 0.5
    again = maker.seen(drawn[:, None])
    assert torch.equal(maker._part(again[:, :1])[:, 0], again[:, 1:].argmax(1))


def test_a_value_that_many_rows_share_is_a_part_without_spread() -> None:
    rng = np.random.default_rng(0)
    domain = fitted(np.where(rng.random(3000) < 0.6, 0.0, rng.lognormal(8, 1, 3000)))
    scale = Scale(domain)
    assert bool(scale.single[0])
    assert float(scale.shares[0]) == pytest.approx(0.6, abs=0.05)
    maker = NumbersMaker([domain], 1)
    zeros = maker.seen(encoded(domain, np.zeros(50)))
    assert bool((zeros == zeros[0]).all())
    drawn = domain.decode(maker.encoded(maker(torch.randn(2000, 1)))[0].detach().numpy())
    assert (drawn == 0).mean() > 0.3
    assert (drawn > 0).mean() > 0.1


def test_a_later_number_can_follow_an_earlier_one() -> None:
    domain = fitted(humps())
    maker = NumbersMaker([domain, domain], 1)
    size = int(maker.parts[0])
    for weights in (*maker.turns.start.parameters(), *maker.turns.adds.parameters()):
        torch.nn.init.zeros_(weights)
    for read_ in maker.turns.reads:
        torch.nn.init.zeros_(read_.weight)
    maker.turns.adds[0].weight.data[:size, 1:] = torch.eye(size)
    maker.turns.reads[1].weight.data[:size, :size] = 60 * torch.eye(size)
    torch.manual_seed(0)
    parts = maker(torch.randn(1000, 1))[:, 2:].split([size, size], 1)
    assert torch.equal(parts[0], parts[1])
    assert parts[0].mean(0).min() > 0


def test_the_density_of_numbers_integrates_to_one() -> None:
    """Over the parts of a scale and the places within each, and over being missing; by the middles of 20,000 strips of a part."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(ROWS) < 0.2, np.nan, np.where(rng.random(ROWS) < 0.5, 3.0, rng.normal(0, 1, ROWS)))
    domain = fitted(values)
    torch.manual_seed(0)
    maker = NumbersMaker([domain], 4)
    with torch.no_grad():
        for parameter in maker.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    strips = 20_000
    along = (torch.arange(strips) + 0.5) / strips
    total = 0.0
    features = torch.randn(1, 4)
    for part in range(len(maker.group)):
        shares = torch.zeros(strips, len(maker.group))
        shares[:, part] = 1
        place = maker.start[part] + maker.room[part] * along
        seen = torch.cat([place[:, None], torch.ones(strips, 1), shares], 1)
        total += float(maker.log_density(features.expand(strips, -1), seen).detach().exp().mean())
    absent = torch.cat([torch.zeros(1, 1), -torch.ones(1, 1), torch.zeros(1, len(maker.group))], 1)
    missing = float(maker.log_density(features, absent).detach().exp())
    assert bool(maker.single.any())
    assert 0 < missing < 1
    assert total + missing == pytest.approx(1.0, abs=5e-3)


def test_rows_are_drawn_as_often_as_their_density_says(table: Any) -> None:
    """Categories of two columns, drawn one after the other, by their frequencies; and a density knows what came before it."""
    made, _ = table
    at = list(made.fields).index("x.categories")
    maker = made.makers[at]
    features = torch.randn(1, 8).expand(20_000, -1)
    with torch.no_grad():
        maker.turns.adds[0].weight.mul_(8)
        drawn = maker(features)
    kinds, counts = torch.unique(drawn, dim=0, return_counts=True)
    chance = maker.log_density(features[: len(kinds)], kinds).exp()
    assert float(chance.detach().sum()) == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(counts / len(drawn), chance, atol=0.015)


def test_numbers_are_drawn_as_their_density_says() -> None:
    """In each tenth of each part the rows that are drawn, each over its density, add up to the size of the tenth."""
    rng = np.random.default_rng(2)
    domain = fitted(rng.normal(0, 1, ROWS))
    torch.manual_seed(0)
    maker = NumbersMaker([domain], 1)
    with torch.no_grad():
        maker.within.normal_(std=0.7)
        features = torch.zeros(100_000, 1)
        drawn = maker(features)
        density = maker.log_density(features, drawn).exp()
    part = drawn[:, 1:].argmax(1)
    along = (drawn[:, 0] - maker.start[part]) / maker.room[part]
    tenth = part * 10 + (along * 10).long().clamp(0, 9)
    cells = 10 * len(maker.group)
    sizes = torch.zeros(cells).index_add(0, tenth, 1 / density) / len(drawn)
    often = torch.bincount(tenth, minlength=cells) > 400
    assert int(often.sum()) > cells // 3
    assert torch.allclose(sizes[often], torch.tensor(0.1), atol=0.02)
