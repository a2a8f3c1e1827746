"""Block of texts: padding changes nothing, n-grams are what they should be, unknown tokens are learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trine.blocks import Encoder
from trine.blocks._base import field_encoder
from trine.blocks.text import Bag, Convolutions, Readers, TextBlock
from trine.choices import Choices
from trine.domains import Column, Text
from trine.errors import ChoiceError

LENGTHS = torch.tensor([5, 1, 9, 0, 3])


def domain(unit: str) -> Text:
    levels = np.array(["the old man and the sea", "the sea was old and calm", "calm was the man"], dtype=object)
    return Text(unit=unit).fit(Column("text", np.arange(3, dtype=np.int32), levels))


def codes(longest: int = 9, size: int = 8) -> torch.Tensor:
    found = torch.randint(0, size, (len(LENGTHS), longest), generator=torch.Generator().manual_seed(2))
    return found.masked_fill(torch.arange(longest) >= LENGTHS[:, None], -1)


def block_of(unit: str, **choices: object) -> TextBlock:
    torch.manual_seed(0)
    found = field_encoder(domain(unit), [domain(unit)], Choices.of(choices))
    assert isinstance(found, TextBlock)
    return found


@pytest.mark.parametrize("sequence", ["convolutional", "gru", "lstm", "rnn"])
@pytest.mark.parametrize("unit", ["characters", "words", "pieces"])
def test_a_row_in_a_padded_batch_is_what_it_is_alone(unit: str, sequence: str) -> None:
    block = block_of(unit, sequence=sequence).eval()
    x = codes()
    together = block(x, LENGTHS)
    assert together.shape == (5, block.features)
    assert torch.isfinite(together).all()
    wider = block(torch.nn.functional.pad(x, (0, 11), value=-1), LENGTHS)
    torch.testing.assert_close(wider, together, atol=1e-5, rtol=0)
    for row in (0, 1, 2, 4):
        n = int(LENGTHS[row])
        alone = block(x[row : row + 1, :n], LENGTHS[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


def test_convolutions_see_zeros_beyond_a_row() -> None:
    block = Convolutions(2, 3, widths=(3,)).eval()
    x = torch.randn(1, 4, 2)
    filters = block.filters[0]
    assert isinstance(filters, torch.nn.Conv1d)
    around = torch.nn.functional.pad(x.transpose(1, 2), (1, 1))
    by_hand = torch.relu(filters(around)).amax(2)
    torch.testing.assert_close(block(x, torch.tensor([4])), by_hand)


def test_a_bag_does_not_know_the_order_of_single_tokens_but_that_of_pairs() -> None:
    torch.manual_seed(0)
    one, two = torch.tensor([[3, 4, 5]]), torch.tensor([[5, 4, 3]])
    three = torch.tensor([3])
    single = Bag(10, (1,), features=4)
    torch.testing.assert_close(single(one, three), single(two, three))
    pairs = Bag(10, (1, 2), features=4, buckets=1000)
    assert not torch.allclose(pairs(one, three), pairs(two, three))


def test_a_bag_is_the_sum_of_its_vectors_over_the_root_of_their_number() -> None:
    torch.manual_seed(0)
    bag = Bag(10, (1,), features=4)
    wanted = (bag.table[3] + 2 * bag.table[4]) / 3**0.5
    torch.testing.assert_close(bag(torch.tensor([[3, 4, 4, -1]]), torch.tensor([3]))[0], wanted)
    assert not bag(torch.tensor([[-1]]), torch.tensor([0])).any()


def test_the_edges_of_a_name_count() -> None:
    bag = Bag(10, (1, 2), edges=True, buckets=1000, features=4)
    inner = bag.places(torch.tensor([[4, 5, 6]]), torch.tensor([3]))[0].tolist()
    start = bag.places(torch.tensor([[4, 5]]), torch.tensor([2]))[0].tolist()
    end = bag.places(torch.tensor([[5, 6]]), torch.tensor([2]))[0].tolist()
    assert inner[:5] == [Text.begin, 4, 5, 6, Text.end]
    pairs = inner[5:]
    assert len(set(pairs)) == 4
    assert start[4:6] == pairs[:2]
    assert end[5:7] == pairs[2:]


def test_hashed_pairs_spread_over_their_places() -> None:
    bag = Bag(300, (2,), buckets=2**15, features=1)
    pairs = torch.cartesian_prod(torch.arange(3, 203), torch.arange(3, 53))
    places = bag.places(pairs, torch.full((len(pairs),), 2))
    # 10,000 pairs in 32,768 places: as many distinct ones as a random hash has, m (1 − e^{−n/m}) = 8,618 ± 35.
    assert abs(len(places.unique()) - 8618) < 180


def test_unknown_tokens_learn_from_dropped_ones() -> None:
    block = block_of("words")
    block.train()
    values = torch.full((64, 6), 4)
    block(values, torch.full((64,), 6)).sum().backward()
    assert block.table.grad is not None
    assert block.table.grad[Text.unknown].any()
    block.eval()
    torch.testing.assert_close(block(values[:1], torch.tensor([6])), block(values[:1], torch.tensor([6])))


@pytest.mark.parametrize("sequence", ["convolutional", "gru"])
def test_an_encoder_reads_texts_beside_numbers_and_missing_ones(sequence: str) -> None:
    encoder = Encoder({"text": domain("words")}, Choices.of({"sequence": sequence})).eval()
    batch = {"x.text": codes(), "x.text.length": LENGTHS, "x.text.present": LENGTHS > 0}
    z, memory = encoder.encode(batch)
    assert torch.isfinite(z).all()
    [(states, lengths)] = memory
    assert states.shape[:2] == (5, 9)
    assert lengths.tolist() == LENGTHS.tolist()


def test_an_unknown_reader_is_named() -> None:
    with pytest.raises(ChoiceError, match="sequence is 'gruu'"):
        block_of("words", sequence="gruu")


def test_each_member_sees_its_own_reader() -> None:
    torch.manual_seed(0)
    domains = {"text": domain("words")}
    encoder = Encoder(domains, Choices.of({"members": 4, "hidden": (), "dropout": 0.0}))
    readers = encoder.blocks[0]
    assert isinstance(readers, Readers)
    batch = {"x.text": codes(), "x.text.length": LENGTHS}
    z, memory = encoder.encode(batch)
    each = readers.readers[0].features
    assert z.shape == (4, 5, 3 * each)
    shown = [[bool(z[m, :, r * each : (r + 1) * each].any()) for r in range(3)] for m in range(4)]
    assert shown == [[True, False, False], [False, True, False], [False, False, True], [True, False, False]]
    assert memory[0][0].shape[2] == readers.width
    torch.testing.assert_close(readers.pool(*memory[0])[:, :7], z[0, :, :7] * encoder.members.scale[0, :7].sign())
    # What a member loses does not reach another's reader.
    z[1].sum().backward()
    assert readers.readers[1].table.grad is not None
    assert readers.readers[0].table.grad is None or not readers.readers[0].table.grad.any()
