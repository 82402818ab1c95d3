"""Search in the explorers: what is found, offered, told and kept, with a dissector and without."""

import numpy as np
import pytest
import torch
import twins
from explored import NAMES, Words, parts

import mdissect
from mdissect.concepts import load_concepts
from mdissect.explorers.search import CROWD, FLOOR, Match, WordSearch, shortened
from mdissect.models import Dissector, load_dissector

pytestmark = pytest.mark.slow

RAW = ("vocabulary", "tokenizer", "entries")


class Letters:
    """A tokenizer to which only listed words are whole."""

    def letters_per_token(self, text):
        return float(len(text) if text in ("gourd", "orb") else 1)


def buttons(explorer):
    return [button.description for button in explorer._offers.buttons.children]


def click(explorer, text):
    next(button for button in explorer._offers.buttons.children if button.description == text).click()


@pytest.fixture(scope="module")
def demo():
    return WordSearch(load_concepts("mammography").names, load_dissector("demo/mammo"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [("", ()), ("  ", ()), ("x", ("x", "x z", "x y")), ("Y", ("y", "x y")), ("z  x", ("x z",)), ("w", ()), ("xy", ("x y",))],
)
def test_of_names_that_match_alike_the_heaviest_comes_first(words, expected):
    assert WordSearch(["x y", "x", "y", "x z"], weights=[1, 0, 0, 2])(words).concepts == expected


@pytest.mark.parametrize("words", ["implants", "IMPLANT", "silicone", "implant silicone", "implants, silicone"])
def test_plural_case_and_order_do_not_matter(explorer, words):
    explorer.query = words
    assert "silicone implant" in explorer.found.concepts
    assert explorer.neuron == 11


@pytest.mark.parametrize("words", ["implent", "implnat", "silicon implent", "pumpkn"])
def test_misspelt_words_move_nothing_until_what_was_meant_is_chosen(explorer, words):
    explorer.neuron = 4
    explorer.query = words
    assert explorer.neuron == 4
    assert f"None of the 5 concepts has “{words}” in it; did you mean" in parts(explorer)["message"]
    meant = explorer.found.match.meant
    assert buttons(explorer) == [*meant, "images nearest to these words"]
    click(explorer, meant[0])
    assert explorer.query == meant[0]
    assert explorer.found.concepts
    assert explorer.neuron == explorer.found.neurons.neuron[0]
    assert buttons(explorer) == ["images nearest to these words"]


def test_near_concepts_are_offered_and_move_nothing(dissection):
    explorer = mdissect.explore(dissection, dissector=Words(NAMES, gourd=[0, 0, 0, 0, 1]))
    before = explorer.neuron
    explorer.query = "gourd"
    assert explorer.neuron == before
    assert explorer.found.concepts == ()
    assert "and the dissector finds nearest: pumpkin" in parts(explorer)["message"]
    click(explorer, "pumpkin")
    assert (explorer.query, explorer.found.concepts) == ("pumpkin", ("pumpkin",))
    assert explorer.neuron == 9
    explorer.query = "xyzzy"
    assert "None of the 5 concepts has “xyzzy” in it, and the dissector finds none near to it" in parts(explorer)["message"]
    assert not any(raw in parts(explorer)["message"] for raw in RAW)


def test_without_a_dissector_it_is_asked_for(explorer):
    explorer.query = "gourd"
    assert "give the explorer a dissector= to search by any words" in parts(explorer)["message"]


def crowded(n_near, cosine):
    """40 concepts, of which some are as near to "gourd" as told; all others are at right angles to it."""
    names, axes = [f"thing {i}" for i in range(40)], torch.eye(41)
    dissector = Words([], gourd=axes[40].tolist(), orb=axes[40].tolist(), yyyyy=axes[40].tolist())
    for i, name in enumerate(names):
        near = cosine if i < n_near else 0.0
        dissector.axes[name] = near * axes[40] + (1 - near**2) ** 0.5 * axes[i]
    dissector.tokenizer = Letters()
    return WordSearch(names, dissector)


@pytest.mark.parametrize(
    ("n_near", "cosine", "words", "n_offered"),
    [
        (1, FLOOR + 0.01, "gourd", 1),
        (3, 0.99, "orb", 3),
        (CROWD, 0.99, "gourd", 5),
        (CROWD + 1, 0.99, "gourd", 0),  # a crowd of the unknown
        (1, FLOOR - 0.01, "gourd", 0),  # too far
        (1, 0.99, "yyyyy", 0),  # letters
        (1, 0.99, "unheard", 0),  # refused by the tokenizer
    ],
)
def test_the_dissector_is_believed_near_a_few_concepts_only(n_near, cosine, words, n_offered):
    assert len(crowded(n_near, cosine)(words).nearest) == n_offered


NONSENSE = ["<script>", ".*(", "%s", "!!!", "()", "--", "'", "12345", "\u2603", "DROP TABLE neurons", "__init__", "x" * 300]
NONSENSE += ["xqzv", "qwrt", "asdf", "zxcvbnm", "hjkl", "qwertz", "lorem ipsum", "hello world", "blorp", "fhqwhgads"]


@pytest.mark.slow
@pytest.mark.parametrize("words", NONSENSE)
def test_nonsense_offers_nothing_of_the_demo_dissector(demo, words):
    found = demo(words)
    assert (found.concepts, found.meant, found.nearest) == ((), (), ())
    assert not any(raw in found.note for raw in RAW)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("spiculated lesion", "irregular spiculated mass"),
        ("dense parenchyma", "dense tissue"),
        ("axillary lymph", None),
        ("irregular lesion", "irregular spiculated mass"),
        ("breast prosthesis", "breast implant"),
    ],
)
def test_phrases_that_the_demo_dissector_knows(demo, words, expected):
    found = demo(words)
    assert expected in (found.nearest if expected else [None])


