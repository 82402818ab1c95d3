"""`dissect` with less than all activations in its result, or with more than memory may hold."""

import numpy as np
import pandas as pd
import pytest
import torch
from toys import SMALL, toy_dissect, toy_probe, toy_target

from mdissect.dissection import Dissection
from mdissect.embed import PassOptions
from mdissect.labels import trusted_labels
from mdissect.sae import compare
from mdissect.similarity import SIMILARITIES
from mdissect.study.coverage import redundancy
from mdissect.trust import agreement, paired, predicts, stability

pytestmark = pytest.mark.slow

LITTLE = PassOptions(batch_size=48, workers=0, progress=False, memory=10**6)


@pytest.fixture
def many():
    """So many images that a result exceeds the memory allowed in these tests."""
    return toy_probe(10_000)


@pytest.mark.parametrize("rule", SIMILARITIES)
@pytest.mark.parametrize("keep", ["top", "none"])
def test_labels_do_not_depend_on_what_is_kept(planted, dissector, probe, rule, keep):
    options = {"top_fraction": 0.1} if rule == "rank_reorder" else {}
    whole = toy_dissect(planted, dissector, probe, similarity=rule, **options)
    found = toy_dissect(planted, dissector, probe, similarity=rule, keep=keep, **options)
    pd.testing.assert_frame_equal(found.labels(), whole.labels(), atol=1e-5)
    np.testing.assert_array_equal(found.notes["neurons"], whole.notes["neurons"])
    assert found.activations == {}
    assert found.image_concept_sims is None
    assert found.settings == whole.settings | {"keep": keep}


def test_the_top_images_are_kept(planted, dissector, probe, tmp_path):
    whole = toy_dissect(planted, dissector, probe, store=tmp_path / "store")
    found = toy_dissect(planted, dissector, probe, store=tmp_path / "store", keep="top")
    kept = found.top_activations["neurons"].images.shape[1]
    for k in (1, kept):
        pd.testing.assert_frame_equal(found.top_images("neurons", 2, k), whole.top_images("neurons", 2, k))
    with pytest.raises(ValueError, match=f"k={kept + 1} images of a result that keeps the {kept} strongest"):
        found.top_images("neurons", 2, kept + 1)
    with pytest.raises(IndexError, match="neuron 99 is not in layer 'neurons'"):
        found.top_images("neurons", 99)
    found.save(tmp_path / "saved")
    again = Dissection.load(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.top_images("neurons", 2, kept), whole.top_images("neurons", 2, kept))
    for result, name in ((whole, "whole.csv"), (again, "top.csv")):
        result.to_csv(tmp_path / name, images=kept)
    assert (tmp_path / "whole.csv").read_text() == (tmp_path / "top.csv").read_text()


@pytest.mark.parametrize("keep", ["top", "none"])
def test_what_needs_all_images_says_what_to_do(planted, dissector, probe, keep):
    found = toy_dissect(planted, dissector, probe, keep=keep)
    for ask in (lambda: found.labels(q=0.05), lambda: stability(found), lambda: predicts(found)):
        with pytest.raises(ValueError, match=f"it keeps '{keep}' of them.; dissect with keep=\"all\""):
            ask()
    with pytest.raises(KeyError, match="no activations of layer"):
        found.activations_of("neurons")


def test_nothing_is_left_of_a_pass_without_a_store(planted, dissector, probe, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    toy_dissect(planted, dissector, probe, keep="top")
    assert list(tmp_path.iterdir()) == []


def test_a_dissector_without_contrast_names_nothing(planted, dissector, probe, monkeypatch):
    monkeypatch.setattr(dissector, "embed_texts", lambda texts: torch.ones(len(texts), 8) / 8**0.5)
    with pytest.warns(UserWarning, match="tells none of the 8 concepts from the others"):
        found = toy_dissect(planted, dissector, probe, keep="top")
    assert set(found.labels().note) == {"no contrast"}


@pytest.mark.slow
def test_what_exceeds_the_memory_is_mapped_and_the_same(many, dissector, tmp_path):
    target = toy_target()
    whole = toy_dissect(target, dissector, many, store=tmp_path, options=SMALL)
    found = toy_dissect(target, dissector, many, store=tmp_path, options=LITTLE)
    assert isinstance(found.activations["neurons"], np.memmap)
    assert isinstance(found.image_concept_sims, np.memmap)
    np.testing.assert_array_equal(found.activations["neurons"], whole.activations["neurons"])
    np.testing.assert_array_equal(found.image_embeddings, whole.image_embeddings)
    np.testing.assert_allclose(found.image_concept_sims, whole.image_concept_sims, atol=1e-6)
    pd.testing.assert_frame_equal(found.top_images("neurons", 1), whole.top_images("neurons", 1))
    expected = trusted_labels(whole, n_null=99)
    pd.testing.assert_frame_equal(trusted_labels(found, n_null=99, memory="2MB"), expected, atol=1e-5)
    found.save(tmp_path / "saved")
    mapped, read = Dissection.load(tmp_path / "saved", lazy=True), Dissection.load(tmp_path / "saved")
    assert isinstance(mapped.activations["neurons"], np.memmap)
    for one in (mapped, read):
        np.testing.assert_array_equal(one.activations["neurons"], whole.activations["neurons"])
        pd.testing.assert_frame_equal(trusted_labels(one, n_null=99), expected, atol=1e-5)


@pytest.mark.slow
def test_what_needs_all_in_memory_is_refused_where_it_does_not_fit(many, dissector, tmp_path, monkeypatch):
    found = toy_dissect(toy_target(), dissector, many, store=tmp_path, options=LITTLE)
    monkeypatch.setattr("mdissect.labels.free_memory", lambda: 10**6)
    asked = (
        lambda: stability(found),
        lambda: agreement(found),
        lambda: paired(found, found),
        lambda: redundancy(found),
        lambda: compare(found, "neurons", "neurons"),
    )
    for ask in asked:
        with pytest.raises(ValueError, match=r"of 10000 images: 0.0 GB where 0.0 GB are free; dissect a part of the probe"):
            ask()


def test_what_fits_is_in_memory(planted, dissector, probe, tmp_path):
    options = PassOptions(batch_size=48, workers=0, progress=False, memory="1GB")
    found = toy_dissect(planted, dissector, probe, store=tmp_path, options=options)
    assert type(found.activations["neurons"]) is np.ndarray


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": "some"}, "keep='some' is not one of 'all', 'top', 'none'"),
        ({"memory": "much"}, "memory='much' is no amount of memory, such as '4GB'"),
        ({"memory": 1000}, "memory=1000 must be"),
        ({"memory": 2.5}, "memory=2.5 must be a whole number"),
        ({"memory": "-4GB"}, "memory='-4GB' is no amount"),
    ],
)
def test_options_are_checked(given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PassOptions(**given)
