"""Tests of what the three explorers share: a change draws exactly the parts that depend on it, and each of them once."""

import pytest
import toys
import twins

import mdissect
from mdissect.explorers import Notes

pytestmark = pytest.mark.slow


@pytest.fixture
def neurons(dissection, probe, tmp_path):
    explorer = mdissect.explore(dissection, probe=probe, target=toys.toy_target(), notes=Notes(tmp_path / "verdicts.csv"))
    return watched(explorer)


@pytest.fixture
def concepts():
    return watched(mdissect.explore_concepts(twins.twins(), probe=twins.probe()))


@pytest.fixture
def models():
    return watched(mdissect.explore_models(twins.twins(), probe=twins.probe()))


def watched(explorer):
    """An explorer that lists the parts that it draws in `drawn`."""
    explorer.drawn = []

    def watch(part, draw):
        setattr(explorer, f"_show_{part}", lambda: (explorer.drawn.append(part), draw()))

    for part in explorer.PARTS:
        watch(part, getattr(explorer, f"_show_{part}"))
    return explorer


NEURON = ["verdict", "message", "heading", "bars", "histogram", "controls", "images", "table", "beside"]
CONCEPT = ["heading", "summary", "list", "chosen", "images"]
LIST = ["list", "chosen", "images"]


@pytest.mark.parametrize(
    ("explorer", "change", "drawn"),
    [
        ("neurons", {"neuron": 7}, NEURON),
        ("neurons", {"layer": "stem"}, NEURON),
        ("neurons", {"images": "weakest"}, ["controls", "images"]),
        ("neurons", {"boxes": True}, ["images"]),
        ("neurons", {"overlay": True}, ["controls", "images"]),
        ("neurons", {"contour": True}, ["images"]),
        ("neurons", {"all_images": True}, ["controls", "images"]),
        ("neurons", {"tile": 300}, ["images"]),
        ("neurons", {"span": [0.0, 1.0]}, ["images"]),
        ("neurons", {"enlarged": "image-03"}, ["controls", "images"]),
        ("neurons", {"split": "density"}, ["histogram"]),
        ("neurons", {"query": "implent"}, ["message", "offers", "bars"]),  # which finds nothing
        ("neurons", {"query": "implant"}, ["verdict", "message", "offers", *NEURON[2:]]),  # goes to another neuron
        ("neurons", {"neuron": 7, "images": "random", "split": "density"}, NEURON),
        ("neurons", {"neuron": 0, "images": "strongest"}, []),  # as they are
        ("concepts", {"query": "implant"}, ["message", "offers", *CONCEPT]),
        ("concepts", {"category": "Mass"}, CONCEPT),
        ("concepts", {"concept": "pumpkin"}, CONCEPT),
        ("concepts", {"model": "M"}, ["offers", *LIST]),
        ("concepts", {"layer": "stem"}, LIST),
        ("concepts", {"neuron": ["M", "deep", 5]}, ["chosen", "images"]),
        ("models", {"mode": "same concept"}, ["heading", "entry", "panels"]),
        ("models", {"layer": "stem"}, ["heading", "entry", "panels"]),
        ("models", {"neuron": 3}, ["heading", "panels"]),
        ("models", {"concept": "moss"}, ["heading", "entry", "panels"]),
        ("models", {"first": "C4"}, ["entries", "entry", "counts", "panels"]),
        ("models", {"second": "M"}, ["entries", "entry", "counts"]),
        ("models", {"change": "gained"}, ["entries", "entry"]),
        ("models", {"category": "Mass"}, ["entries", "entry", "counts"]),
    ],
)
def test_a_change_draws_its_own_parts_once(request, explorer, change, drawn):
    explorer = request.getfixturevalue(explorer)
    if len(change) == 1:
        ((trait, value),) = change.items()
        setattr(explorer, trait, value)
    else:
        explorer.state = change
    assert explorer.drawn == drawn


def test_every_trait_draws_something(neurons, concepts, models):
    for explorer in (neurons, concepts, models):
        told = {"overlay_of"} if explorer._derived() else set()  # by the text that follows from it
        expected = {*explorer.STATE, "refused", *explorer._derived()} - told
        assert {trait for traits in explorer.PARTS.values() for trait in traits.split()} == expected


def test_a_click_draws_what_it_changes(neurons, concepts, models):
    neurons._gallery.tiles[2].frame.button.click()
    assert neurons.drawn == ["controls", "images"]  # the colour bar is in the large picture
    neurons.drawn.clear()
    neurons._large.neurons[1].click()
    assert neurons.drawn == NEURON
    concepts._list.take(choose=3)
    assert concepts.drawn == ["chosen", "images"]
    models._entries.take(choose=models._entries.places.index(("stem", "density <4>")))
    assert models.drawn == ["heading", "entry", "panels"]


def test_what_is_refused_draws_the_message_alone(models):
    models.state = {"mode": "same concept"}
    models.drawn.clear()
    models._concept.value = "turnips"
    assert models.drawn == ["message"]
    models._concept.value = "turnips"  # again, though the message stays
    assert (models._concept.value, models.drawn) == (models.concept, ["message"])
    models._concept.value = "pumpkin"
    assert models.drawn[1:] == ["message", "heading", "entry", "panels"]
