"""SigLIP and SigLIP 2 from a local folder or the hub's cache, against transformers' own."""

import json

import pytest
import torch
from miniature_families import LENGTH, SIDE, edit, in_the_cache, siglip_folder
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from mdissect.hooks import record
from mdissect.models import CheckpointError, load_dissector, load_target
from mdissect.models.siglip import canonical
from mdissect.models.weights import MissingWeightsError
from mdissect.preprocess import Preprocess

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.slow]
TEXTS = ["mass", "Oval mass", "a calcification: mass"]


@pytest.fixture
def folder(tmp_path):
    siglip_folder(tmp_path / "siglip")
    return tmp_path / "siglip"


@pytest.mark.parametrize("second", [False, True], ids=["siglip", "siglip2"])
def test_embeddings_equal_those_of_transformers(tmp_path, second):
    hub = siglip_folder(tmp_path / "model", second)
    before = torch.random.get_rng_state()
    dissector = load_dissector("siglip", path=tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dissector.name, dissector.aligned) == ("siglip", True)
    images = torch.rand(3, 3, SIDE, SIDE)
    input_ids, _ = dissector.tokenizer(TEXTS)
    with torch.inference_mode():
        expected = hub(input_ids=input_ids, pixel_values=images)
    torch.testing.assert_close(dissector.embed_images(images), F.normalize(expected.image_embeds, dim=1), atol=1e-5, rtol=0)
    torch.testing.assert_close(dissector.embed_texts(TEXTS), F.normalize(expected.text_embeds, dim=1), atol=1e-5, rtol=0)
    assert (expected.text_embeds @ expected.text_embeds.T).fill_diagonal_(0).max() < 0.999
    for text, one in zip(TEXTS, expected.text_embeds, strict=True):
        torch.testing.assert_close(dissector.embed_texts([text])[0], one, atol=1e-5, rtol=0)


def test_texts_are_padded_to_the_full_length_without_a_mask(tmp_path):
    hub = siglip_folder(tmp_path / "model")
    dissector = load_dissector("siglip", path=tmp_path / "model")
    input_ids, mask = dissector.tokenizer(["mass", "oval mass"])
    assert input_ids.shape == (2, LENGTH)
    assert mask.sum(dim=1).tolist() == [2, 3]
    assert (input_ids[0, 1:] == 1).all()
    with torch.inference_mode():
        short = F.normalize(hub.get_text_features(input_ids=input_ids[:1, :2]).pooler_output, dim=1)
        masked = F.normalize(hub.get_text_features(input_ids=input_ids[:1], attention_mask=mask[:1]).pooler_output, dim=1)
    found = dissector.embed_texts(["mass"])
    for wrong in (short, masked):  # what a loader would give that pads as little as it can, or hides the padding
        assert F.cosine_similarity(found, wrong).item() < 0.99


def test_texts_are_those_of_the_library(tmp_path):
    from transformers import PreTrainedTokenizerFast

    for second in (False, True):
        folder = tmp_path / str(second)
        siglip_folder(folder, second)
        dissector = load_dissector("siglip", path=folder)
        given = [text.lower() if second else canonical(text) for text in TEXTS]
        pad = "<pad>" if second else "</s>"
        library = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token=pad)
        expected = library(given, padding="max_length", max_length=LENGTH, padding_side="right", return_tensors="pt").input_ids
        assert torch.equal(dissector.tokenizer(TEXTS)[0], expected)
    assert canonical("Spiculated  mass,\nBI-RADS 5.") == "spiculated mass birads 5"
    assert "lower case, no punctuation, padded to 24 tokens" in load_dissector("siglip", path=tmp_path / "False").notes[-1]
    assert "texts in lower case, padded" in dissector.notes[-1]
    assert dissector.alike(["Oval, mass", "oval, mass", "oval mass"]) == [("Oval, mass", "oval, mass")]


