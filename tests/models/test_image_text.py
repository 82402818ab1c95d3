"""New image-text models: towers of timm and transformers, saved and read again."""

import json

import numpy as np
import pytest
import timm
import torch
from miniature_models import text_model
from safetensors.torch import load_file, save_file

from mdissect.models import CheckpointError, load_dissector, load_target, new_model, save_image_text
from mdissect.models.architecture import Architecture, build_image_tower, build_text_tower
from mdissect.models.text_towers import read_text_tower
from mdissect.preprocess import Preprocess

pytestmark = pytest.mark.slow
TEXTS = ("oval mass in the left breast", "no mass")


def model_of(image="timm/test_vit", text="small", **options):
    sized = {"img_size": 32} if image == "timm/test_vit" else {}
    given = {"texts": TEXTS, "embed_dim": 12, "preprocess": Preprocess(size=(32, 32), mean=0.2, std=0.25)} | sized | options
    return new_model(image, text, **given)


def same(one, other) -> bool:
    return (one.fingerprint, one.text_fingerprint) == (other.fingerprint, other.text_fingerprint)


@pytest.mark.parametrize(
    ("image", "pool"),
    [
        ("timm/test_vit", "own"),  # tokens
        ("timm/test_resnet", "avg"),  # a map
        ("timm/test_convnext", "avg"),
        ("timm/mobilenetv3_small_050", "own"),  # a map, and convolutions behind its mean
        ("mammo-clip/b2", "avg"),
    ],
)
def test_towers_of_maps_and_tokens_are_saved_and_read(image, pool, tmp_path):
    model = model_of(image)
    assert model.model.image_pool == pool
    assert not model.aligned
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    embedded = model.embed_images(x)
    assert embedded.shape == (2, 12)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(2))
    save_image_text(model, tmp_path / "mine")
    again, target = load_dissector(tmp_path / "mine"), load_target(tmp_path / "mine")
    assert same(again, model)
    assert torch.equal(again.embed_images(x), embedded)
    assert torch.equal(again.embed_texts(TEXTS), model.embed_texts(TEXTS))
    assert (again.name, again.preprocess, again.aligned) == ("mine", model.preprocess, False)
    assert (target.layers, target.fingerprint) == (model.architecture.layers, model.image_fingerprint)
    assert load_dissector(str(tmp_path / "mine")) is again
    assert (
        load_target(tmp_path / "mine", layers="blocks.0" if image != "timm/test_resnet" else "layer1").layers != target.layers
    )


def test_seeds():
    assert same(model_of(seed=3), model_of(seed=3))
    one, other = model_of(seed=3), model_of(seed=4)
    assert one.image_fingerprint != other.image_fingerprint
    assert one.text_fingerprint != other.text_fingerprint


def test_a_tower_from_a_checkpoint(tmp_path):
    torch.manual_seed(8)
    source = timm.create_model("test_resnet", num_classes=5)
    save_file(source.state_dict(), tmp_path / "net.safetensors")
    model = model_of("timm/test_resnet", checkpoint=tmp_path / "net.safetensors")
    wanted, found = source.state_dict(), model.image_tower.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in found)


def test_a_text_tower_of_transformers_with_its_weights(tmp_path):
    folder = text_model(tmp_path / "bert")
    model = model_of(text=folder)
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(model.model.text_tower.state_dict()[words], load_file(folder / "model.safetensors")[words])
    random = model_of(text=folder, text_weights=False)
    assert not torch.equal(random.model.text_tower.state_dict()[words], load_file(folder / "model.safetensors")[words])
    assert model.model.text_pool == "eos"
    assert model.tokenizer.max_length == 64
    save_image_text(model, tmp_path / "mine")
    assert same(load_dissector(tmp_path / "mine"), model)


