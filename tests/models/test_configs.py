"""Settings of models in JSON files: what is wrong is named with its file and field."""

import json
import re

import miniature_models
import pytest

from mdissect.models import CheckpointError, load_dissector, load_target
from mdissect.models.clip import load_clip_target
from mdissect.models.configs import building, check_fields, check_transformer, one_number_or_list, read_settings, text_list
from mdissect.models.mammo_clip import read_bert


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b"[1]", "holds a list, not the settings of a model"),
        (b"null", "holds a NoneType, not the settings"),
        (b"[" * 200_000, "is not valid JSON"),
        (b'{"a":' * 200_000, "is not valid JSON"),
        (b" " * (5 << 20), "has 5,242,880 bytes, no settings of a model have so many"),
    ],
    ids=["empty", "cut off", "utf-16", "list", "null", "deep lists", "deep objects", "large"],
)
def test_files_that_are_no_settings(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"config\.json {message}.*; fetch it again"):
        read_settings(tmp_path / "config.json")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read \(No such file"):
        read_settings(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": "768"}, "hidden_size='768' must be a whole number from 1 to 65536"),
        ({"hidden_size": 0}, "hidden_size=0 must be"),
        ({"hidden_size": -16}, "hidden_size=-16 must be"),
        ({"hidden_size": 1.5}, "hidden_size=1.5 must be"),
        ({"hidden_size": True}, "hidden_size=True must be"),
        ({"hidden_size": None}, "hidden_size=None must be"),
        ({"hidden_size": [16]}, r"hidden_size=\[16\] must be"),
        ({"hidden_size": 10**12}, "hidden_size=1000000000000 must be"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1000000000 must be a whole number from 1 to 1000"),
        ({"vocab_size": {}}, r"vocab_size=\{\} must be"),
        ({"max_position_embeddings": "all"}, "max_position_embeddings='all' must be"),
        ({"layer_norm_eps": 0}, "layer_norm_eps=0 must be a number above 0"),
        ({"hidden_size": 65_536, "num_hidden_layers": 1000}, r"make [\d,]+ weights"),
        ({"hidden_size": 17}, "no model can be built from these settings"),
        ({"hidden_act": "no such function"}, "no model can be built from these settings"),
    ],
)
def test_wrong_fields_of_a_bert(tmp_path, changes, message):
    folder = miniature_models.text_model(tmp_path / "bert")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=rf"bert/config\.json: .*{message}"):
        read_bert(folder)


@pytest.mark.parametrize("field", ["vocab_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])
def test_missing_fields_of_a_bert(tmp_path, field):
    folder = miniature_models.text_model(tmp_path / "bert")
    settings = json.loads((folder / "config.json").read_text())
    del settings[field]
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=rf"config\.json has no {field}; it has "):
        read_bert(folder)


@pytest.mark.parametrize("content", ["{", '{"do_lower_case": "no"}', "[]"])
def test_settings_of_a_tokenizer(tmp_path, content):
    folder = miniature_models.text_model(tmp_path / "bert")
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json"):
        read_bert(folder)


def test_a_vocabulary_that_is_no_text(tmp_path):
    folder = miniature_models.text_model(tmp_path / "bert")
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\xff\n")
    with pytest.raises(CheckpointError, match=r"vocab\.txt is not text in UTF-8"):
        read_bert(folder)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("config.json", {"projection_dim": "8"}, r"config\.json: projection_dim='8' must be"),
        ("config.json", {"vision_config": 3}, r"config\.json, vision_config must hold settings by name, found 3"),
        ("config.json", {"vision_config": {"patch_size": 0}}, r"config\.json, vision_config: patch_size=0 must be"),
        ("config.json", {"text_config": {"hidden_size": "x"}}, r"config\.json, text_config: hidden_size='x' must be"),
        ("preprocessor_config.json", {"image_mean": "grey"}, r"preprocessor_config\.json: image_mean='grey' must be"),
        ("preprocessor_config.json", {"image_mean": [1, 2]}, r"image_mean=\[1, 2\] must be 3 numbers"),
        ("preprocessor_config.json", {"image_std": [1, 2, None]}, r"image_std=None must be a finite number"),
        ("preprocessor_config.json", {"image_std": [0, 1, 1]}, r"preprocessor_config\.json: no model can be built .*std="),
    ],
)
def test_wrong_fields_of_a_clip(tmp_path, file, changes, message):
    folder = miniature_models.clip_folder(tmp_path / "clip")
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        load_clip_target("", path=folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": "12"}, "embed_dim='12' must be"),
        ({"layers": "bn2"}, "layers='bn2' must be a list of at least one str"),
        ({"layers": []}, r"layers=\[\] must be"),
        ({"aligned": "yes"}, "aligned='yes' must be True or False"),
        ({"image": []}, r"image must hold settings by name, found \[\]"),
        ({"text": None}, "text must hold settings by name, found None"),
        ({"preprocess": 3}, "preprocess: .*"),
        ({"image": {"stages": [["nonsense"]], "stem": 8, "features": 24, "act": "relu", "pool": "avg"}}, "no model can be"),
        ({"image": {"stages": [], "stem": 8}}, "no model can be built .*section 'image'"),
        (
            {"text": {"hidden_size": 16}},
            "text has no vocab_size, intermediate_size, max_positions, layers, heads; it has hidden",
        ),
    ],
)
def test_wrong_fields_of_a_demo_model(tmp_path, monkeypatch, changes, message):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    _, config = miniature_models.demo_models(tmp_path / "demo", "toy")
    (tmp_path / "demo" / "toy" / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=rf"toy/config\.json.*{message}"):
        load_dissector("demo/toy")


def test_what_is_right_passes():
    check_fields(
        {"a": 3, "b": [1, 2.5, 3], "c": ["x"], "other": None}, {"b": one_number_or_list, "c": text_list}, "x.json", "a"
    )
    check_transformer({"hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 28_996}, "x.json")
    with (
        pytest.raises(CheckpointError, match=re.escape("x.json: no model can be built from these settings (KeyError)")),
        building("x.json"),
    ):
        raise KeyError
    assert load_target("demo/mammo").layers


def test_settings_that_name_code_are_left_out(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"a": 1, "attn_implementation": "lab/kernels", "text": [{"_attn_implementation": "lab/kernels", "b": 2}]}')
    assert read_settings(path) == {"a": 1, "text": [{"b": 2}]}
