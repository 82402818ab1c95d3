"""Which loader takes a folder, and settings as part of a fingerprint."""

import json

import pytest
import toys
from miniature_families import open_clip_folder, siglip_folder
from torch import nn

from mdissect import dissect
from mdissect.models import CheckpointError, load_dissector, load_target, weights_fingerprint
from mdissect.models.families import check_family, check_folder, ends_of_thirds, show_settings


@pytest.mark.parametrize(("n", "ends"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (5, [1, 3, 4]), (12, [3, 7, 11])])
def test_ends_of_thirds(n, ends):
    assert ends_of_thirds("blocks", n) == [f"blocks.{end}" for end in ends]


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        ("clip", r": load_dissector\('clip', path=\.\.\.\) takes it$"),
        ("siglip2", "fixed resolution, such as google/siglip2-base-patch16-224$"),
        ("modernbert", ": a text model alone, without images$"),
        ("resnet", r": load_target\('hf', path=\.\.\.\) takes image models of transformers$"),
        (None, "describes None, but a 'siglip' is needed$"),
        (["siglip"], r"describes \['siglip'\], but a 'siglip' is needed"),
    ],
)
def test_another_model_type(tmp_path, found, advice):
    with pytest.raises(CheckpointError, match=advice):
        check_family({"model_type": found}, tmp_path / "config.json", "siglip")
    check_family({"model_type": "siglip", "text_config": {"hidden_size": 16}}, tmp_path / "config.json", "siglip")
    with pytest.raises(CheckpointError, match=r"config\.json, text_config: hidden_size=0"):
        check_family({"model_type": "siglip", "text_config": {"hidden_size": 0}}, tmp_path / "config.json", "siglip")
    with pytest.raises(CheckpointError, match=r"config\.json, vision_config must hold settings by name"):
        check_family({"model_type": "siglip", "vision_config": [3]}, tmp_path / "config.json", "siglip")


def test_a_folder_of_another_library(tmp_path):
    check_folder(None, "clip")
    check_folder(tmp_path / "none", "clip")
    check_folder(tmp_path, "clip")
    (tmp_path / "open_clip_config.json").write_text("{}")
    check_folder(tmp_path, "open_clip")
    for load in (load_target, load_dissector):
        with pytest.raises(CheckpointError, match=r"is a model of open_clip: load_dissector\('open_clip', path="):
            load("clip", path=tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))  # some hold both
    check_folder(tmp_path, "clip")
    check_folder(tmp_path, "open_clip")
    (tmp_path / "open_clip_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"describes 'clip': load_dissector\('clip', path=\.\.\.\) takes it"):
        check_folder(tmp_path, "open_clip")
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(CheckpointError, match=r"holds no open_clip_config\.json; its config\.json describes None"):
        check_folder(tmp_path, "open_clip")


def test_settings_are_part_of_the_fingerprint():
    plain, two, four = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    two.load_state_dict(plain.state_dict())
    four.load_state_dict(plain.state_dict())
    show_settings(two, {"heads": 2})
    show_settings(four, {"heads": 4})
    assert len({weights_fingerprint(one) for one in (plain, two, four)}) == 3
    show_settings(four, {"heads": 2})
    assert weights_fingerprint(two) == weights_fingerprint(four)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "open_clip"])
def test_a_dissection_with_each_family(tmp_path, family):
    make = {"siglip": siglip_folder, "open_clip": open_clip_folder}[family]
    make(tmp_path / "model")
    target, dissector = load_target(family, path=tmp_path / "model"), load_dissector(family, path=tmp_path / "model")
    probe = toys.toy_probe()
    options = {"concepts": ["mass", "oval mass", "calcification"], "top_k": 10, "store": tmp_path / "store"}
    found = dissect(target, dissector, probe, **options)
    labels = found.labels()
    assert set(labels["layer"]) == set(target.layers)
    assert set(labels["concept"]) <= set(options["concepts"])
    again = dissect(load_target(family, path=tmp_path / "model"), dissector, probe, **options)
    assert again.labels().equals(labels)
