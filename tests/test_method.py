"""Tests of the whole method on neurons whose concepts are known."""

import json
import warnings

import numpy as np
import pytest
import torch
import toys
from torch import nn
from toys import toy_dissect

from mdissect import similarity
from mdissect.concepts import ConceptSet
from mdissect.embed import PassOptions
from mdissect.method import check_top_k, dissect
from mdissect.models import load_dissector, load_target
from mdissect.store import CHUNK_ROWS
from mdissect.trust import without_concepts

NAMED = [toys.CONCEPTS[row] for row in toys.PLANTED]


def saturated():
    """The planted network with neurons that cannot exceed 0.2, which each of their rows' 20 images reaches."""
    module = toys.Planted()
    module.neurons = nn.Hardtanh(0, 0.2)
    return load_target(module, preprocess=toys.PREPROCESS, layers=["neurons"])


@pytest.mark.parametrize("name", similarity.SIMILARITIES)
def test_planted_neurons_get_their_concept(planted, dissector, probe, name):
    options = {"top_fraction": 0.1} if name == "rank_reorder" else {}
    found = toy_dissect(planted, dissector, probe, similarity=name, **options)
    labels = found.labels()
    assert labels.concept.tolist()[:8] == NAMED
    assert labels.note.tolist()[:8] == [""] * 8
    assert found.similarity["neurons"].shape == (12, 8)
    assert found.similarity["neurons"].dtype == np.float32


def test_the_embeddings_of_the_similarities_are_kept(planted, dissector, probe):
    found = toy_dissect(planted, dissector, probe)
    assert len(found.image_embeddings) == len(probe)
    assert len(found.text_embeddings) == len(toys.CONCEPTS)
    np.testing.assert_allclose(found.image_embeddings @ found.text_embeddings.T, found.image_concept_sims, atol=1e-6)
    fewer = without_concepts(found, ["row 1", "row 5"])
    np.testing.assert_allclose(fewer.image_embeddings @ fewer.text_embeddings.T, fewer.image_concept_sims, atol=1e-6)


def test_a_dissector_of_labels_names_them_too(planted, probe):
    found = toy_dissect(planted, load_dissector("labels", probe=probe, column="row"), probe, [str(row) for row in range(8)])
    assert found.labels().concept.tolist()[:8] == [str(row) for row in toys.PLANTED]


@pytest.mark.parametrize(
    ("network", "layers"), [("cnn", ["stem", "deep"]), ("vit", ["blocks.0", "blocks.1"]), ("mlp", ["first"])]
)
def test_every_kind_of_layer_is_dissected(request, network, layers, dissector, probe):
    target = request.getfixturevalue(network)
    found = toy_dissect(target, dissector, probe, layers=layers)
    assert found.layers == layers
    assert toy_dissect(target, dissector, probe, layers=layers[0]).layers == layers[:1]
    assert toy_dissect(target, dissector, probe).layers == list(target.layers)


def test_neurons_that_cannot_be_named_say_why_and_stay_out_of_the_prior(planted, dissector, probe):
    found = toy_dissect(planted, dissector, probe)
    labels = found.labels().set_index("neuron")
    assert labels.note.tolist()[8:] == ["constant", "not finite", "tied", "constant"]
    assert labels.concept.tolist()[8:] == ["", "", "row 5", ""]
    assert labels.similarity.isna().tolist()[8:] == [True, True, False, True]
    usable = [*range(8), toys.TIED]
    activations = torch.from_numpy(found.activations["neurons"][:, usable])
    expected = similarity.soft_wpmi(torch.from_numpy(found.image_concept_sims), activations, top_k=16)
    np.testing.assert_allclose(found.similarity["neurons"][usable], expected, rtol=1e-6)


@pytest.mark.parametrize(("top_k", "note"), [(19, "tied"), (20, ""), (21, "")])
def test_ties_are_noted_where_they_leave_a_choice(dissector, probe, top_k, note):
    labels = toy_dissect(saturated(), dissector, probe, top_k=top_k).labels()
    assert labels.concept.tolist()[:8] == NAMED
    assert set(labels.note[:8]) == {note}


def test_rank_reorder_does_not_label_equal_top_activations(dissector, probe):
    labels = toy_dissect(saturated(), dissector, probe, similarity="rank_reorder", top_fraction=0.1).labels()
    assert set(labels.concept[:8]) == {""}
    assert set(labels.note[:8]) == {"tied"}


def test_a_dead_layer_gets_no_label(dissector, probe):
    module = toys.Planted()
    nn.init.zeros_(module.linear.weight)
    target = load_target(module, preprocess=toys.PREPROCESS, layers=["neurons"])
    labels = toy_dissect(target, dissector, probe).labels()
    assert labels.concept.tolist() == [""] * 12
    assert labels.note.tolist() == ["constant"] * 12


def test_images_concepts_and_batches_in_another_order_change_no_label(planted, dissector, probe):
    expected = toy_dissect(planted, dissector, probe)
    order = np.random.default_rng(0).permutation(len(probe))
    concepts = np.random.default_rng(1).permutation(toys.CONCEPTS).tolist()
    options = PassOptions(batch_size=13, workers=0, progress=False)
    found = toy_dissect(planted, dissector, probe.subset(order), concepts, options=options)
    assert found.labels().concept.tolist() == expected.labels().concept.tolist()
    columns = [concepts.index(concept) for concept in toys.CONCEPTS]
    scores = [
        one.similarity["neurons"][: toys.SIDE] for one in (found, expected)
    ]  # without the tied neuron: its choice is free
    np.testing.assert_allclose(scores[0][:, columns], scores[1], rtol=1e-5)
    np.testing.assert_allclose(found.image_concept_sims[:, columns], expected.image_concept_sims[order], rtol=1e-5)
    assert found.probe_table.index.tolist() == [probe.ids[i] for i in order]


