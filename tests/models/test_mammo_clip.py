"""Mammo-CLIP, its classifiers and the general model, from checkpoints of the published form."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from safetensors.torch import save_file
from torch.nn import functional as F

from mdissect.embed import PassOptions
from mdissect.hooks import record
from mdissect.method import dissect
from mdissect.models import CheckpointError, load_dissector, load_target, released_name
from mdissect.models.efficientnet import VARIANTS, build_tower
from mdissect.models.mammo_clip import PREPROCESS, build_mammo_clip
from mdissect.preprocess import Preprocess

pytestmark = pytest.mark.slow

B2, B5 = VARIANTS["b2"], VARIANTS["b5"]
GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
WORDS = ["mass", "calcification", "suspicious", "no", "spiculated", "dense", "breast", "##s"]
TEXTS = ["suspicious calcifications", "no mass", "spiculated mass"]
SMALL = Preprocess(size=(64, 48), mean=0.3, std=0.25)


def relative_error(found, expected) -> float:
    found, expected = (np.asarray(values, dtype=np.float64) for values in (found, expected))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    """A folder as the one of Bio_ClinicalBERT, small."""
    folder = tmp_path_factory.mktemp("text_model")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    config = {
        "model_type": "bert",
        "vocab_size": 20,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 12,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def bert(text_model, pooler=True):
    from transformers import BertConfig, BertModel

    config = BertConfig(**json.loads((text_model / "config.json").read_text()))
    return BertModel(config, add_pooling_layer=pooler).eval()


class Published:
    """Mammo-CLIP B2 with random weights, put together from independent parts, and its state as the published files name it."""

    def __init__(self, text_model):
        package = pytest.importorskip("efficientnet_pytorch")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.image = package.EfficientNet.from_name("efficientnet-b2", include_top=False).eval()
            for weight in self.image.parameters():
                if weight.ndim == 4:
                    torch.nn.init.kaiming_normal_(weight)
            self.text = bert(text_model)
            self.projections = {"image": torch.nn.Linear(1408, 512), "text": torch.nn.Linear(16, 512)}
            self.head = torch.nn.Linear(1408, 4)
        self.tower = {f"image_encoder.{name}": tensor for name, tensor in self.image.state_dict().items()}
        self.state = self.tower | {f"text_encoder.text_encoder.{name}": t for name, t in self.text.state_dict().items()}
        self.state["text_encoder.text_encoder.embeddings.position_ids"] = torch.arange(12)[None]
        for side, linear in self.projections.items():
            self.state |= {f"{side}_projection.projection.{name}": t for name, t in linear.state_dict().items()}
        self.state["logit_scale"] = torch.tensor(2.5)

    @torch.inference_mode()
    def embed_images(self, images):
        features = self.image.extract_features(images).mean(dim=(2, 3))
        return F.normalize(self.projections["image"](features), dim=1)

    @torch.inference_mode()
    def embed_tokens(self, input_ids, attention_mask):
        states = self.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = states[torch.arange(len(states)), attention_mask.sum(dim=1) - 1]
        return F.normalize(self.projections["text"](last), dim=1)

    def classifier(self, outputs: int) -> dict:
        head = {"weight": self.head.weight[:1].repeat(outputs, 1), "bias": self.head.bias[:1].repeat(outputs)}
        return self.tower | {f"classifier.classification_head.{name}": tensor for name, tensor in head.items()}


@pytest.fixture(scope="module")
def published(text_model):
    return Published(text_model)


@pytest.fixture(scope="module")
def tar(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("b2") / "b2-model.tar"
    torch.save({"model": published.state, "config": {"model": {"name": "clip_custom"}}, "epoch": 10}, path)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden values beside the repository")
def test_golden_b5(tmp_path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("golden_inputs", GOLDEN / "golden.py")
    inputs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inputs)
    golden = np.load(GOLDEN / "mammoclip_b5.npz")
    path = tmp_path / "b5-model-best-epoch-7.tar"
    torch.save(inputs.checkpoint("mammoclip_b5"), path)
    dissector = load_dissector("mammo-clip", checkpoint=path, text_model=GOLDEN / "tinybert")
    images = inputs.images(int(golden["input_seed"]), int(golden["height"]), int(golden["width"]))
    model = dissector.model
    with torch.inference_mode(), record(dissector.image_tower, B5.layer_paths([2, 19, 38])) as activations:
        found = {
            "image_features": model.pool_image(model.image_features(images)),
            "image_embeddings": dissector.embed_images(images),
            "text_embeddings": dissector.embed_texts(inputs.TEXTS),
        }
        input_ids, attention_mask = dissector.tokenizer(inputs.TEXTS)
        states = model.text_tower(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        found["text_features"] = model.pool_text(states, attention_mask)
    found |= {f"block_{number}": activations[B5.block_path(number)] for number in (2, 19, 38)}
    assert {name: relative_error(value, golden[name]) for name, value in found.items() if name in golden}.keys() == found.keys()
    for name, value in found.items():
        assert relative_error(value, golden[name]) < 1e-5, name
    target = load_target("mammo-clip", checkpoint=path)
    assert target.name == dissector.name == "mammo-clip/b5"
    assert target.fingerprint == dissector.image_fingerprint
    assert target.layers == ("blocks.0.2", "blocks.3.6", "blocks.6.2")


def test_both_towers_equal_an_independent_model(published, tar, text_model, no_network):
    before = torch.random.get_rng_state()
    dissector = load_dissector("mammo-clip", checkpoint=tar, text_model=text_model)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (dissector.name, dissector.aligned, dissector.preprocess) == ("mammo-clip/b2", True, PREPROCESS)
    images = torch.rand(2, 3, 75, 50, generator=torch.Generator().manual_seed(0))
    assert relative_error(dissector.embed_images(images), published.embed_images(images)) < 1e-5
    tokens = dissector.tokenizer(TEXTS)
    assert tokens[0][0].tolist() == [2, 7, 6, 12, 3]
    assert relative_error(dissector.embed_texts(TEXTS), published.embed_tokens(*tokens)) < 1e-5
    assert float(dissector.model.logit_scale) == 2.5
    assert not dissector.model.training
    assert not any(parameter.requires_grad for parameter in dissector.model.parameters())
    assert dissector.notes == (
        "entries beside the weights, not used: config, epoch",
        "3 weights of the checkpoint not used, of text_encoder",
    )


@pytest.mark.slow
def test_target_is_the_dissectors_image_tower(tar, text_model):
    target = load_target("mammo-clip/b2", checkpoint=tar, preprocess=SMALL, layers=[0, 22, "bn2"])
    assert target.fingerprint == load_dissector("mammo-clip", checkpoint=tar, text_model=text_model).image_fingerprint
    assert (target.preprocess, target.layers) == (SMALL, ("blocks.0.0", "blocks.6.1", "bn2"))
    assert load_target("mammo-clip", checkpoint=tar).layers == ("blocks.0.1", "blocks.3.3", "blocks.6.1")


@pytest.mark.slow
def test_dissection_runs_the_common_tower_once(tar, text_model, tmp_path):
    target = load_target("mammo-clip", checkpoint=tar, preprocess=SMALL)
    dissector = load_dissector("mammo-clip", checkpoint=tar, text_model=text_model, preprocess=SMALL)
    runs = []
    for module in (target.module, dissector.image_tower):
        module.conv_stem.register_forward_hook(lambda module, *_: runs.append(module))
    probe = toys.toy_probe().subset(range(24))
    options = PassOptions(batch_size=12, workers=0, progress=False)
    dissection = dissect(target, dissector, probe, TEXTS, top_k=5, store=tmp_path, options=options)
    settling, batches = runs[:2], runs[2:]  # tiny passes that tell the axes come first
    assert settling == [target.module.conv_stem] * 2
    assert batches == [dissector.image_tower.conv_stem] * 2
    assert {layer: values.shape for layer, values in dissection.similarity.items()} == {
        "blocks.0.1": (16, 3),
        "blocks.3.3": (88, 3),
        "blocks.6.1": (352, 3),
    }


@pytest.mark.slow
def test_wrapped_and_own_names_are_read_too(tar, text_model, published, tmp_path):
    expected = load_dissector("mammo-clip", checkpoint=tar, text_model=text_model)
    torch.save({"model": {f"module.{name}": tensor for name, tensor in published.state.items()}}, tmp_path / "parallel.tar")
    torch.save(expected.model.state_dict(), tmp_path / "own.pth")
    for name in ("parallel.tar", "own.pth"):
        found = load_dissector("mammo-clip", checkpoint=tmp_path / name, text_model=text_model)
        assert (found.fingerprint, found.text_fingerprint) == (expected.fingerprint, expected.text_fingerprint)
        assert load_target("mammo-clip", checkpoint=tmp_path / name).fingerprint == expected.image_fingerprint


@pytest.mark.slow
def test_every_key_is_accounted_for(published, text_model, tmp_path):
    state = dict(published.state)
    del state["image_encoder._blocks.5._depthwise_conv.weight"], state["text_projection.projection.bias"]
    state["image_encoder._blocks.0._se_reduce.bias"] = torch.zeros(3)
    state["image_encoder._extra.weight"] = torch.zeros(1)
    torch.save({"model": state}, tmp_path / "odd.tar")
    with pytest.raises(CheckpointError) as caught:
        load_dissector("mammo-clip", checkpoint=tmp_path / "odd.tar", text_model=text_model)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "odd.tar"))
    missing = "image_encoder._blocks.5._depthwise_conv.weight, text_projection.projection.bias"
    assert f"2 weights missing in the file: {missing};" in message
    assert "1 weights unexpected in the file: image_encoder._extra.weight;" in message
    assert "1 weights of another shape: image_encoder._blocks.0._se_reduce.bias (file (3,), model (8,))" in message
    notes = load_target("mammo-clip", checkpoint=tmp_path / "odd.tar", strict=False).notes
    assert "not loaded: 1 weights missing in the file: image_encoder._blocks.5._depthwise_conv.weight" in notes


def test_checkpoints_of_something_else(published, tar, tmp_path):
    torch.save({"state_dict": {"layer1.0.conv1.weight": torch.zeros(2, 2)}}, tmp_path / "resnet.pth")
    with pytest.raises(
        CheckpointError, match=r"resnet\.pth holds no EfficientNet-B5 or -B2, .* but 1 weights: layer1\.0\.conv1"
    ):
        load_target("mammo-clip", checkpoint=tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"b2-model\.tar holds Mammo-CLIP b2, but b5 was asked for"):
        load_target("mammo-clip/b5", checkpoint=tar)
    with pytest.raises(ValueError, match=r"Mammo-CLIP has no variant 'b3'; use one of b2, b5"):
        load_target("mammo-clip/b3", checkpoint=tar)
    torch.save({"model": published.classifier(1)}, tmp_path / "mass.pth")
    with pytest.raises(CheckpointError, match=r"2 weights unexpected in the file: classifier\.classification_head\.bias"):
        load_target("mammo-clip", checkpoint=tmp_path / "mass.pth")


def changed(text_model, tmp_path, **files):
    """A copy of the text model's folder with other contents of files; None removes one."""
    folder = tmp_path / "changed"
    shutil.copytree(text_model, folder)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.unlink() if content is None else path.write_text(content)
    return folder


