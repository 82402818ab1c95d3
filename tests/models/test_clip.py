"""CLIP models from a local folder, against transformers' own."""

import json
import shutil

import pytest
import torch
import toys
from miniature_families import in_the_cache
from miniature_models import write_clip
from torch.nn import functional as F

from mdissect.hooks import record
from mdissect.models import CheckpointError, load_dissector, load_target
from mdissect.models.weights import MissingWeightsError
from mdissect.preprocess import Preprocess

START, END = "<|startoftext|>", "<|endoftext|>"
TEXTS = ["mass", "Oval mass", "a mass mass"]


def vocabulary() -> tuple[dict[str, int], str]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    merges = ["m a", "s s</w>", "ma ss</w>"]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges), START, END]
    return {piece: i for i, piece in enumerate(pieces)}, "\n".join(["#version: 0.2", *merges]) + "\n"


@pytest.fixture(scope="module")
def hub():
    """transformers' model, tiny, with random weights."""
    from transformers import CLIPConfig, CLIPModel

    n = len(vocabulary()[0])
    text = {"vocab_size": n, "bos_token_id": n - 2, "eos_token_id": n - 1, "max_position_embeddings": 9}
    vision = {"image_size": 32, "patch_size": 8, "num_hidden_layers": 4}
    narrow = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    config = CLIPConfig(text_config=narrow | text | {"num_hidden_layers": 2}, vision_config=narrow | vision, projection_dim=12)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(config).eval()
        for parameter in model.parameters():  # far from the tiny initial values, so that texts and images differ
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture
def folder(hub, tmp_path):
    """As openai/clip-vit-base-patch16 has it on the hub, older weights with position_ids included."""
    positions = {"text_model.embeddings.position_ids": torch.arange(9)[None]}
    return write_clip(tmp_path / "clip-vit-tiny", hub, *vocabulary(), **positions)


