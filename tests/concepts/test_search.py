"""What words find in the names of concepts: one table, which the atlas's page is tested by too (tests/atlas)."""

import json
import random
import string
from itertools import pairwise
from pathlib import Path

import pytest

from mdissect.concepts import NameSearch, load_concepts, variant_key
from mdissect.concepts.search import edits

SEARCHES = json.loads(Path(__file__).with_name("searches.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names():
    return load_concepts("mammography").names


@pytest.fixture(scope="module")
def search(names):
    return NameSearch(names)


@pytest.mark.parametrize(("query", "count", "first"), SEARCHES["whole"])
def test_words_find_names_that_have_them_whole(search, names, query, count, first):
    hits = search.hits(query)
    assert (len(hits), names[hits[0]] if hits else "") == (count, first)


@pytest.mark.parametrize(("query", "count"), SEARCHES["typing"])
def test_while_typing_the_last_word_may_be_a_beginning(search, query, count):
    assert len(search.hits(query, typing=True)) == count


@pytest.mark.parametrize(("query", "meant"), SEARCHES["meant"])
def test_misspelt_words_offer_those_that_were_meant(search, query, meant):
    assert search.meant(query) == meant
    assert all(search.hits(one) for one in meant)


@pytest.mark.parametrize("text", ["carcinoma", "card", "scar", "cardiac car-port", "oscar"])
def test_never_inside_a_word(text):
    assert bool(NameSearch([text]).hits("car")) == (text == "cardiac car-port")


@pytest.mark.parametrize("seed", range(8))
def test_a_hit_has_all_words_in_any_order_and_number(search, names, seed):
    rng = random.Random(seed)
    for i in rng.sample(range(len(names)), 20):
        words = names[i].split()
        shuffled = " ".join(rng.sample(words, len(words)))
        hits = search.hits(shuffled)
        assert i in hits
        assert set(search.hits(f"{shuffled} {names[rng.randrange(len(names))]}")) <= set(hits)


@pytest.mark.parametrize("seed", range(8))
def test_one_word_finds_what_a_literal_loop_does(seed):
    rng = random.Random(seed)
    word = lambda: "".join(rng.choices("abn", k=rng.randint(1, 3)))  # noqa: E731
    names = [" ".join(word() for _ in range(rng.randint(1, 3))) for _ in range(30)]
    query = word()
    expected = []
    for i, name in enumerate(names):
        parts = [variant_key(part) for part in name.split()]
        if variant_key(query) in (*parts, *map("".join, pairwise(parts))):
            expected.append(i)
    assert sorted(NameSearch(names).hits(query)) == expected


def test_random_letters_offer_almost_nothing(search):
    """Few are suggested a word: a real one is near by chance."""
    for seed in range(8):
        rng = random.Random(seed)
        words = ["".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 12))) for _ in range(100)]
        assert sum(bool(search.meant(word)) for word in words) <= 4


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("", "", 0),
        ("a", "", 1),
        ("abc", "acb", 1),
        ("abc", "abd", 1),
        ("abcd", "badc", 2),
        ("mass", "massive", 3),
        ("a", "xyz", 3),
    ],
)
def test_edits(one, other, apart):
    assert edits(one, other, 9) == edits(other, one, 9) == apart
    assert edits(one, other, 0) == min(apart, 1)


@pytest.mark.parametrize("names", [[], [""], ["..."], ["a", "a"], ["ß", "SS"], ["İmplant"], ["__proto__"]])
def test_odd_names_do_not_hurt(names):
    search = NameSearch(names)
    for query in ("", " ", "a", "ss", "implant", "proto", "x" * 5000, "word " * 200):
        assert set(search.hits(query, typing=True)) <= set(range(len(names)))
        assert search.meant(query) == [] or names
    assert json.dumps(search.data(), allow_nan=False)


def test_accents_and_sharp_s_are_no_matter():
    assert NameSearch(["masse étrange"]).hits("ETRANGE") == NameSearch(["masse etrange"]).hits("étrange") == [0]
    assert NameSearch(["weiß"]).hits("WEISS") == [0]