def test_target(tmp_path):
    hub = siglip_folder(tmp_path / "model")
    target = load_target("siglip", path=tmp_path / "model")
    assert target.fingerprint == load_dissector("siglip", path=tmp_path / "model").image_fingerprint
    assert target.layers == ("encoder.layers.1", "encoder.layers.2", "encoder.layers.3")
    assert target.preprocess == Preprocess(size=(SIDE, SIDE), scale="dtype", mean=0.5, std=0.5, interpolation="bicubic")
    assert not target.module.training
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    images = torch.rand(2, 3, SIDE, SIDE)
    with torch.inference_mode(), record(target.module, target.layers, pool="patches") as activations:
        target.module(images)
        expected = hub.vision_model(pixel_values=images, output_hidden_states=True).hidden_states[-1].mean(dim=1)
    torch.testing.assert_close(activations["encoder.layers.3"], expected, atol=1e-5, rtol=1e-4)
    own = Preprocess(size=(SIDE, SIDE))
    target = load_target("siglip", path=tmp_path / "model", layers="post_layernorm", preprocess=own)
    assert (target.layers, target.preprocess) == (("post_layernorm",), own)


def test_fingerprints_tell_models_apart(tmp_path, folder):
    siglip_folder(tmp_path / "other", seed=1)
    one, same, other = (load_dissector("siglip", path=path) for path in (folder, folder, tmp_path / "other"))
    assert (one.fingerprint, one.text_fingerprint) == (same.fingerprint, same.text_fingerprint)
    assert one.fingerprint != other.fingerprint
    assert one.text_fingerprint != other.text_fingerprint
    settings = json.loads((folder / "config.json").read_text())
    for part in ("vision_config", "text_config"):  # four heads have the weights of two
        settings[part]["num_attention_heads"] = 4
    (folder / "config.json").write_text(json.dumps(settings))
    heads = load_dissector("siglip", path=folder)
    assert heads.image_fingerprint != one.image_fingerprint
    assert heads.text_fingerprint != one.text_fingerprint
    edit(folder / "config.json", **json.loads((tmp_path / "other" / "config.json").read_text()))
    edit(folder / "tokenizer_config.json", tokenizer_class="GemmaTokenizer")  # the same tokens, punctuation kept
    cleaned = load_dissector("siglip", path=folder)
    assert cleaned.fingerprint == one.fingerprint
    assert cleaned.text_fingerprint != one.text_fingerprint


def test_the_hubs_cache(tmp_path, folder, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    with pytest.raises(MissingWeightsError, match=r"1\. config\.json, MedSigLIP.* google/medsiglip-448 .* accepting the"):
        load_dissector("siglip")
    in_the_cache(folder, cache, "google/siglip-base-patch16-224")
    named = load_dissector("siglip/google/siglip-base-patch16-224")
    assert named.text_fingerprint == load_dissector("siglip", path=folder).text_fingerprint
    with pytest.raises(MissingWeightsError, match=r"google/siglip-other with config\.json, .* is not in .* \(hf download goo"):
        load_target("siglip/google/siglip-other")
    in_the_cache(folder, cache, "google/medsiglip-448")
    assert load_dissector("siglip").fingerprint == named.fingerprint
    assert load_target("siglip/google/medsiglip-448").fingerprint == named.image_fingerprint


def test_names_that_are_none():
    with pytest.raises(ValueError, match=r"'siglip/large' is unknown: give path=.* as in 'siglip/google/medsiglip-448'"):
        load_target("siglip/large")
    with pytest.raises(ValueError, match="no name of a repository"):
        load_target("siglip/google/..")
    with pytest.raises(ValueError, match="are both given"):
        load_target("siglip/google/siglip", path="x")


def weights(folder, **changes):
    path = folder / "model.safetensors"
    state = load_file(path) | {name.replace("__", "."): value for name, value in changes.items()}
    save_file({name: value for name, value in state.items() if value is not None}, path)


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def config(part, **changes):
    def change(folder):
        settings = json.loads((folder / "config.json").read_text())
        settings[part] |= changes
        (folder / "config.json").write_text(json.dumps(settings))

    return change


def put(name, text):
    return lambda folder: (folder / name).write_text(text)


def drop(name):
    return lambda folder: (folder / name).unlink()


def no_end(folder):
    settings = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(settings | {"post_processor": None}))