TEXT_FAULTS = {
    "no vocabulary": ({"vocab_txt": None}, r"vocab\.txt \(or tokenizer\.json\), .*: missing at"),
    "no configuration": ({"config_json": None}, r"config\.json, .*: missing at"),
    "special tokens alone": ({"vocab_txt": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"}, "special tokens but no words"),
    "no vocabulary of BERT": ({"vocab_txt": "mass\n"}, r"has no lines \[PAD\], \[UNK\], \[CLS\], \[SEP\] \(it has 1 lines\)"),
    "vocabulary too large": (
        {"vocab_txt": "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(30))])},
        "has ids up to 33, but .*config.json only 20 embeddings",
    ),
    "another kind of model": ({"config_json": '{"model_type": "gpt2", "hidden_size": 8}'}, "describes 'gpt2', but a BERT"),
    "broken JSON": ({"config_json": "{"}, r"config\.json is not valid JSON"),
    "web page": ({"vocab_txt": "<!doctype html>"}, r"vocab\.txt is a web page"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", TEXT_FAULTS)
def test_text_models_that_cannot_be_used(tar, text_model, tmp_path, fault):
    files, message = TEXT_FAULTS[fault]
    with pytest.raises(CheckpointError, match=message):
        load_dissector("mammo-clip", checkpoint=tar, text_model=changed(text_model, tmp_path, **files))


def test_concepts_without_a_known_word_are_an_error(tar, text_model):
    dissector = load_dissector("mammo-clip", checkpoint=tar, text_model=text_model)
    with pytest.raises(ValueError, match=r"1 of 2 texts hold no word of the tokenizer's vocabulary \(13 entries\): 'Kuchen'"):
        dissector.embed_texts(["Kuchen", "Dense breast"])


@pytest.mark.parametrize("lowercase", [True, False])
def test_tokens_equal_those_of_transformers(text_model, tmp_path, lowercase):
    from transformers import AutoTokenizer

    from mdissect.models import WordPieceTexts

    folder = changed(text_model, tmp_path)
    if not lowercase:
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    texts = ["No mass", "no MASS, suspicious calcifications!", "mässs breast-dense", "x mass"]
    expected = AutoTokenizer.from_pretrained(folder, local_files_only=True)(texts, padding=True)
    input_ids, attention_mask = WordPieceTexts(folder, max_length=256)(texts)
    assert input_ids.tolist() == expected["input_ids"]
    assert attention_mask.tolist() == expected["attention_mask"]


def test_texts_over_the_length_are_refused(tar, text_model):
    dissector = load_dissector("mammo-clip", checkpoint=tar, text_model=text_model)
    assert dissector.embed_texts(["mass " * 10]).shape == (1, 512)
    with pytest.raises(ValueError, match=r"1 of 2 texts are longer than the 12 tokens .*: 'mass mass .*'; shorten"):
        dissector.embed_texts(["mass", "mass " * 11])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "outputs", "classes"),
    [
        ("density", 4, ("A", "B", "C", "D")),
        ("birads", 5, ("1", "2", "3", "4", "5")),
        ("birads", 3, ()),
        ("mass", 1, ("no mass", "mass")),
        ("calcification", 1, ("no calcification", "calcification")),
        ("cancer", 1, ("no cancer", "cancer")),
    ],
)
def test_published_classifiers(published, tmp_path, task, outputs, classes):
    path = tmp_path / "fold0_best.pth"
    torch.save({"model": published.classifier(outputs), "epoch": 3}, path)
    target = load_target("mammo-classifier", checkpoint=path, task=task)
    assert (target.name, target.classes) == (f"mammo-classifier/{task}", classes)
    assert target.layers == ("blocks.0.1", "blocks.3.3", "blocks.6.1")
    images = torch.rand(2, 3, 64, 48)
    with torch.inference_mode():
        features = published.image.extract_features(images).mean(dim=(2, 3))
        expected = F.linear(features, published.head.weight[:1], published.head.bias[:1]).repeat(1, outputs)
        assert relative_error(target.module(images), expected) < 1e-5


@pytest.mark.slow
def test_own_classifiers_are_read_again(published, tmp_path):
    torch.save({"model": published.classifier(4)}, tmp_path / "density.pth")
    target = load_target("mammo-classifier/density", checkpoint=tmp_path / "density.pth")
    save_file({name: tensor.contiguous() for name, tensor in target.module.state_dict().items()}, tmp_path / "own.safetensors")
    again = load_target("mammo-classifier", checkpoint=tmp_path / "own.safetensors", task="density")
    assert again.fingerprint == target.fingerprint


def test_classifiers_that_cannot_be_used(published, tar, tmp_path):
    torch.save({"model": published.classifier(5)}, tmp_path / "birads.pth")
    with pytest.raises(CheckpointError, match=r"birads\.pth: its head has 5 outputs, a classifier of mass has 1 or 2"):
        load_target("mammo-classifier", checkpoint=tmp_path / "birads.pth", task="mass")
    with pytest.raises(CheckpointError, match=r"b2-model\.tar has no classification head .*load_target\('mammo-clip'\)"):
        load_target("mammo-classifier", checkpoint=tar, task="mass")
    for name, options in (
        ("mammo-classifier", {}),
        ("mammo-classifier/mass", {"task": "density"}),
        ("mammo-classifier/age", {}),
    ):
        with pytest.raises(ValueError, match="is unknown; use one of density, birads, mass, calcification"):
            load_target(name, checkpoint=tar, **options)


def test_preprocessing_of_the_released_pipeline():
    image = np.random.default_rng(0).integers(20, 200, (1520, 912)).astype(np.uint8)
    found = PREPROCESS(image)
    expected = image.astype(np.float32) - image.min()
    expected = (expected / expected.max() - 0.3089279) / 0.25053555408335154
    assert found.shape == (3, 1520, 912)
    torch.testing.assert_close(found, torch.from_numpy(expected).expand(3, -1, -1), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def general_files(text_model, tmp_path_factory):
    """ImageNet weights as timm and as efficientnet_pytorch names them, and a BERT with a head, a pooler and old names."""
    folder = tmp_path_factory.mktemp("general")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = build_tower(B5, num_classes=7).state_dict()
        tower = bert(text_model, pooler=False)
    save_file(state, folder / "timm.safetensors")
    renamed = {released_name(name, B5): tensor for name, tensor in state.items()}
    torch.save(renamed, folder / "efficientnet-b5.pth")
    texts = folder / "bert"
    shutil.copytree(text_model, texts)
    old = {f"bert.{name.replace('LayerNorm.weight', 'LayerNorm.gamma')}": t for name, t in tower.state_dict().items()}
    old |= {"cls.predictions.bias": torch.zeros(20), "bert.pooler.dense.bias": torch.zeros(16)}
    torch.save(old, texts / "pytorch_model.bin")
    return folder, tower


@pytest.mark.slow
def test_general_model_is_marked_as_not_aligned(general_files, text_model):
    folder, tower = general_files
    files = {"checkpoint": folder / "timm.safetensors", "text_model": folder / "bert"}
    dissector = load_dissector("general", **files)
    assert not dissector.aligned
    assert dissector.notes[0].startswith("its two towers were never aligned and its projections are random (seed 0)")
    input_ids, attention_mask = dissector.tokenizer(TEXTS)
    with torch.inference_mode():
        states = [t(input_ids=input_ids, attention_mask=attention_mask)[0] for t in (dissector.model.text_tower, tower)]
    torch.testing.assert_close(*states)
    again, other = load_dissector("general", **files), load_dissector("general", **files, seed=1)
    assert again.fingerprint == dissector.fingerprint != other.fingerprint
    assert again.text_fingerprint == dissector.text_fingerprint != other.text_fingerprint
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin \(or model\.safetensors\), BioClinicalBERT: missing at"):
        load_dissector("general", checkpoint=files["checkpoint"], text_model=text_model)

    target = load_target("general", checkpoint=folder / "efficientnet-b5.pth")
    assert target.fingerprint == dissector.image_fingerprint
    assert target.layers == B5.default_layers
    assert target.preprocess == dissector.preprocess == PREPROCESS
    assert "2 weights of the checkpoint not used, of _fc" in target.notes


def test_general_model_of_another_architecture(tar):
    with pytest.raises(CheckpointError, match=r"b2-model\.tar: the weights do not fit EfficientNet"):
        load_target("general", checkpoint=tar)
    with pytest.raises(ValueError, match="'general/b5' is unknown"):
        load_target("general/b5")


def test_building_needs_no_weights(text_model):
    model, tokenizer = build_mammo_clip(B2, text_model)
    assert model.encode_tokens(*tokenizer(TEXTS)).shape == (3, 512)


@pytest.mark.slow
def test_one_of_two_sets_of_weights(tar, tmp_path):
    state = torch.load(tar, weights_only=True)["model"]
    changed = {name: value + 1 if name == "image_encoder._bn0.bias" else value for name, value in state.items()}
    torch.save({"model": state, "model_ema": {f"module.{name}": value for name, value in changed.items()}}, tmp_path / "a.tar")
    with pytest.raises(CheckpointError, match=r"a\.tar: 2 sets of weights fit EfficientNet: 'model.*'model_ema\.module"):
        load_target("mammo-clip", checkpoint=tmp_path / "a.tar")
    first, second = (load_target("mammo-clip", checkpoint=tmp_path / "a.tar", weights=one) for one in ("model", "model_ema"))
    assert first.fingerprint == load_target("mammo-clip", checkpoint=tar).fingerprint
    torch.testing.assert_close(second.module.bn1.bias, first.module.bn1.bias + 1)
