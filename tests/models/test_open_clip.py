"""Models of open_clip from a folder, against the library's own."""

import json
import shutil
import sys

import pytest
import torch
from miniature_families import (
    HF_TEXT,
    RESNET,
    SIDE,
    SQUASH,
    TEXT,
    TIMM,
    VIT,
    edit,
    in_the_cache,
    open_clip_folder,
    siglip_folder,
)  # fmt: skip
from safetensors.torch import load_file, save_file

from mdissect.hooks import record
from mdissect.models import CheckpointError, load_dissector, load_target
from mdissect.models.weights import MissingWeightsError
from mdissect.preprocess import Preprocess

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.slow]
TEXTS = ["mass", "Oval mass: don't", "a  calcification, 2 mm"]
CANONICAL = {"clean": "canonicalize"}
CLIPA = HF_TEXT | {"tokenizer_kwargs": CANONICAL | {"strip_sep_token": True}, "hf_pooler_type": "mean_pooler"}
SIGLIP_TEXT = {"hf_tokenizer_name": "siglip", "tokenizer_kwargs": CANONICAL, "pool_type": "last", "vocab_size": 60}
CASES = {
    "clip": {},
    "bin": {"safe": False, "quick_gelu": True},
    "resnet": {"vision": RESNET},
    "custom": {"custom_text": True, "vision": VIT | {"pool_type": "avg"}, "text": TEXT | {"pool_type": "last"}},
    "siglip": {
        "init_logit_bias": -10.0,
        "text": TEXT | {"tokenizer_kwargs": CANONICAL, "no_causal_mask": True},
    },
    "siglip of timm": {"init_logit_bias": -10.0, "text": TEXT | SIGLIP_TEXT},
    "biomedclip": {"text": HF_TEXT, "prepared": SQUASH},
    "clipa": {"text": CLIPA},
    "coca": {
        "custom_text": True,
        "vision": VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "text": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1, "attn_pooler_heads": 2},
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of each kind, made once, with the library's model and tokenizer."""
    known = {}

    def make(kind):
        if kind not in known:
            folder = tmp_path_factory.mktemp("open_clip") / kind
            known[kind] = (folder, *open_clip_folder(folder, **CASES[kind]))
        return known[kind]

    return make


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the small BiomedCLIP, to be changed."""
    return shutil.copytree(made("biomedclip")[0], tmp_path / "biomedclip")


@pytest.mark.parametrize("kind", CASES)
def test_embeddings_equal_those_of_the_library(made, kind):
    folder, library, tokenizer = made(kind)
    before = torch.random.get_rng_state()
    dissector = load_dissector("open_clip", path=folder)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dissector.name, dissector.aligned, dissector.model.training) == ("open_clip", True, False)
    tokens = tokenizer(TEXTS)
    assert torch.equal(dissector.tokenizer(TEXTS)[0], tokens)
    images = torch.rand(3, 3, *dissector.preprocess.size)
    with torch.inference_mode():
        expected_images, expected_texts = (
            library.encode_image(images, normalize=True),
            library.encode_text(tokens, normalize=True),
        )
    torch.testing.assert_close(dissector.embed_images(images), expected_images, atol=1e-5, rtol=0)
    torch.testing.assert_close(dissector.embed_texts(TEXTS), expected_texts, atol=1e-5, rtol=0)
    assert (expected_texts @ expected_texts.T).fill_diagonal_(0).max() < 0.99999
    torch.testing.assert_close(dissector.embed_texts(TEXTS[:1])[0], expected_texts[0], atol=1e-5, rtol=0)
    target = load_target("open_clip", path=folder)
    assert target.fingerprint == dissector.image_fingerprint
    with torch.inference_mode(), record(target.module, target.layers) as activations:
        target.module(images)
    assert all(len(values) == 3 for values in activations.activations.values())


@pytest.mark.slow
def test_a_tower_of_timm(tmp_path):
    library, _ = open_clip_folder(tmp_path / "timm", vision=TIMM)
    target = load_target("open_clip", path=tmp_path / "timm")
    assert target.layers == ("trunk.blocks.3", "trunk.blocks.7", "trunk.blocks.11")
    images = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(target.module(images), library.visual(images), atol=1e-5, rtol=0)


def test_own_tokens_are_those_of_the_library(made):
    folder, _, tokenizer = made("clip")
    texts = ["BI-RADS 4a, 12mm", "it's  x-ray\n<b>", "Ünïcode “quotes” µm", "naïve &amp; co", "a" * 30, "🙂 mass", "'s 'll"]
    assert torch.equal(load_dissector("open_clip", path=folder).tokenizer(texts, cut=True)[0], tokenizer(texts))


def test_target(made):
    folder = made("clip")[0]
    target = load_target("open_clip", path=folder)
    assert target.layers == ("transformer.resblocks.1", "transformer.resblocks.2", "transformer.resblocks.3")
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    assert target.preprocess == Preprocess(size=(SIDE, SIDE), scale="dtype", mean=mean, std=std, interpolation="bicubic")
    assert target.notes == (
        "images are resized whole to 32 x 32 (in the training: resized by the shortest side, the centre cut out)",
    )
    own = Preprocess(size=(SIDE, SIDE))
    target = load_target("open_clip", path=folder, layers="ln_post", preprocess=own)
    assert (target.layers, target.preprocess, target.notes) == (("ln_post",), own, ())
    assert load_target("open_clip", path=made("resnet")[0]).layers == ("layer1", "layer3", "layer4")


def test_the_preparation_of_the_folder(made):
    dissector = load_dissector("open_clip", path=made("biomedclip")[0])
    assert dissector.preprocess == Preprocess(size=(SIDE, SIDE), scale="dtype", mean=0.5, std=0.25, interpolation="bilinear")
    assert len(dissector.notes) == 1
    assert "settings of the text tower microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract:" in dissector.notes[0]


def test_settings_of_a_text_tower(made, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    expected = load_dissector("open_clip", path=folder).embed_texts(TEXTS)
    (folder / "text").rename(tmp_path / "elsewhere")
    given = load_dissector("open_clip", path=folder, text_model=tmp_path / "elsewhere")
    assert torch.equal(given.embed_texts(TEXTS), expected)
    with pytest.raises(CheckpointError, match=r"of another shape: .*text\.transformer"):  # those of BERT-base
        load_dissector("open_clip", path=folder)
    in_the_cache(tmp_path / "elsewhere", tmp_path / "cache", HF_TEXT["hf_model_name"])
    assert torch.equal(load_dissector("open_clip", path=folder).embed_texts(TEXTS), expected)
    config(text_cfg={"hf_model_name": "lab/other-bert"})(folder)
    with pytest.raises(
        CheckpointError, match=r"names the text tower lab/other-bert, whose config\.json is not on this machine: put"
    ):
        load_dissector("open_clip", path=folder)
    with pytest.raises(
        CheckpointError, match=r"text_model='.*cache' has no config\.json: the folder of lab/other-bert is needed"
    ):
        load_dissector("open_clip", path=folder, text_model=tmp_path / "cache")
    with pytest.raises(CheckpointError, match=r"names no text tower of transformers \(hf_model_name\): text_model= has no use"):
        load_dissector("open_clip", path=made("clip")[0], text_model=tmp_path)


def test_older_names_of_settings(folder):
    expected = load_dissector("open_clip", path=folder)
    settings = json.loads((folder / "open_clip_config.json").read_text())
    text = settings["model_cfg"]["text_cfg"]
    text |= {"proj": text.pop("hf_proj_type"), "pooler_type": text.pop("hf_pooler_type")}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    found = load_dissector("open_clip", path=folder)
    assert torch.equal(found.embed_texts(TEXTS), expected.embed_texts(TEXTS))
    assert found.text_fingerprint == expected.text_fingerprint


def test_old_weights(made, folder):
    """An index that the library drops; a CLIP's text tower beside the image tower where the model has it in a part."""
    path = folder / "open_clip_model.safetensors"
    save_file(load_file(path) | {"text.transformer.embeddings.position_ids": torch.arange(32)[None]}, path)
    assert any("position_ids" in note or "not used" in note for note in load_dissector("open_clip", path=folder).notes)
    custom, library, tokenizer = made("custom")
    flat = shutil.copytree(custom, folder.parent / "flat")
    state = {name.removeprefix("text."): one for name, one in load_file(custom / path.name).items()}
    save_file(state | {"logit_scale": state["logit_scale"].reshape(1)}, flat / path.name)
    with torch.inference_mode():
        expected = library.encode_text(tokenizer(TEXTS), normalize=True)
    torch.testing.assert_close(load_dissector("open_clip", path=flat).embed_texts(TEXTS), expected, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_fingerprints_tell_models_apart(made, tmp_path):
    one = load_dissector("open_clip", path=made("clip")[0])
    assert one.text_fingerprint == load_dissector("open_clip", path=made("clip")[0]).text_fingerprint
    for part, change in (("text_cfg", {"heads": 4}), ("vision_cfg", {"head_width": 8}), ("text_cfg", {"pool_type": "last"})):
        copy = shutil.copytree(made("clip")[0], tmp_path / "".join(change))
        config(**{part: change})(copy)
        other = load_dissector("open_clip", path=copy)
        assert (other.text_fingerprint != one.text_fingerprint) == (part == "text_cfg")
        assert (other.fingerprint != one.fingerprint) == (part == "vision_cfg")


def test_the_hubs_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        MissingWeightsError, match=r"1\. open_clip_config\.json, BiomedCLIP.* of microsoft/BiomedCLIP-PubMedBERT"
    ):
        load_dissector("open_clip")
    in_the_cache(folder, tmp_path / "cache", "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224")
    assert load_dissector("open_clip").embed_texts(TEXTS).shape == (3, 12)
    with pytest.raises(MissingWeightsError, match=r"laion/CLIP-x with open_clip_config\.json, .* \(hf download laion/CLIP-x\)"):
        load_dissector("open_clip/laion/CLIP-x")
    in_the_cache(folder, tmp_path / "cache", "laion/CLIP-x")
    assert load_target("open_clip/laion/CLIP-x").name == "open_clip"


def test_the_library_is_named_where_it_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"need the library open-clip-torch .*: pip install -e '\.\[open-clip\]'"):
        load_dissector("open_clip", path=folder)


