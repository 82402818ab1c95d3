"""The note under a figure names control baselines in words, and says nothing of networks where there are none."""

import made_up
import pytest

from mdissect.study.captions import BASELINES, networks, probes
from mdissect.trust.baselines import KINDS

FOUND = made_up.labelled(made_up.concept_set([("mass",)], "concept"), deep=["mass", "mass"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("M untrained", "M untrained: the network of M before any training."),
        ("mine random dissector", "mine random dissector: mine, labelled by its dissector with the shared space scrambled."),
        ("G by M constant", "G by M constant: G by M with one label for all neurons."),
        ("M", "M: trained on mammograms and their reports."),
        ("untrained", "untrained: a network of its own."),
    ],
)
def test_networks_in_words(name, words):
    assert networks({name: FOUND}, {}) == f"{words} Layers (neurons): deep (2)."


def test_every_kind_of_baseline_has_words():
    assert set(BASELINES) == set(KINDS)


def test_no_networks_and_no_probe_leave_no_note():
    assert networks({}, {}) == probes([]) == ""
