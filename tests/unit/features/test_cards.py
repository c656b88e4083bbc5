"""The index of cards agrees with a dictionary, whatever comes in whatever order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.features.cards import CardIndex

IDENTIFIERS = st.text(max_size=6) | st.integers(0, 40).map(lambda k: f"card{k}") | st.text(max_size=3).map("é".__add__)


@given(batches=st.lists(st.lists(IDENTIFIERS, max_size=30), max_size=8))
@settings(max_examples=100)
def test_slots_are_those_of_a_dictionary_in_the_order_of_first_appearance(batches):
    index, known = CardIndex(), {}
    for cards in batches:
        wanted = [known.setdefault(card, len(known)) for card in cards]
        assert index.slots_of(cards).tolist() == wanted
    assert len(index) == len(known)


def test_identifiers_that_share_a_beginning_or_are_empty_are_told_apart():
    index = CardIndex()
    assert index.slots_of(["ab", "a", "b", "", "abc", "a", ""]).tolist() == [0, 1, 2, 3, 4, 1, 3]


def test_many_cards_keep_their_slots_as_the_index_grows_and_after_it_is_made_again():
    cards = [f"card-{k:07d}-{'x' * (k % 90)}" for k in range(50_000)]
    index = CardIndex()
    for begin in range(0, len(cards), 7_001):
        index.slots_of(cards[begin : begin + 7_001])
    again = CardIndex.of(*index.identifiers())
    for either in (index, again):
        np.testing.assert_array_equal(either.slots_of(cards[::-1]), np.arange(len(cards))[::-1])
        assert len(either) == len(cards)


def test_an_identifier_of_thirteen_bytes_costs_less_than_forty():
    index = CardIndex()
    index.slots_of([f"c{k:012d}" for k in range(200_000)])
    assert index.nbytes / len(index) < 40


def test_asking_for_known_cards_adds_none():
    index = CardIndex()
    index.slots_of([f"c-{n}" for n in range(3_000)])
    assert index.known(["c-2999", "nobody", "c-7", "é", "c-7", ""]).tolist() == [7, 2999]
    assert CardIndex().known(["c-7"]).tolist() == []
    assert index.known([]).tolist() == []
    assert len(index) == 3_000