def byte_pair_folder(folder, kind: str, **settings):
    """A text model with a tokenizer that is not BERT's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir()
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "mass": 4, "oval": 5, "no": 6}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"model_type": kind, "vocab_size": 7, "pad_token_id": 1, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({f"{kind}.{k}": v for k, v in build_text_tower(config).state_dict().items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("kind", "length", "settings"),
    [
        ("roberta", 38, {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
                         "max_position_embeddings": 40}),
        ("distilbert", 40, {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 40}),
    ],
)  # fmt: skip
def test_text_towers_of_other_families(tmp_path, kind, length, settings):
    folder = byte_pair_folder(tmp_path / kind, kind, **settings)
    model = model_of(text=folder)
    assert model.tokenizer.max_length == length
    texts = ["oval mass", "no", "no oval mass " * 12]
    alone = torch.cat([model.embed_texts([text]) for text in texts])
    torch.testing.assert_close(model.embed_texts(texts), alone, atol=1e-5, rtol=1e-5)  # padding does not count
    save_image_text(model, tmp_path / "mine")
    again = load_dissector(tmp_path / "mine")
    assert same(again, model)
    assert torch.equal(again.embed_texts(texts[:2]), model.embed_texts(texts[:2]))


def test_models_that_are_no_encoders_of_texts_are_refused(tmp_path):
    folder = text_model(tmp_path / "bert")
    settings = json.loads((folder / "config.json").read_text())
    cases = {
        "describes no encoder of texts": {"model_type": "t5", "d_model": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 99},
        "is unknown to this version of transformers": {**settings, "model_type": "mystery"},
        "has no model_type": {"vocab_size": 60},
        "they belong to different models": {**settings, "vocab_size": 20},
    }
    for message, changed in cases.items():
        (folder / "config.json").write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=message):
            read_text_tower(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="no tokenizer at"):
        read_text_tower(folder)
    with pytest.raises(CheckpointError, match="the folder of a model of transformers is needed"):
        model_of(text=tmp_path / "nothing")


def test_code_of_a_repository_is_not_run(tmp_path):
    folder = text_model(tmp_path / "bert")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('run')")
    (folder / "config.json").write_text(json.dumps(settings | {"auto_map": {"AutoModel": "evil.Model"}}))
    tower, *_ = read_text_tower(folder)
    assert type(tower).__name__ == "BertModel"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"image": "timm/resnet81"}, ValueError, r"timm has no model 'resnet81'; closest: resnet18"),
        ({"image": "clip"}, ValueError, "image='clip' is not one of 'timm', 'mammo-clip'"),
        ({"image": "mammo-clip/b7"}, ValueError, "image='mammo-clip/b7' is not one of 'mammo-clip/b2', 'mammo-clip/b5'"),
        ({"image": "mammo-clip/b2", "img_size": 3}, TypeError, r"options of image='mammo-clip/b2' .*unknown: img_size"),
        ({"texts": ()}, ValueError, "text='small' learns its vocabulary from texts"),
        ({"embed_dim": 0}, ValueError, "embed_dim=0 must be a whole number, 1 or more"),
        ({"text_pool": "max"}, ValueError, "text_pool='max' is not one of 'mean', 'eos'"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        model_of(**arguments)


def test_what_nothing_describes_cannot_be_saved(tmp_path):
    model = model_of()
    model.architecture = None
    with pytest.raises(ValueError, match="cannot be trained on or saved: nothing describes its towers"):
        save_image_text(model, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_pool": "max"}, "image_pool='max' is not one of"),
        ({"embed_dim": 0}, "embed_dim=0 must be"),
        ({"tokens": {"pad": "[PAD]"}}, r"tokens has no special"),
        ({"image": {"kind": "odd"}}, "an image tower of kind 'odd'"),
        ({"preprocess": {"size": [0, 3]}}, "no model can be built from these settings"),
    ],
)
def test_a_config_that_is_wrong(tmp_path, changes, message):
    save_image_text(model_of(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=message):
        load_dissector(tmp_path)


def test_nothing_written_holds_a_folder(tmp_path):
    folder = text_model(tmp_path / "bert")
    model = model_of(text=folder)
    save_image_text(model, tmp_path / "mine", notes=[f"text tower of {folder}"])
    assert str(tmp_path) not in (tmp_path / "mine" / "config.json").read_text()


def test_architectures_are_plain():
    plain = model_of().architecture.plain()
    assert Architecture.parsed(json.loads(json.dumps(plain)), "here") == model_of().architecture
    built = build_image_tower({"kind": "timm", "name": "test_vit", "options": {"img_size": 32}})
    assert isinstance(built, torch.nn.Module)
    assert np.isfinite(built(torch.zeros(1, 3, 32, 32)).detach().numpy()).all()
