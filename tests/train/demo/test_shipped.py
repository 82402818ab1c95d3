"""The shipped demo models: their size, their vocabulary, and what they recognise."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from mdissect import load_concepts, load_dissector, load_probe, load_target
from mdissect.paths import data_dir
from mdissect.phantom.scenes import captions

pytestmark = pytest.mark.slow

SHIPPED = Path(__file__).parents[3] / "data" / "demo"
FINDINGS = {  # column of the probe's table: what is said of images with and without it
    "mass": ("mass", "no mass"),
    "calcification": ("calcification", "no calcification"),
    "implant": ("breast implant", "no implant"),
    "skin_thickening": ("skin thickening", "no skin thickening"),
}


@pytest.fixture(scope="module")
def phantoms():
    """Phantoms of a seed that no training used, and their embeddings by demo/mammo."""
    probe, dissector = load_probe("phantom", n_images=240, seed=91, cache=False), load_dissector("demo/mammo")
    images = [torch.stack([dissector.preprocess(probe[i]) for i in range(start, start + 48)]) for start in range(0, 240, 48)]
    return probe.table, torch.cat([dissector.embed_images(batch) for batch in images]).numpy(), dissector


def direction(dissector, yes: str, no: str) -> np.ndarray:
    shown, absent = dissector.embed_texts([yes, no]).numpy()
    return shown - absent


@pytest.mark.parametrize("column", FINDINGS)
def test_mammo_recognises_findings_of_unseen_phantoms(column, phantoms):
    table, embeddings, dissector = phantoms
    score = embeddings @ direction(dissector, *FINDINGS[column])
    assert roc_auc_score(table[column].map(bool), score) > 0.8


def test_mammo_tells_dense_from_fatty_breasts(phantoms):
    table, embeddings, dissector = phantoms
    extremes = table.density.isin(["A", "D"]).to_numpy()
    score = embeddings @ direction(dissector, "extremely dense breast", "almost entirely fatty breast")
    assert roc_auc_score(table.density[extremes] == "D", score[extremes]) > 0.95


@pytest.mark.parametrize("family", ["colour", "texture", "object"])
def test_clip_recognises_what_scenes_show(family):
    probe, dissector = load_probe("natural", n_images=240, seed=91, cache=False), load_dissector("demo/clip")
    images = torch.stack([dissector.preprocess(probe[i]) for i in range(len(probe))])
    embeddings = torch.cat([dissector.embed_images(part) for part in images.split(48)]).numpy()
    values = [v for v, n in probe.table[family].value_counts().items() if v and n >= 4]
    texts = dissector.embed_texts([captions.prompt(f"{family}={value}") for value in values]).numpy()
    aucs = [roc_auc_score(probe.table[family] == v, embeddings @ text) for v, text in zip(values, texts, strict=True)]
    assert np.mean(aucs) > 0.8


@pytest.mark.parametrize("name", ["mammo", "clip", "general"])
def test_every_shipped_concept_is_spelt_by_the_tokenizer(name):
    dissector = load_dissector(f"demo/{name}")
    unknown = json.loads(dissector.tokenizer.to_json())["model"]["vocab"]["[UNK]"]
    names = load_concepts("mammography").names
    input_ids, _ = dissector.tokenizer(names)
    assert [concept for concept, row in zip(names, input_ids, strict=True) if unknown in row] == []


def test_general_is_marked_as_not_aligned_and_shares_no_tower_with_mammo():
    general, mammo = load_dissector("demo/general"), load_dissector("demo/mammo")
    assert not general.aligned
    assert mammo.aligned
    assert general.image_fingerprint != mammo.image_fingerprint
    assert load_target("demo/mammo").fingerprint == mammo.image_fingerprint


def test_the_last_of_three_layers_has_128_neurons_or_more():
    target = load_target("demo/mammo")
    assert len(target.layers) >= 3
    assert dict(target.module.named_modules())[target.layers[-1]].num_features >= 128


def test_all_demo_models_together_stay_under_8_mb_and_have_a_card_each():
    assert data_dir() / "demo" == SHIPPED
    folders = [path.parent for path in SHIPPED.glob("*/config.json")]
    weight = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    assert weight < 8_000_000
    for folder in folders:
        assert "Held-out" in (folder / "README.md").read_text(encoding="utf-8")
