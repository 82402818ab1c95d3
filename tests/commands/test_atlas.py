"""The command atlas: results by folder, networks by name, and wrong arguments."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import dissected
from PIL import Image

from mdissect.__main__ import main
from mdissect.commands.atlas import named, targets
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.trust import predicts


@pytest.fixture
def result(tmp_path):
    """A saved result of 12 images, which stand in a folder."""
    rng, ids = np.random.default_rng(0), [f"{i:02d}.png" for i in range(12)]
    (tmp_path / "images").mkdir()
    for name in ids:
        Image.fromarray(rng.integers(0, 255, (20, 12), dtype=np.uint8)).save(tmp_path / "images" / name)
    made = Dissection(
        {"deep": rng.normal(size=(5, 3)).astype(np.float32)},
        ConceptSet.from_list(["mass", "clip", "implant"]),
        {"top_k": 4, "target": "toy"},
        {"deep": rng.normal(size=(12, 5)).astype(np.float32)},
        probe_table=pd.DataFrame({"view": ["CC", "MLO"] * 6}, index=pd.Index(ids, name="image_id")),
        notes={"deep": np.array([""] * 5, dtype=object)},
    )
    made.save(tmp_path / "M")
    return tmp_path / "M"


def test_it_writes_an_atlas_and_says_its_size(result, tmp_path, capsys):
    output = tmp_path / "atlas.html"
    images = ["--probe", "folder", "--probe-set", f"path={tmp_path / 'images'}"]
    assert main(["atlas", str(result), f"tuned={result}", *images, "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert f"{output}: 0." in said
    assert "10 neurons of 2 results; pictures of 12 of 12 images" in said
    assert "M \\u00b7 tuned" in output.read_text()
    assert '"study":{"blind":false,"seed":0,"neurons":null}' in output.read_text()
    assert main(["atlas", str(result), "--output", str(output), "--blind", "--judge", "2"]) == 0
    assert re.search(r'"study":\{"blind":true,"seed":0,"neurons":\[\d,\d\]\}', output.read_text())
    assert not output.with_suffix(".csv").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["atlas"], "required"),
        (["atlas", "nowhere"], "nowhere"),
        (["atlas", "M", "M"], "two results are called 'M'"),
        (["atlas", "=M"], "NAME=folder"),
        (["atlas", "M", "--target", "X=demo/mammo"], "no result is called 'X'"),
        (["atlas", "M", "--target", "M="], "the network is missing"),
        (["atlas", "M", "--target", "demo/mammo", "demo/C1"], "has the target demo/mammo already"),
        (["atlas", "M", "a=M", "--target", "demo/mammo"], "write NAME=demo/mammo, of M, a"),
        (["atlas", "M", "--probe-set", "n_images=3"], "--probe"),
        (["atlas", "M", "--images", "0"], "images=0"),
        (["atlas", "M", "--judge", "0"], "neurons=0"),
        (["atlas", "M", "--images", "many"], "invalid int value"),
        (["atlas", "M", "--megabytes", "nan"], "megabytes=nan"),
        (["atlas", "M", "--megabytes", "0.001"], "alone takes"),
        (["atlas", "M", "--q", "2"], "q=2"),
        (["atlas", "M", "--output", ""], "--output"),
        (["atlas", "M", "--probe", "phantoms"], "phantom"),
    ],
)
def test_mistakes_are_one_line(result, monkeypatch, capsys, given, message):
    monkeypatch.chdir(result.parent)
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (result.parent / "atlas.html").exists()


def test_names_of_results_and_networks():
    assert named(["a/M", "C=b/x", "d=e/f=g"], "RESULT") == {"M": "a/M", "C": "b/x", "d": "e/f=g"}
    assert targets(["demo/mammo"], ["M"]) == {"M": "demo/mammo"}
    assert targets(["C=timm/resnet50", "M=demo/mammo"], ["M", "C"]) == {"C": "timm/resnet50", "M": "demo/mammo"}


def test_evidence_is_measured_for_every_label(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images, texts = (rng.normal(size=(n, 8)).astype(np.float32) for n in (80, 4))
    images, texts = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (images, texts))
    neurons = (images @ rng.normal(size=(8, 3))).astype(np.float32)
    made = dissected(images @ texts.T, neurons, ["mass", "clip", "implant", "nipple"], 12, per_patient=4)
    replace(made, image_embeddings=images, text_embeddings=texts).save(tmp_path / "M")
    assert main(["atlas", str(tmp_path / "M"), "--evidence", "--output", str(tmp_path / "atlas.html")]) == 0
    data = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "atlas.html").read_text())[1])
    assert {"predicts", "predicts_low", "predicts_high", "corrected", "clarity"} <= set(data["neurons"]["attached"])
    expected = predicts(made).predicts
    np.testing.assert_allclose(np.array(data["neurons"]["attached"]["predicts"], float), expected, atol=2e-4)
    assert None not in data["neurons"]["q"] + data["neurons"]["stability"]
    assert "30 bootstrap resamples" in data["terms"]["stability"]
    with pytest.raises(SystemExit):
        main(["atlas", str(tmp_path / "M"), "--evidence", "--q", "0", "--output", str(tmp_path / "none.html")])
    assert "q=0" in capsys.readouterr().err
    replace(made, activations={}, image_concept_sims=None).save(tmp_path / "bare")
    with pytest.raises(SystemExit):
        main(["atlas", str(tmp_path / "bare"), "--evidence", "--output", str(tmp_path / "bare.html")])
    assert "activations" in capsys.readouterr().err
    assert not (tmp_path / "bare.html").exists()
