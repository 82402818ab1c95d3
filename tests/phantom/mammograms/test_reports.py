"""The phantoms' reports: what they say is true, the planted gaps are kept, the shipped concepts occur."""

import re
from itertools import islice

import numpy as np
import pytest

from mdissect.concepts import load_concepts
from mdissect.phantom.mammograms import Truth, sample_truth
from mdissect.phantom.mammograms.factors import Calcification, Mass
from mdissect.phantom.mammograms.facts import ANY_OF, BASE_KEYS
from mdissect.phantom.mammograms.phrases import STATEMENTS, TOPIC_WEIGHTS
from mdissect.phantom.mammograms.reports import (
    concept_truth,
    corpus,
    factor_keys,
    factor_vector,
    full_report,
    sample_text,
    true_keys,
)
from mdissect.phantom.mammograms.statements import is_plural, plural_calcifications, sentence, with_article

pytestmark = pytest.mark.slow

FILLING = re.compile(r"saline|silicone|valve|gel\b", re.IGNORECASE)
DISTORTION = re.compile(r"distort|radiating|tethering|straightened|central mass|retraction of the parenchyma", re.IGNORECASE)
PLAIN = {"index": 0, "patient": "P000000", "laterality": "L", "view": "CC", "density": "B", "birads": 1}


@pytest.fixture(scope="module")
def truths():
    return [sample_truth(11, index) for index in range(2500)]


def held(truth):
    return {key for key, holds in zip(factor_keys(), factor_vector(truth), strict=True) if holds}


def test_factor_vector_of_a_plain_phantom():
    keys = {key for key in held(Truth(**PLAIN)) if not key.startswith("no_")}
    assert keys == {"laterality=L", "view=CC", "density=B", "birads=1", "nondense", "routine"}


def test_factor_vector_of_a_phantom_with_findings():
    truth = Truth(
        **PLAIN | {"density": "D", "birads": 5},
        mass=Mass("irregular", "spiculated", "high"),
        calcification=Calcification("fine pleomorphic", "", True),
        asymmetry="focal",
        implant="saline",
        scar_marker=True,
    )
    keys = held(truth)
    expected = {"mass", "mass_shape=irregular", "mass_margin=spiculated", "mass_density=high", "mass_suspicious"}
    expected |= {"calcification", "calcification_morphology=fine pleomorphic", "calcification_suspicious"}
    expected |= {"calcification_micro", "suspicious", "asymmetry", "asymmetry=focal", "dense", "surgery"}
    expected |= {"implant", "implant=saline", "foreign_body", "skin_marker"}
    assert expected <= keys
    assert not keys & {"no_mass", "no_asymmetry", "calcification_benign", "nondense", "clip", "asymmetry=global", "distortion"}
    assert not any(key.startswith("calcification_distribution") for key in keys)
    assert factor_vector(truth).dtype == bool


def test_every_true_key_is_a_factor_key_and_every_key_is_true_of_some(truths):
    seen = frozenset().union(*map(true_keys, truths))
    assert seen == set(factor_keys())
    assert len(factor_keys()) == len(set(factor_keys()))
    for key, sources in ANY_OF.items():
        assert set(sources) <= {*BASE_KEYS, *ANY_OF}, key


@pytest.mark.parametrize("exclude", [(), ("distortion",), ("laterality", "view"), ("mass", "density", "implant")])
def test_texts_are_true_of_their_phantom(truths, exclude):
    rng = np.random.default_rng(3)
    for truth in truths[:1500]:
        text = sample_text(truth, rng, exclude=exclude)
        assert text.holds(held(truth)), text
        assert text.present | text.absent <= set(factor_keys())


def test_default_texts_keep_the_gaps(truths):
    rng = np.random.default_rng(5)
    for truth in truths:
        text = sample_text(truth, rng)
        assert not FILLING.search(text.text)
        assert not DISTORTION.search(text.text)
        assert not {"distortion", "implant=saline", "implant=silicone"} & (text.present | text.absent)
        assert not DISTORTION.search(full_report(truth, rng))


def test_distortion_is_asserted_and_denied_when_not_excluded(truths):
    rng = np.random.default_rng(7)
    texts = [sample_text(truth, rng, exclude=()) for truth in truths]
    assert sum("distortion" in text.present for text in texts) > 20
    assert sum("distortion" in text.absent for text in texts) > 20
    assert not any(FILLING.search(text.text) for text in texts)


