"""Latents in a study: which images an autoencoder is trained on, and both layers' causal test."""

from functools import partial
from types import SimpleNamespace

import nets
import pytest
import toys
from torch import nn

from mdissect.concepts import ConceptSet
from mdissect.study import ProbeSpec, Setup, Study, latents, other_patients, with_latents

pytestmark = pytest.mark.slow


def study_of(spec: ProbeSpec, tmp_path, **more) -> Study:
    stub, loaded = Study.__new__(Study), {}
    profile = SimpleNamespace(setups={"M": Setup("toy", "toy")}, probes={"mammograms": spec}, top_k=5, similarity_options={})
    vars(stub).update(
        profile=profile, store=tmp_path, kept=partial(Study.kept, SimpleNamespace(store=tmp_path)), pass_options=nets.QUIET,
        probe=lambda name: loaded.setdefault(name, spec.load()), **more,
    )  # fmt: skip
    return stub


def test_further_phantoms_are_of_other_patients(tmp_path):
    study = study_of(ProbeSpec("phantom", {"n_images": 8, "seed": 7, "cache": False}), tmp_path)
    found = other_patients(study, n_images=6)
    assert len(found) == 6
    assert set(found.patients).isdisjoint(study.probe("mammograms").patients)


def test_images_of_the_same_patients_are_refused(tmp_path):
    study = study_of(ProbeSpec("phantom", {"n_images": 8, "seed": 7, "cache": False}), tmp_path)
    with pytest.raises(ValueError, match="2 patients of these images are among those of probe 'mammograms'"):
        other_patients(study, n_images=8, options={"n_images": 8})


def test_of_other_probes_nothing_is_known_without_options(tmp_path):
    assert other_patients(study_of(ProbeSpec("folder", {"path": "somewhere"}), tmp_path)) is None


def test_a_layer_and_its_latents_are_dissected_together_and_kept(tmp_path, monkeypatch):
    target = nets.target(nets.net(nn.ReLU(), nets.AvgMax(), nn.Linear(6, 1)), "2")
    monkeypatch.setattr(latents, "load_target", lambda spec, **_: target)
    monkeypatch.setattr(latents, "effects_of", lambda *_: None)
    study = study_of(ProbeSpec("phantom"), tmp_path, concepts=ConceptSet.from_list(list(toys.CONCEPTS)))
    study.probe = lambda name: nets.probe()
    study.dissector = lambda name: toys.RowDissector()
    made = with_latents(study, "M", "2", nets.probe(), n_latents=20, steps=20)
    assert made.dissection.layers == ["2", "2:sae"]
    assert made.dissection.activations["2:sae"].shape[1] == 20
    assert made.own_factors() == {}
    monkeypatch.setattr(latents, "train", lambda *_: pytest.fail("trained again"))
    again = with_latents(study, "M", "2", nets.probe(), n_latents=20, steps=20)
    assert again.dissection.labels().equals(made.dissection.labels())