def config(**parts):
    def change(folder):
        path = folder / "open_clip_config.json"
        settings = json.loads(path.read_text())
        for part, values in parts.items():
            place = settings if part == "preprocess_cfg" else settings["model_cfg"]
            place[part] = place.get(part, {}) | values if isinstance(values, dict) else values
        path.write_text(json.dumps(settings))

    return change


def put(name, text):
    return lambda folder: (folder / name).write_text(text)


def drop(name):
    return lambda folder: (folder / name).unlink()


def cut(folder):
    path = folder / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def more_words(folder):
    with (folder / "vocab.txt").open("a") as file:
        file.write("zz\nzzz\n")


def swap(folder):
    """A folder of transformers' SigLIP instead."""
    shutil.rmtree(folder)
    siglip_folder(folder)


CONFIG = "open_clip_config.json"
POINTER = "version https://git-lfs.github.com/spec/v1\nsize 9\n"
FAULTS = {
    "siglip": (swap, r"holds no open_clip_config\.json; its config\.json describes 'siglip': load_dissector\('siglip', path="),
    "no config": (drop(CONFIG), r"1\. open_clip_config\.json, .*missing at"),
    "broken config": (put(CONFIG, "{"), "is not valid JSON"),
    "no model": (put(CONFIG, '{"a": 1}'), r"has no model_cfg; it has a"),
    "list": (config(vision_cfg=[3]), "vision_cfg must hold settings by name"),
    "no text": (put(CONFIG, '{"model_cfg": {"embed_dim": 4, "vision_cfg": {}}}'), "model_cfg has no text_cfg"),
    "width": (config(embed_dim=-1), "embed_dim=-1"),
    "other width": (config(embed_dim=8), "of another shape"),
    "layers": (config(vision_cfg={"layers": "four"}), "layers='four'"),
    "huge": (config(vision_cfg={"width": 10**9}), "width=1000000000"),
    "unknown setting": (config(vision_cfg={"colour": 3}), "no model can be built from these settings .*colour"),
    "timm of the hub": (config(vision_cfg={"timm_model_name": "hf-hub:lab/net"}), "has no model 'hf-hub:lab/net'"),
    "timm of a folder": (config(vision_cfg={"timm_model_name": "local-dir:/tmp"}), "has no model 'local-dir:/tmp'"),
    "timm number": (config(vision_cfg={"timm_model_name": 3}), "has no model 3"),
    "text number": (config(text_cfg={"hf_model_name": 3}), "hf_model_name=3 must be a name"),
    "text name": (config(text_cfg={"hf_model_name": "a b/c d"}), r"no model can be built from these settings \(Repo id"),
    "pooler": (config(text_cfg={"hf_pooler_type": "best"}), "no model can be built from these settings"),
    "text kind": (lambda f: edit(f / "text" / "config.json", model_type="gpt2"), "describes 'gpt2'; open_clip has text"),
    "text size": (lambda f: edit(f / "text" / "config.json", hidden_size=10**9), "hidden_size=1000000000"),
    "other text": (lambda f: edit(f / "text" / "config.json", num_hidden_layers=2), "missing in the file: text"),
    "code": (config(text_cfg={"tokenizer_kwargs": {"trust_remote_code": True}}), "tokenizer_kwargs has trust_remote_code"),
    "cleaning": (config(text_cfg={"tokenizer_kwargs": {"clean": "all"}}), "clean='all'"),
    "mode": (config(text_cfg={"tokenizer_mode": "clips"}), "tokenizer_mode='clips' is not supported"),
    "mean": (config(preprocess_cfg={"mean": [1, 2]}), r"preprocess_cfg: mean=\[1, 2\] must be 3 numbers"),
    "deviation": (config(preprocess_cfg={"std": [0, 1, 1]}), "std"),
    "resizing": (config(preprocess_cfg={"resize_mode": "round"}), "resize_mode='round'"),
    "mode of colour": (config(preprocess_cfg={"mode": "L"}), "mode='L'"),
    "no weights": (drop("open_clip_model.safetensors"), r"2\. open_clip_pytorch_model\.bin \(or |1\. open_clip_pytorch_model"),
    "cut off": (cut, "is cut off or damaged"),
    "pointer": (put("open_clip_model.safetensors", POINTER), "is a git-lfs pointer"),
    "no tokenizer": (drop("vocab.txt"), r"has none of tokenizer\.json, vocab\.txt, merges\.txt"),
    "no words": (put("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"), "special tokens but no words"),
    "more words": (more_words, r"has ids up to \d+, but the text tower \d+ embeddings"),
    "padding": (lambda f: edit(f / "text" / "config.json", pad_token_id=3), "pads with 0, but the text tower leaves out 3"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_folders_that_cannot_be_used(folder, fault):
    change, message = FAULTS[fault]
    change(folder)
    with pytest.raises(CheckpointError, match=message):
        load_dissector("open_clip", path=folder)


def test_code_beside_the_files_is_not_run(folder):
    expected = load_dissector("open_clip", path=folder).embed_texts(TEXTS)
    (folder / "mine.py").write_text("raise SystemExit('run')")
    shutil.copy(folder / "mine.py", folder / "text")
    edit(folder / "text" / "config.json", auto_map={"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"})
    assert torch.equal(load_dissector("open_clip", path=folder).embed_texts(TEXTS), expected)
    edit(folder / "tokenizer_config.json", tokenizer_class="Mine", auto_map={"AutoTokenizer": ["mine.Mine", None]})
    with pytest.raises(CheckpointError, match=r"the tokenizer in .* is not usable"):
        load_dissector("open_clip", path=folder)


def test_texts_that_cannot_be_read(made):
    dissector = load_dissector("open_clip", path=made("clip")[0])
    with pytest.raises(ValueError, match="1 of 2 texts are longer than the 16 tokens"):
        dissector.embed_texts(["mass", "mass " * 15])
    with pytest.raises(ValueError, match="1 of 2 texts hold no word"):
        dissector.embed_texts(["mass", "  "])
    assert dissector.alike(["Mass", "mass", "oval"]) == [("Mass", "mass")]