@pytest.mark.slow
def test_egg_offers_nothing_where_no_concept_has_it():
    names = [name for name in load_concepts("mammography").names if name != "egg"]
    found = WordSearch(names, load_dissector("demo/mammo"))("egg")
    assert (found.concepts, found.meant, found.nearest) == ((), (), ())


@pytest.mark.slow
def test_random_letters_offer_almost_nothing_of_the_demo_dissector(demo):
    """8 seeds of 100 words of random letters: each offers a near concept for two at most."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 13))) for _ in range(100)]
        assert sum(bool(demo._nearest(word)) for word in words) <= 2


@pytest.mark.parametrize("length", [40, 41, 300, 5000])
def test_long_searches_are_shortened(explorer, length):
    explorer.query = "w" * length
    message = parts(explorer)["message"]
    assert "w" * 40 in message
    assert "w" * 41 not in message
    assert "overflow-wrap:anywhere" in message
    assert shortened("w" * length) == "w" * 40 + "…" * (length > 40)


def test_enter_on_the_same_words_goes_to_the_first_hit_again(explorer):
    explorer._search.value = "implant"
    explorer._search.entered += 1
    first = explorer.neuron
    explorer.neuron = 0
    explorer._search.entered += 1
    assert explorer.neuron == first == 11


def test_enter_on_words_without_hits_moves_nothing(explorer):
    explorer.neuron = 4
    with explorer._search.hold_trait_notifications():  # as they come from the browser
        explorer._search.entered, explorer._search.value = 1, "gourd"
    assert (explorer.query, explorer.neuron) == ("gourd", 4)


def test_a_neuron_beside_the_hits_is_told(explorer):
    explorer.query = "implant"
    assert explorer._hits.value == 11
    explorer._readings[""]._found.clear()
    explorer.layer = "stem"
    explorer.neuron = 2  # has no name
    assert explorer._hits.label == "neuron 2 is not among the 5 hits"
    explorer._hits.value = 3
    assert explorer.neuron == 3
    assert "not among" not in explorer._hits.options[0][0]


def test_the_first_hits_are_counted_and_all_can_be_seen(dissection):
    rng = np.random.default_rng(0)
    dissection.similarity["deep"] = rng.normal(size=(256, 5)).astype(np.float32)
    dissection.activations["deep"] = rng.normal(size=(30, 256))
    explorer = mdissect.explore(dissection)
    explorer.query = "implant"
    assert "50 of 256 neurons are listed" in parts(explorer)["message"]
    assert (explorer._every.layout.display, explorer._every.description) == (None, "all 256")
    first = explorer.neuron
    explorer._every.value = True
    assert len(explorer._hits.options) == len(explorer.found.neurons) == 256
    assert explorer.neuron == first
    assert explorer.state["every_hit"]
    explorer.query = ""
    assert explorer._every.layout.display == "none"


def with_embeddings(dissection, **settings):
    """Image i lies on the axis of concept i % 5, with a share of the next that grows with i."""
    axes = np.eye(5, dtype=np.float32)
    share = np.linspace(0.1, 0.9, 30)[:, None]
    rows = (1 - share) * axes[np.arange(30) % 5] + share * axes[(np.arange(30) + 1) % 5]
    dissection.image_embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    dissection.settings |= settings
    return dissection


class Marked(Words):
    fingerprint = "abc"


def test_images_nearest_to_words_are_shown_and_hidden_again(dissection, probe):
    found = with_embeddings(dissection, dissector_weights="abc")
    explorer = mdissect.explore(found, probe=probe, dissector=Marked(NAMES))
    explorer.query = "pumpkins"
    before = (explorer.neuron, parts(explorer))
    explorer._offers._images("pumpkin")  # by itself changes nothing
    explorer.query = "pumpkin"
    explorer._offers.of_images.click()
    cosines = found.image_embeddings @ np.eye(5)[4]
    shown = [tile.image_id for tile in explorer._offers.gallery.tiles]
    assert shown == [probe.ids[i] for i in np.argsort(-cosines, kind="stable")[:8]]
    assert "finds nearest to “pumpkin”" in explorer._offers.caption.value
    assert (explorer.neuron, parts(explorer)["captions"]) == (before[0], before[1]["captions"])
    explorer._offers.gallery.tiles[2].frame.button.click()
    assert explorer.enlarged == shown[2]
    explorer._offers.of_images.click()
    assert explorer._offers.gallery.layout.display == "none"


@pytest.mark.parametrize(
    ("dissector", "settings", "words", "message"),
    [
        (None, {}, "pumpkin", "give the explorer a dissector="),
        (Marked(NAMES), {"dissector_weights": "xyz"}, "pumpkin", "embedded by another dissector (toy)"),
        (Marked(NAMES), {}, "xyzzy", "The dissector finds nothing near “xyzzy”."),
    ],
)
def test_images_that_cannot_be_found_say_why(dissection, dissector, settings, words, message):
    explorer = mdissect.explore(with_embeddings(dissection, **settings), dissector=dissector)
    explorer.query = words
    explorer._offers.of_images.click()
    assert message in explorer._offers.caption.value
    assert explorer._offers.gallery.layout.display == "none"


def test_a_result_without_embeddings_says_so(dissection):
    explorer = mdissect.explore(dissection, dissector=Words(NAMES))
    explorer.query = "pumpkin"
    explorer._offers.of_images.click()
    assert "holds no embeddings of its images: dissect again" in explorer._offers.caption.value


def test_the_concept_explorer_offers_the_same():
    explorer = mdissect.explore_concepts(twins.twins(), probe=twins.probe(), dissector=Words(twins.NAMES, gourd=twins_axis()))
    explorer.query = "implants"
    assert set(explorer.found.concepts) == {name for name in twins.NAMES if "implant" in name}
    explorer.concept = explorer.offered[0]
    explorer._search.entered += 1
    assert explorer.concept == ""  # all that was found again
    title = explorer.title
    explorer.query = "gourd"
    assert buttons(explorer)[0] == "pumpkin"
    assert explorer.concept == ""
    click(explorer, "pumpkin")
    assert (explorer.concept, explorer.query) == ("pumpkin", "")
    assert explorer.title != title


def twins_axis():
    return np.eye(len(twins.NAMES))[twins.NAMES.index("pumpkin")].tolist()


def test_the_comparison_takes_words_for_a_concept():
    explorer = mdissect.explore_models(twins.twins(), probe=twins.probe(), state={"mode": "same concept"})
    explorer._concept.value = "pumpkins"
    assert explorer.concept == explorer._concept.value == "pumpkin"
    explorer._concept.value = "pumkpin"
    assert explorer.concept == "pumpkin"
    assert "did you mean “pumpkin”?" in explorer._message.value
    explorer._concept.value = "implants"
    assert explorer.concept == "implant"
    assert buttons(explorer) == [name for name in twins.NAMES if "implant" in name and name != "implant"]
    click(explorer, buttons(explorer)[0])
    assert explorer.concept in twins.NAMES


def test_a_match_of_nothing_is_not_understood():
    assert not Match().understood
    assert isinstance(Words(NAMES), Dissector)