def pooled(output):
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def test_embeddings_equal_those_of_transformers(hub, folder, no_network):
    before = torch.random.get_rng_state()
    dissector = load_dissector("clip", path=folder)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dissector.name, dissector.aligned) == ("clip", True)
    images = torch.rand(3, 3, 32, 32)
    input_ids, attention_mask = dissector.tokenizer(TEXTS)
    with torch.inference_mode():
        expected_images = F.normalize(pooled(hub.get_image_features(pixel_values=images)), dim=1)
        features = hub.get_text_features(input_ids=input_ids, attention_mask=attention_mask)
        expected_texts = F.normalize(pooled(features), dim=1)
    torch.testing.assert_close(dissector.embed_images(images), expected_images, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(dissector.embed_texts(TEXTS), expected_texts, atol=1e-5, rtol=1e-4)
    assert (expected_texts @ expected_texts.T).fill_diagonal_(0).max() < 0.999
    for text, expected in zip(TEXTS, expected_texts, strict=True):
        torch.testing.assert_close(dissector.embed_texts([text])[0], expected, atol=1e-5, rtol=1e-4)


def test_tokens(folder):
    vocab, _ = vocabulary()
    input_ids, attention_mask = load_dissector("clip", path=folder).tokenizer(["Mass", "a mass", "mass " * 7])
    mass, end = vocab["mass</w>"], vocab[END]
    assert input_ids[0].tolist() == [vocab[START], mass, *[end] * 7]
    assert input_ids[1].tolist() == [vocab[START], vocab["a</w>"], mass, *[end] * 6]
    assert input_ids[2].tolist() == [vocab[START], *[mass] * 7, end]
    assert attention_mask.sum(dim=1).tolist() == [3, 4, 9]


def test_tokenizer_json_serves_too(folder, no_network):
    from transformers import AutoTokenizer

    expected = load_dissector("clip", path=folder)
    AutoTokenizer.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    found = load_dissector("clip", path=folder)
    torch.testing.assert_close(found.embed_texts(TEXTS), expected.embed_texts(TEXTS))


def test_target(hub, folder):
    target = load_target("clip", path=folder)
    assert target.fingerprint == load_dissector("clip", path=folder).image_fingerprint
    assert target.layers == ("encoder.layers.1", "encoder.layers.2", "encoder.layers.3")
    assert target.preprocess == Preprocess(
        size=(32, 32), scale="dtype", mean=(0.48, 0.46, 0.41), std=(0.27, 0.26, 0.28), interpolation="bicubic"
    )
    assert not target.module.training
    assert not any(parameter.requires_grad for parameter in target.module.parameters())
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode(), record(target.module, target.layers, pool="cls") as activations:
        target.module(images)
        expected = hub.vision_model(pixel_values=images).last_hidden_state[:, 0]
    torch.testing.assert_close(activations["encoder.layers.3"], expected, atol=1e-5, rtol=1e-4)
    own = Preprocess(size=(32, 32))
    target = load_target("clip", path=folder, layers="post_layernorm", preprocess=own)
    assert (target.layers, target.preprocess) == (("post_layernorm",), own)


@pytest.mark.slow
def test_both_in_one_pass(folder):
    """Target and dissector are one tower: dissecting runs it once."""
    from mdissect.embed import PassOptions, embed_probe

    probe = toys.toy_probe()
    target, dissector = load_target("clip", path=folder), load_dissector("clip", path=folder)
    recording = embed_probe(target, dissector, probe, target.layers, options=PassOptions(workers=0, progress=False))
    assert recording.image_embeddings.shape == (len(probe), 12)
    assert {values.shape for values in recording.activations.values()} == {(len(probe), 16)}


def test_all_missing_files_are_listed_at_once(folder):
    for name in ("pytorch_model.bin", "vocab.json", "preprocessor_config.json"):
        (folder / name).unlink()
    with pytest.raises(MissingWeightsError) as caught:
        load_dissector("clip", path=folder)
    message = str(caught.value)
    assert "1. preprocessor_config.json, CLIP ViT-B/16: missing at" in message
    assert "2. tokenizer.json (or vocab.json), CLIP ViT-B/16: missing at" in message
    assert "3. pytorch_model.bin (or model.safetensors), CLIP ViT-B/16: missing at" in message
    assert "pytorch_model.bin of openai/clip-vit-base-patch16" in message
    with pytest.raises(MissingWeightsError, match=r"the given folder .*nowhere does not exist"):
        load_target("clip", path=folder / "nowhere")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_folders_that_cannot_be_used(hub, folder, tmp_path):
    def copy(name):
        return shutil.copytree(folder, tmp_path / name)

    siglip = copy("siglip")
    edit(siglip / "config.json", model_type="siglip")
    with pytest.raises(CheckpointError, match=r"describes 'siglip', but a 'clip' is needed: load_dissector\('siglip'"):
        load_target("clip", path=siglip)

    other = copy("other")
    torch.save({"a": torch.zeros(1)}, other / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: the weights do not fit CLIPModel"):
        load_target("clip", path=other)

    bare = copy("bare")
    (bare / "preprocessor_config.json").write_text('{"do_resize": true}')
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json has no image_mean, image_std; it has do_resize"):
        load_target("clip", path=bare)

    merges = copy("merges")
    (merges / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"neither tokenizer\.json nor merges\.txt"):
        load_dissector("clip", path=merges)
    assert load_target("clip", path=merges).name == "clip"

    wordless = copy("wordless")
    (wordless / "vocab.json").write_text(json.dumps({START: 0, END: 1}))
    (wordless / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="special tokens but no words"):
        load_dissector("clip", path=wordless)

    large = copy("large")
    vocab, _ = vocabulary()
    (large / "vocab.json").write_text(json.dumps(vocab | {"zz": 99}))
    with pytest.raises(CheckpointError, match="has ids up to 99, but the text tower 57 embeddings"):
        load_dissector("clip", path=large)

    end = copy("end")
    settings = json.loads((end / "config.json").read_text())
    edit(end / "config.json", text_config=settings["text_config"] | {"eos_token_id": 5})
    with pytest.raises(CheckpointError, match="texts end with token 56, but the text tower looks for 5"):
        load_dissector("clip", path=end)


def test_concepts_without_a_known_letter_are_an_error(folder):
    dissector = load_dissector("clip", path=folder)
    with pytest.raises(ValueError, match="1 of 2 texts hold no word of the tokenizer's vocabulary"):
        dissector.embed_texts(["42", "mass"])


def test_there_is_one_name():
    with pytest.raises(ValueError, match=r"'clip/vit' is unknown: give path=.*'clip/openai/clip-vit-base-patch16'"):
        load_target("clip/vit")


def test_texts_over_the_length_are_refused(folder):
    dissector = load_dissector("clip", path=folder)
    assert dissector.embed_texts(["mass " * 7]).shape == (1, 12)
    with pytest.raises(ValueError, match="1 of 2 texts are longer than the 9 tokens that the text tower reads: 'mass mass"):
        dissector.embed_texts(["mass", "mass " * 8])
    assert dissector.alike(["Mass", "mass", "a mass"]) == [("Mass", "mass")]


def test_pubmed_clip_from_the_hubs_cache(folder, tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    name = "flaviagiammarino/pubmed-clip-vit-base-patch32"
    with pytest.raises(MissingWeightsError, match=rf"1\. config\.json, PubMedCLIP ViT-B/32: missing .*config\.json of {name}"):
        load_dissector(f"clip/{name}")
    in_the_cache(folder, tmp_path / "cache", name)
    found = load_dissector(f"clip/{name}")
    assert found.fingerprint == load_dissector("clip", path=folder).fingerprint == load_dissector(f"clip/{name}").fingerprint
    assert load_target(f"clip/{name}").fingerprint == found.image_fingerprint
    with pytest.raises(ValueError, match="are both given: leave one of them out"):
        load_target(f"clip/{name}", path=folder)


def test_code_beside_a_tokenizer_is_not_run(folder):
    settings = {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "mine.py").write_text("raise SystemExit('run')")
    with pytest.raises(CheckpointError, match=r"the tokenizer in .* is not usable"):
        load_dissector("clip", path=folder)
