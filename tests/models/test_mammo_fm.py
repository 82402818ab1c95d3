"""Mammo-FM from a checkpoint in the form of the published ones, against transformers' ModernBERT without its final norm."""

import copy
import json
import shutil

import pytest
import torch
from miniature_families import edit, in_the_cache, mammo_fm_tar, modernbert_folder
from miniature_models import B2, mammo_clip_tar, text_model
from torch import nn
from torch.nn import functional as F

from mdissect.models import CheckpointError, load_dissector, load_target
from mdissect.models.mammo_clip import PREPROCESS
from mdissect.models.mammo_fm import read_modernbert
from mdissect.models.weights import MissingWeightsError
from mdissect.preprocess import Preprocess

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.slow]
TEXTS = ["mass", "oval mass", "a calcification of 2 mm, and a mass behind it"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The .tar, ModernBERT's folder, and the parts of the model."""
    folder = tmp_path_factory.mktemp("mammo-fm")
    texts = modernbert_folder(folder / "modernbert")
    path = folder / "Mammo-FM_BatmanlabTrained_CLIP.tar"
    return path, texts, mammo_fm_tar(path, texts)


@pytest.fixture
def texts(published, tmp_path):
    return shutil.copytree(published[1], tmp_path / "modernbert")


def embedded(parts, dissector, x):
    """Images and texts as Mammo-FM's code embeds them: the last hidden state before the final norm, at the last token."""
    tower, text, image_head, text_head = parts
    text = copy.deepcopy(text)
    text.final_norm = nn.Identity()
    input_ids, attention_mask = dissector.tokenizer(TEXTS)
    with torch.inference_mode():
        states = text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        ends = states[torch.arange(len(TEXTS)), attention_mask.sum(dim=1) - 1]
        images = tower.forward_features(x).mean(dim=(2, 3))
        return F.normalize(image_head(images), dim=1), F.normalize(text_head(ends), dim=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "prefix"), [("linear", "text_encoder."), ("mlp", "text_encoder."), ("linear", "text_encoder.text_encoder.")]
)
def test_embeddings_equal_those_of_the_parts(published, tmp_path, head, prefix):
    texts, path = published[1], tmp_path / "fm.tar"
    parts = mammo_fm_tar(path, texts, head, prefix)
    before = torch.random.get_rng_state()
    dissector = load_dissector("mammo-fm", path=path, text_model=texts)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dissector.name, dissector.aligned, dissector.model.training) == ("mammo-fm", True, False)
    assert dissector.preprocess == PREPROCESS
    x = torch.rand(2, 3, 96, 64)
    images, expected = embedded(parts, dissector, x)
    torch.testing.assert_close(dissector.embed_images(x), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(dissector.embed_texts(TEXTS), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(dissector.embed_texts(TEXTS[:1]), expected[:1], atol=1e-5, rtol=0)
    assert (expected @ expected.T).fill_diagonal_(0).max() < 0.999
    assert dissector.notes[0] == "read from fm.tar; texts pooled by eos before the final norm"
    assert "image_encoder" in "; ".join(dissector.notes[1:])  # the classifier of its pretraining is left out
    torch.testing.assert_close(dissector.model.logit_scale, torch.tensor(2.659))


def test_the_state_after_the_final_norm_is_another(published):
    path, texts, parts = published
    dissector = load_dissector("mammo-fm", path=path, text_model=texts)
    _, before = embedded(parts, dissector, torch.rand(1, 3, 64, 64))
    input_ids, mask = dissector.tokenizer(TEXTS)
    with torch.inference_mode():
        states = parts[1](input_ids=input_ids, attention_mask=mask).last_hidden_state
        after = F.normalize(parts[3](states[torch.arange(3), mask.sum(dim=1) - 1]), dim=1)
    assert (before * after).sum(dim=1).min() < 0.99


@pytest.mark.slow
def test_target(published):
    path, texts, parts = published
    target = load_target("mammo-fm", path=path)
    assert target.name == "mammo-fm"
    assert target.fingerprint == load_dissector("mammo-fm", path=path, text_model=texts).image_fingerprint
    assert target.notes[0] == f"read from {path.name}"
    assert target.preprocess == PREPROCESS
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(target.module.forward_features(x), parts[0].forward_features(x), atol=1e-5, rtol=0)
    own = Preprocess(size=(64, 64))
    target = load_target("mammo-fm", path=path.parent, layers=[1], preprocess=own)
    assert (len(target.layers), target.preprocess) == (1, own)


@pytest.mark.slow
def test_other_poolings_and_lengths(published, tmp_path):
    texts, path = published[1], tmp_path / "fm.tar"
    named = {"text_encoder": {"source": "ft", "pooling": "mean"}, "projection_head": {"name": "linear", "proj_dim": 6}}
    mammo_fm_tar(path, texts, model=named, base={"text_max_length": 6})
    dissector = load_dissector("mammo-fm", path=path, text_model=texts)
    assert dissector.model.text_pool == "mean"
    assert dissector.tokenizer.max_length == 6
    with pytest.raises(ValueError, match="longer than the 6 tokens"):
        dissector.embed_texts(TEXTS)
    path = tmp_path / "plain.tar"
    mammo_fm_tar(path, texts, model=None, base=None)
    plain = load_dissector("mammo-fm", path=path, text_model=texts)
    assert (plain.model.text_pool, plain.tokenizer.max_length) == ("eos", 256)
    assert "eos before the final norm, as Mammo-FM's published settings have it (the file does not say)" in plain.notes[0]
    assert "does not say" not in dissector.notes[0]
    assert plain.text_fingerprint != dissector.text_fingerprint
    assert plain.fingerprint == dissector.fingerprint


@pytest.mark.slow
def test_fingerprints_know_the_settings(published, texts):
    one = load_dissector("mammo-fm", path=published[0], text_model=published[1])
    edit(texts / "config.json", num_attention_heads=4)  # four heads have the weights of two
    assert load_dissector("mammo-fm", path=published[0], text_model=texts).text_fingerprint != one.text_fingerprint
    assert load_dissector("mammo-fm", path=published[0], text_model=published[1]).text_fingerprint == one.text_fingerprint


def test_places_and_the_hubs_cache(published, texts, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingWeightsError) as caught:
        load_dissector("mammo-fm")
    message = str(caught.value)
    assert "1. Mammo-FM_BatmanlabTrained_CLIP.tar (or Mammo-FM_ASU_Trained_CLIP.tar), Mammo-FM: missing at" in message
    assert "2. config.json, ModernBERT-base's configuration and tokenizer: missing at" in message
    assert "3. tokenizer.json" in message
    assert "tokenizer.json of answerdotai/ModernBERT-base" in message
    place = tmp_path / "weights" / "mammo-fm"
    place.mkdir(parents=True)
    shutil.copy(published[0], place / "Mammo-FM_ASU_Trained_CLIP.tar")
    in_the_cache(texts, tmp_path / "cache", "answerdotai/ModernBERT-base")
    assert load_dissector("mammo-fm").notes[0].startswith("read from Mammo-FM_ASU_Trained_CLIP.tar")
    with pytest.raises(ValueError, match=r"'mammo-fm/b5' is unknown: Mammo-FM is named 'mammo-fm'"):
        load_target("mammo-fm/b5")


def test_a_mammo_clip_is_told(tmp_path, texts):
    path = mammo_clip_tar(tmp_path / "b2.tar", text_model(tmp_path / "bert"), B2)
    with pytest.raises(CheckpointError, match=r"holds a BERT as its text tower, .*load_dissector\('mammo-clip', checkpoint="):
        load_dissector("mammo-fm", path=path, text_model=texts)
    with pytest.raises(CheckpointError, match=r"describes 'bert', but the text tower of Mammo-FM is a 'modernbert'"):
        read_modernbert(tmp_path / "bert")


def state(**changes):
    """A checkpoint whose weights of these names (without dots) change; None takes one out."""

    def change(content, texts):
        for name, value in changes.items():
            found = next(key for key in content["model"] if key.replace(".", "_") == name)
            if value is None:
                del content["model"][found]
            else:
                content["model"][found] = value

    return change


def said(**parts):
    return lambda content, texts: content["config"]["model"].update(parts)


def drop(beginning):
    def change(content, texts):
        content["model"] = {name: one for name, one in content["model"].items() if not name.startswith(beginning)}

    return change


def bert(**changes):
    return lambda content, texts: edit(texts / "config.json", **changes)


def tokenizer(**changes):
    return lambda content, texts: edit(texts / "tokenizer.json", **changes)


def renumbered(content, texts):
    settings = json.loads((texts / "tokenizer.json").read_text())
    tokens = {one["content"]: one for one in settings["added_tokens"]}
    tokens["[CLS]"]["id"], tokens["[UNK]"]["id"] = tokens["[UNK]"]["id"], tokens["[CLS]"]["id"]
    vocabulary = settings["model"]["vocab"]
    vocabulary["[CLS]"], vocabulary["[UNK]"] = vocabulary["[UNK]"], vocabulary["[CLS]"]
    (texts / "tokenizer.json").write_text(json.dumps(settings))


def more_words(content, texts):
    settings = json.loads((texts / "tokenizer.json").read_text())
    settings["model"]["vocab"]["zz"] = 999
    (texts / "tokenizer.json").write_text(json.dumps(settings))


FAULTS = {
    "text missing": (drop("text_encoder."), "holds an image tower but no ModernBERT"),
    "image missing": (drop("image_encoder."), "holds no image tower of Mammo-FM, but"),
    "projection missing": (drop("text_projection."), r"has no text_projection\.projection\.weight"),
    "image projection missing": (drop("image_projection."), r"missing in the file: image_projection\.projection"),
    "a layer missing": (drop("text_encoder.layers.3."), r"missing in the file: text_encoder\.layers\.3"),
    "nan": (state(logit_scale=torch.tensor(torch.nan)), "values are NaN or infinite"),
    "pooling": (said(text_encoder={"pooling": "bos"}), "its config: pooling='bos'"),
    "head": (
        said(projection_head={"name": "mlp"}),
        "says name='mlp' of the projection, but its weights are of 'linear'",
    ),
    "width": (said(projection_head={"proj_dim": 512}), "its config says proj_dim=512 of the projection"),
    "kind": (said(projection_head={"name": "conv"}), "name='conv'"),
    "length": (lambda content, texts: content["config"].update(base={"text_max_length": "long"}), "text_max_length='long'"),
    "bert": (bert(model_type="bert"), "describes 'bert', but the text tower of Mammo-FM is a 'modernbert'"),
    "no sizes": (bert(hidden_size=None), r"config\.json has no hidden_size"),
    "wide": (bert(hidden_size=32), "of another shape"),
    "deep": (bert(num_hidden_layers=5, layer_types=None), r"missing in the file: text_encoder\.layers\.4"),
    "shallow": (bert(num_hidden_layers=3, layer_types=None), r"unexpected in the file: text_encoder\.layers\.3"),
    "heads": (bert(num_attention_heads=3), "no model can be built|of another shape"),
    "few words": (bert(vocab_size=40), "no model can be built from these settings"),
    "more words": (more_words, r"has ids up to 999, but .* only \d+ embeddings"),
    "no tokenizer": (lambda content, texts: (texts / "tokenizer.json").unlink(), r"1\. tokenizer\.json, ModernBERT-base"),
    "broken tokenizer": (tokenizer(model=3), "tokenizer.json is not usable"),
    "no ends": (tokenizer(post_processor=None), r"makes of a word the tokens \[.*\]; expected \[CLS\] before it"),
    "other numbers": (renumbered, r"has \[CLS\] as \d+, but .*config\.json says cls_token_id=\d+"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_cannot_be_used(published, texts, tmp_path, fault):
    change, message = FAULTS[fault]
    content = torch.load(published[0], weights_only=True)
    change(content, texts)
    torch.save(content, tmp_path / "fm.tar")
    with pytest.raises(CheckpointError, match=message):
        load_dissector("mammo-fm", path=tmp_path / "fm.tar", text_model=texts)


def test_damaged_checkpoints(published, texts, tmp_path):
    path = tmp_path / "fm.tar"
    path.write_bytes(published[0].read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"fm\.tar is cut off"):
        load_dissector("mammo-fm", path=path, text_model=texts)
    torch.save([1], path)
    with pytest.raises(CheckpointError, match="holds no named tensors but a list"):
        load_dissector("mammo-fm", path=path, text_model=texts)
    with pytest.raises(MissingWeightsError, match=r"none\.tar"):
        load_target("mammo-fm", path=tmp_path / "none.tar")