FAULTS = {
    "naflex": (lambda f: edit(f / "config.json", model_type="siglip2"), r"'siglip2', .*variable resolution \(NaFlex\)"),
    "clip": (lambda f: edit(f / "config.json", model_type="clip"), r"a 'siglip' is needed: load_dissector\('clip', path="),
    "bert": (lambda f: edit(f / "config.json", model_type="bert"), "describes 'bert', .*: a text model alone"),
    "vit": (lambda f: edit(f / "config.json", model_type="vit"), r"load_target\('hf', path=\.\.\.\) takes image models"),
    "nothing": (lambda f: edit(f / "config.json", model_type=None), "describes None, but a 'siglip' is needed"),
    "huge": (config("vision_config", hidden_size=10**9), r"vision_config: hidden_size=1000000000"),
    "no json": (put("config.json", "{"), "not valid JSON"),
    "list": (put("config.json", "[]"), "holds a list, not the settings of a model"),
    "wider": (config("vision_config", hidden_size=32), "weights of another shape: .*vision_model"),
    "deeper": (config("text_config", num_hidden_layers=3), r"missing in the file: text_model\.encoder\.layers\.2"),
    "shallower": (config("text_config", num_hidden_layers=1), r"unexpected in the file: text_model\.encoder\.layers\.1"),
    "heads": (config("text_config", num_attention_heads=3), "no model can be built from these settings"),
    "no pooling": (config("vision_config", vision_use_head=False), "has no head"),
    "cut off": (cut, r"model\.safetensors is cut off or damaged"),
    "web page": (put("model.safetensors", "<!doctype html>"), "is a web page, not weights"),
    "no weights": (drop("model.safetensors"), r"1\. model\.safetensors \(or pytorch_model\.bin\).*missing at"),
    "nan": (lambda f: weights(f, logit_scale=torch.tensor([torch.nan])), "values are NaN or infinite"),
    "no head": (lambda f: weights(f, vision_model__head__probe=None), r"missing in the file: vision_model\.head\.probe"),
    "no tokenizer": (drop("tokenizer.json"), r"1\. tokenizer\.json, MedSigLIP.*missing at"),
    "no names": (drop("tokenizer_config.json"), r"tokenizer_config\.json \(or special_tokens_map\.json\)"),
    "broken tokenizer": (put("tokenizer.json", '{"model": 3}'), "the tokenizer in .* is not usable"),
    "no padding": (lambda f: edit(f / "tokenizer_config.json", pad_token=None), "has no pad_token or no eos_token"),
    "other padding": (lambda f: edit(f / "tokenizer_config.json", pad_token="<none>"), "has no special tokens <none>"),
    "small vocabulary": (config("text_config", vocab_size=20), "of another shape"),
    "no end": (no_end, r"makes of a word the tokens \[.*\]; SigLIP's texts have no token at their beginning, and '</s>'"),
    "no preparation": (drop("preprocessor_config.json"), r"1\. preprocessor_config\.json"),
    "other size": (
        lambda f: edit(f / "preprocessor_config.json", size={"height": 48, "width": 48}),
        "makes images of 48 x 48 pixels, but the image tower of .* sees 32 x 32",
    ),
    "other scale": (lambda f: edit(f / "preprocessor_config.json", rescale_factor=0.5), "scales pixel values by 0.5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_folders_that_cannot_be_used(folder, fault):
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(CheckpointError, match=message):
        load_dissector("siglip", path=folder)


def test_the_end_is_put_where_the_settings_say_so(folder):
    expected = load_dissector("siglip", path=folder).tokenizer(TEXTS)[0]
    no_end(folder)
    edit(folder / "tokenizer_config.json", add_eos_token=True, add_bos_token=False)
    assert torch.equal(load_dissector("siglip", path=folder).tokenizer(TEXTS)[0], expected)


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
def test_code_of_the_hub_is_not_asked_for(folder, name):
    expected = load_dissector("siglip", path=folder).embed_texts(TEXTS)
    edit(folder / "config.json", **{name: "lab/kernels"})
    assert torch.equal(load_dissector("siglip", path=folder).embed_texts(TEXTS), expected)


def test_a_large_tokenizer_belongs_to_another_model(tmp_path, folder):
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["model"]["vocab"] += [["zz", -1.0]]
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"has ids up to \d+, but the text tower \d+ embeddings"):
        load_dissector("siglip", path=folder)


def test_texts_that_cannot_be_read(folder):
    dissector = load_dissector("siglip", path=folder)
    with pytest.raises(ValueError, match="1 of 2 texts are longer than the 24 tokens"):
        dissector.embed_texts(["mass", "mass " * 24])
    with pytest.raises(ValueError, match=r"1 of 2 texts hold no word .*'\?!'"):
        dissector.embed_texts(["mass", "?!"])


def test_a_folder_of_open_clip_is_told(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    for load in (load_target, load_dissector):
        with pytest.raises(CheckpointError, match=r"is a model of open_clip: load_dissector\('open_clip', path="):
            load("siglip", path=tmp_path)