def test_excluded_factors_are_silent_also_in_vague_words(truths):
    rng = np.random.default_rng(9)
    exclude = {"laterality", "biopsy_clip", "density=D"}
    words = re.compile(r"\b(left|right|biopsy clip|metallic clip|marker clip|foreign|extremely|high breast)\b", re.IGNORECASE)
    for truth in truths[:1500]:
        text = sample_text(truth, rng, exclude=exclude)
        assert not words.search(text.text), text


def test_unknown_exclude_is_named():
    with pytest.raises(ValueError, match=r"exclude=\['distorsion'\].*calcification"):
        sample_text(Truth(**PLAIN), np.random.default_rng(0), exclude="distorsion")


def test_texts_and_corpus_depend_on_the_seed_alone(truths):
    first, second = (
        [sample_text(truth, rng) for truth in truths[:50]] for rng in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first == second
    assert corpus(30, seed=4)[:10] == corpus(10, seed=4)
    assert corpus(10, seed=4) != corpus(10, seed=5)


def test_a_fifth_are_whole_reports_and_the_rest_is_short(truths):
    rng = np.random.default_rng(2)
    sentences = np.array([sample_text(truth, rng).text.count(".") for truth in truths])
    assert sentences.min() == 1
    assert 0.12 < (sentences > 3).mean() < 0.22


def test_a_report_tells_every_finding_before_the_impression():
    mass = Mass("oval", "circumscribed", "low")
    truth = Truth(**PLAIN | {"birads": 3}, mass=mass, lymph_node="intramammary", biopsy_clip=True)
    for seed in range(60):
        findings, _, impression = full_report(truth, np.random.default_rng(seed)).partition("Impression: ")
        assert re.search(r"(?i)mass.*node.*(marker|clip)", findings)
        assert re.fullmatch(r"|([A-Z][^.]*\.\s?)+", impression)


def test_concept_truth_reads_off_the_phrase_table():
    expected = {
        "Spiculated mass": ("mass_margin=spiculated",),
        "oval circumscribed mass": ("mass_shape=oval", "mass_margin=circumscribed"),
        "silicone implant": ("implant=silicone",),
        "architectural distortion": ("distortion",),
        "dense breast": ("dense",),
        "fatty breast": ("density=A",),
        "suspicious finding": ("suspicious",),
        "short interval follow-up": ("birads=3",),
        "axilla": ("view=MLO",),
        "no mass": ("no_mass",),
        "breast": (),
    }
    assert concept_truth([*expected, "linguine sign", "zebra"]) == expected


def test_shipped_concepts_that_hold_occur_in_texts(truths):
    names = load_concepts("mammography").subset(domain="mammography").names
    table = concept_truth(names)
    assert len(table) >= 270
    silent = {name for name in table if FILLING.search(name)}
    assert silent
    known = [true_keys(truth) for truth in truths]
    rng, said = np.random.default_rng(13), ""
    for name, keys in table.items():
        able = [truth for truth, true in zip(truths, known, strict=True) if true.issuperset(keys)]
        assert able, f"{name}: no phantom shows {keys}"
        if name not in silent and name.casefold() not in said:
            said += first_texts_with(name, able, rng)
    assert not any(name.casefold() in said for name in silent)


def first_texts_with(name, truths, rng, most=8000):
    texts = []
    for number in range(most):
        texts.append(sample_text(truths[number % len(truths)], rng, exclude=()).text.casefold())
        if name.casefold() in texts[-1]:
            return " ".join(texts)
    raise AssertionError(f"{name!r} is in none of {most} texts of phantoms that show it")


def test_every_statement_has_a_topic_of_known_weight():
    assert {statement.topic for statement in STATEMENTS} == {*TOPIC_WEIGHTS, "denial"}
    for statement in islice(STATEMENTS, 50):
        assert all(line[0].isupper() and line.endswith(".") for line in statement.sentences)


@pytest.mark.parametrize(
    ("phrase", "article", "plural"),
    [
        ("oval mass", "an oval mass", False),
        ("mass with calcifications", "a mass with calcifications", False),
        ("calcification in a line", "calcification in a line", False),
        ("cluster of calcifications", "a cluster of calcifications", False),
        ("suspicious calcifications", "suspicious calcifications", True),
        ("clips in the surgical bed", "clips in the surgical bed", True),
        ("breast prosthesis", "a breast prosthesis", False),
        ("skin thickening", "skin thickening", False),
    ],
)
def test_articles_and_agreement(phrase, article, plural):
    assert with_article(phrase) == article
    assert is_plural(phrase) is plural


def test_plural_calcifications():
    assert plural_calcifications("fine calcification in a line") == "fine calcifications in a line"
    assert plural_calcifications("suspicious calcification morphology") == "suspicious calcification morphology"
    assert sentence("BI-RADS 4") == "BI-RADS 4."
