"""Tests of which neurons a study is about, and of each reader's order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdissect.explorers.reading_list import in_order, shuffling_key

PLACES = [(layer, neuron) for layer in ("stem", "deep") for neuron in range(20)]


def test_the_shuffle_is_the_same_everywhere():
    """Values that the atlas's script gives too (tests/atlas/test_browser.py)."""
    assert [shuffling_key(text) for text in ("", "0|AB|M|bn2|73", "0|é☃|M|bn2|73")] == [
        2872998923,
        3871464638,
        2572707500,
    ]


def test_readers_see_all_neurons_each_in_an_order_of_their_own():
    orders = [in_order(PLACES, "M", reader, seed) for reader in ("AB", "CD") for seed in (0, 1)]
    assert all(sorted(order) == sorted(PLACES) for order in orders)
    assert len({tuple(order) for order in orders}) == 4
    assert in_order(reversed(PLACES), "M", "AB") == in_order(PLACES, "M", "AB")


def test_an_order_mixes_layers_and_numbers():
    """Over many readers every neuron comes early as often: 400 readers, the first ten of forty (expected 100 each)."""
    first = [place for i in range(400) for place in in_order(PLACES, "M", f"reader {i}")[:10]]
    assert all(60 < first.count(place) < 140 for place in PLACES)  # 4.6 standard deviations of 8.7


@pytest.mark.slow
@given(st.text(max_size=30))
def test_any_text_has_a_key_of_32_bits(text):
    assert 0 <= shuffling_key(text) < 2**32