def test_a_second_call_with_a_store_runs_no_model(planted, dissector, probe, tmp_path):
    seen = toys.Seen(planted.module)
    first = toy_dissect(planted, dissector, probe, store=tmp_path)
    assert seen.images == list(range(len(probe)))
    seen.batches.clear()
    dissector.batches.clear()
    dissector.texts.clear()
    second = toy_dissect(planted, dissector, probe, store=tmp_path)
    other_question = toy_dissect(planted, dissector, probe, store=tmp_path, top_k=10, similarity="wpmi", a=5.0)
    assert seen.batches == dissector.batches == dissector.texts == []
    np.testing.assert_array_equal(second.similarity["neurons"], first.similarity["neurons"])
    assert second.labels().equals(first.labels())
    assert other_question.labels().concept.tolist()[:8] == NAMED
    toy_dissect(planted, dissector, probe, toys.CONCEPTS[::-1], store=tmp_path)
    assert (seen.batches, dissector.batches, dissector.texts) == ([], [], toys.CONCEPTS[::-1])


def test_a_chunk_damaged_between_two_calls_is_made_again(planted, dissector, probe, tmp_path):
    expected = toy_dissect(planted, dissector, probe, store=tmp_path)
    chunk = next(tmp_path.glob("activations-*/array.zarr/c/1/0"))
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    seen = toys.Seen(planted.module)
    found = toy_dissect(planted, dissector, probe, store=tmp_path)
    assert seen.images == list(range(CHUNK_ROWS, 2 * CHUNK_ROWS))
    np.testing.assert_array_equal(found.similarity["neurons"], expected.similarity["neurons"])


def test_concepts_come_as_a_set_or_as_plain_strings(planted, dissector, probe):
    as_set = toy_dissect(planted, dissector, probe, ConceptSet.from_list(toys.CONCEPTS))
    as_list = toy_dissect(planted, dissector, probe, toys.CONCEPTS)
    assert as_set.labels().equals(as_list.labels())
    for nothing, error in (([], ValueError), ("row 1", TypeError)):
        with pytest.raises(error):
            toy_dissect(planted, dissector, probe, nothing)


def test_the_settings_tell_what_the_result_depends_on_and_are_json(planted, dissector, probe):
    settings = toy_dissect(planted, dissector, probe, lam=0.5).settings
    assert json.loads(json.dumps(settings)).keys() == settings.keys()
    expected = {"target": "Planted", "dissector": "rows", "probe": "rows", "probe_key": probe.key(), "n_images": 160}
    expected |= {"n_concepts": 8, "pool": "mean", "similarity": "soft_wpmi", "top_k": 16, "lam": 0.5, "a": 10.0}
    assert settings.items() >= expected.items()
    assert settings["target_weights"] == planted.fingerprint
    assert settings["dissector_weights"] == dissector.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 161}, "top_k=161 exceeds the 160 probe images; lower top_k"),
        ({"top_k": 0}, "top_k=0 must be a whole number, 1 or more"),
        ({"similarity": "soft_pmi"}, "similarity='soft_pmi' is not one of 'soft_wpmi', 'wpmi', 'cos_similarity', "),
        ({"lambda_": 1.0}, "soft_wpmi has no option lambda_; it has top_k, a, lam, p_start, p_end, min_prob"),
        ({"similarity": "cos_similarity", "a": 1.0}, "cos_similarity has no option a; it has none"),
        ({"layers": ["neuron"]}, "layer 'neuron' is not in Planted; closest: 'neurons'"),
        ({"layers": "neuron"}, "layer 'neuron' is not in Planted; closest: 'neurons'"),
        ({"pool": "median"}, "pool='median' is not one of 'mean', 'max', 'cls'"),
    ],
)
def test_mistakes_are_told_before_any_model_runs(planted, dissector, probe, options, message):
    seen = toys.Seen(planted.module)
    with pytest.raises(ValueError, match=message):
        toy_dissect(planted, dissector, probe, **options)
    assert seen.batches == dissector.batches == []


def test_a_concept_that_the_dissector_refuses_is_told_before_the_pass(planted, probe):
    seen = toys.Seen(planted.module)
    with pytest.raises(ValueError, match="row 9"):
        toy_dissect(planted, load_dissector("labels", probe=probe, column="row"), probe, ["1", "row 9"])
    assert seen.batches == []


def test_a_dissector_that_gives_no_numbers_is_refused(planted, dissector, probe):
    dissector.embed_images = lambda batch: torch.full((len(batch), 8), torch.nan)
    with pytest.raises(ValueError, match="image_concept_sims holds NaN or infinite values in 8 of 8 columns"):
        toy_dissect(planted, dissector, probe)


def test_half_of_the_probe_as_top_images_is_warned_of(planted, dissector, probe):
    with pytest.warns(UserWarning, match="top_k=80 is half or more of the 160 probe images: every neuron shares") as caught:
        dissect(planted, dissector, probe, toys.CONCEPTS, top_k=80, options=toys.SMALL)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_top_k(79, 160)
        toy_dissect(planted, dissector, probe.subset(slice(20)), top_k=100, similarity="cos_similarity")  # counts no top images
