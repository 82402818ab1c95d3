"""Templates of concept sets: checked, kept by every set made of them, embedded as their definition says."""

import numpy as np
import pandas as pd
import pytest
import torch
import toys

import mdissect
from mdissect.concepts import ConceptSet, Prompts, load_concepts
from mdissect.dissection import Dissection
from mdissect.embed import embed_concepts
from mdissect.models import LabelDissector
from mdissect.store import Store

SENTENCES = ["a mammogram showing {}", "there is {} in the breast"]


class Letters(toys.RowDissector):
    """Embeds any text by the letters in it; counts the texts that it read."""

    read = 0

    def embed_texts(self, texts):
        type(self).read += len(texts)
        rows = [[1 + text.lower().count(letter) for letter in "aeioumst"] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def vectors(*texts: str) -> np.ndarray:
    return Letters().embed_texts(texts).numpy().astype(float)


def test_the_embedding_is_the_mean_over_the_sentences_of_unit_length(tmp_path):
    concepts = ConceptSet.from_list(["mass", "clip"]).with_templates(SENTENCES)
    expected = [unit(vectors(*concepts.prompts.filled(name)).mean(axis=0)) for name in concepts]
    np.testing.assert_allclose(embed_concepts(Letters(), concepts), expected, atol=1e-6)
    empty = vectors("a mammogram showing", "there is in the breast")
    less = [unit((vectors(*concepts.prompts.filled(name)) - empty).mean(axis=0)) for name in concepts]
    found = embed_concepts(Letters(), concepts.with_templates(SENTENCES, subtract_empty=True), tmp_path)
    np.testing.assert_allclose(found, less, atol=1e-5)


def test_bare_phrases_are_what_they_were_bit_for_bit(tmp_path):
    names = ["mass", "clip"]
    bare = Letters().embed_texts(names).numpy()
    for concepts in (names, ConceptSet.from_list(names), ConceptSet.from_list(names).with_templates(None)):
        assert np.array_equal(embed_concepts(Letters(), concepts, tmp_path), bare)


def test_the_store_tells_templates_apart_and_reads_each_sentence_once(tmp_path):
    concepts = ConceptSet.from_list(["mass", "clip"])
    Letters.read = 0
    first = embed_concepts(Letters(), concepts.with_templates(SENTENCES), Store(tmp_path))
    assert Letters.read == 4
    assert np.array_equal(embed_concepts(Letters(), concepts.with_templates(SENTENCES), Store(tmp_path)), first)
    assert Letters.read == 4
    other = embed_concepts(Letters(), concepts.with_templates(SENTENCES[:1]), Store(tmp_path))
    assert Letters.read == 4  # its sentences are known
    assert not np.allclose(other, first)


def test_sets_made_of_a_set_keep_its_templates(tmp_path):
    path = tmp_path / "own.csv"
    findings = "Findings and characterizations"
    rows = ["concept,category,broad_category", f"oval mass,Mass,{findings}", f"rod,Calcifications morphology,{findings}"]
    path.write_text("\n".join(rows))
    concepts = load_concepts(path, templates=SENTENCES, subtract_empty=True)
    part = concepts.subset(category="Mass")
    assert part.names == ["oval mass"]
    assert part.prompts == concepts.prompts == Prompts(tuple(SENTENCES), True)
    assert "2 templates" in repr(concepts)
    assert load_concepts(path).prompts == Prompts()
    assert part.with_templates(None).prompts == Prompts()


@pytest.mark.filterwarnings("ignore:dissector 'rows' tells none")
def test_a_dissection_states_keeps_and_saves_them(tmp_path):
    def found(templates):
        concepts = ConceptSet.from_list(toys.CONCEPTS).with_templates(templates)
        dissector, probe = Letters(), toys.toy_probe()
        return mdissect.dissect(toys.toy_target(), dissector, probe, concepts, top_k=10, options=toys.SMALL)

    bare, filled = found(None), found(SENTENCES)
    assert "templates" not in bare.settings
    assert (filled.settings["templates"], filled.settings["subtract_empty"]) == (SENTENCES, False)
    assert not np.allclose(filled.image_concept_sims, bare.image_concept_sims)
    filled.save(tmp_path / "filled")
    bare.save(tmp_path / "bare")
    assert Dissection.load(tmp_path / "filled").concepts.prompts == filled.concepts.prompts
    assert Dissection.load(tmp_path / "bare").concepts.prompts == Prompts()
    assert "prompts" not in (tmp_path / "bare" / "dissection.json").read_text()


BAD = [
    (["a mammogram"], False, ValueError, "template 'a mammogram' must hold '{}' once, where the concept goes; it does 0 times"),
    (["{} or {}"], False, ValueError, "it does 2 times"),
    (["{concept}"], False, ValueError, "must hold '{}' once"),
    (["{0} seen"], False, ValueError, "must hold '{}' once"),
    ([""], False, ValueError, "none of them empty"),
    (["  "], False, ValueError, "none of them empty"),
    ([3], False, TypeError, "it holds 3"),
    ([None], False, TypeError, "must be a list of str"),
    ("a {}", False, TypeError, "must be a list of str, not one str; ['a {}'] is a list of one"),
    (5, False, TypeError, "templates=5 must be a list of str"),
    (["a {}", "a {}"], False, ValueError, "'a {}' several times"),
    (None, True, ValueError, "subtract_empty=True needs templates"),
    ([], False, ValueError, "templates=[] must be a list of str, at least one"),
    (["{}"], True, ValueError, "template '{}' has no word beside the concept"),
    (["a {}", "{}."], True, ValueError, "template '{}.' has no word beside the concept"),
    (["a {}"], "yes", TypeError, "subtract_empty='yes' must be True or False"),
    (["a {}"], 1, TypeError, "subtract_empty=1 must be True or False"),
]


@pytest.mark.parametrize(("templates", "subtract", "kind", "message"), BAD, ids=range(len(BAD)))
def test_bad_templates_are_named(templates, subtract, kind, message):
    for call in (ConceptSet.from_list(["mass"]).with_templates, lambda *given: load_concepts("mammography", *given)):
        with pytest.raises(kind) as caught:
            call(templates, subtract)
        assert message in str(caught.value)


def test_other_braces_are_letters():
    assert Prompts(("{a} {}",)).filled("mass {b}") == ["{a} mass {b}"]


def test_a_dissector_of_names_refuses_sentences():
    labels = LabelDissector(pd.DataFrame({"class": ["mass", "clip"]}, index=["a", "b"]), ["class"])
    concepts = ConceptSet.from_list(["mass", "clip"])
    assert embed_concepts(labels, concepts).shape == (2, 3)
    with pytest.raises(ValueError, match="knows concepts by their names alone"):
        embed_concepts(labels, concepts.with_templates(SENTENCES))


def test_a_concept_of_which_nothing_is_left_is_an_error():
    concepts = ConceptSet.from_list(["mass", "xxx"]).with_templates(["b {}"], subtract_empty=True)
    with pytest.raises(ValueError, match="1 concepts leave nothing of their templates' embeddings: 'xxx'"):
        embed_concepts(Letters(), concepts)
