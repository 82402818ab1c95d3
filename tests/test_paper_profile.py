"""The paper profile on miniature data: the real file formats, end to end, without network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from miniature import IMAGENETTE, IMAGEWOOF, embed_tree, imagenette_tree, vindr_tree
from safetensors.torch import save_file

from mdissect.efficientnet import VARIANTS, build_tower, released_name
from mdissect.headless import run_notebooks
from mdissect.locations import located, read_locations
from mdissect.mammoclip import build_mammo_clip
from mdissect.profiles import DEMO, PAPER
from mdissect.study import open_study

B2, B5 = VARIANTS["b2"], VARIANTS["b5"]
REPOSITORY = Path(__file__).parents[1]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-/'."


def text_model(folder: Path) -> Path:
    """A folder as that of Bio_ClinicalBERT, whose vocabulary spells every word."""
    from transformers import BertConfig, BertModel

    folder.mkdir()
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(pieces), max_position_embeddings=64, **shape)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    save_file(BertModel(config, add_pooling_layer=False).state_dict(), folder / "model.safetensors")
    return folder


def mammo_clip_tar(path: Path, texts: Path) -> Path:
    """A Mammo-CLIP B2 with random weights under the names of the published files."""
    model, _ = build_mammo_clip(B2, texts)
    state = {"logit_scale": model.logit_scale.data}
    for name, tensor in model.state_dict().items():
        tower, _, rest = name.partition(".")
        if tower == "image_tower":
            state[f"image_encoder.{released_name(rest, B2)}"] = tensor
        elif tower == "text_tower":
            state[f"text_encoder.text_encoder.{rest}"] = tensor
        elif rest:
            state[f"{tower}.projection.{rest}"] = tensor
    torch.save({"model": state, "config": {"model": {"name": "clip_custom"}}}, path)
    return path


@pytest.fixture(scope="module")
def locations(tmp_path_factory) -> Path:
    """A locations file that names miniature data and weights, by paths relative to it."""
    folder = tmp_path_factory.mktemp("paper")
    torch.manual_seed(0)
    vindr_tree(folder / "vindr", n_patients=4, images="both")
    embed_tree(folder / "embed", n_patients=6, images="both")
    imagenette_tree(folder / "nette", classes=IMAGENETTE)
    imagenette_tree(folder / "woof", classes=IMAGEWOOF)
    texts = text_model(folder / "bert")
    mammo_clip_tar(folder / "b2.tar", texts)
    save_file(build_tower(B5).state_dict(), folder / "b5.safetensors")
    size = "preprocess = {size = [64, 48]}"
    (folder / "paths.toml").write_text(
        '[probes.mammograms]\npath = "vindr"\n[probes.implants]\npath = "embed"\nimage_list = "embed/implants.csv"\n'
        '[probes.imagenette]\npath = "nette"\nn_images = 10\n[probes.imagewoof]\npath = "woof"\nn_images = 10\n'
        f'[models.mammo-clip]\ncheckpoint = "b2.tar"\ntext_model = "bert"\n{size}\n'
        f'[models.general]\ncheckpoint = "b5.safetensors"\ntext_model = "bert"\n{size}\n'
    )
    return folder / "paths.toml"


def test_notebook_01_runs_on_the_papers_formats(locations, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MDISSECT_FIGURES", str(tmp_path / "figures"))
    settings = ["concepts=mammography", "top_k=3", "layers=['blocks.0.1', 'blocks.3.3', 'blocks.6.1']"]
    assert run_notebooks("paper", ["01"], settings, tmp_path / "notebooks") == 0
    written = json.loads((tmp_path / "figures" / "paper" / "01_fig4a_threshold.json").read_text())
    assert set(written["setups"]) == {"G", "G by M", "M"}
    assert written["setups"]["M"]["n_images"] == 8  # every other of four patients is of the split "test"
    assert written["setups"]["M"]["dissector_aligned"]
    assert not written["setups"]["G"]["dissector_aligned"]
    assert list(written["setups"]["M"]["target_preprocess"]["size"]) == [64, 48]


def test_every_probe_of_the_profile_is_read(locations, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    study = open_study("paper", progress=False)
    assert len(study.probe("implants")) == 6  # of the list
    assert study.profile.setups["M on implants"].top_k == 84
    assert open_study("paper", top_k=3).profile.setups["M on implants"].top_k is None
    assert study.probe("implants")[0].ndim == 2
    natural = study.probe(PAPER.setups["A"].probe)
    assert len(natural) == 20
    assert len(study.probe(PAPER.setups["D"].probe)) == 28


@pytest.mark.parametrize("images", ["png", "dicom"])
def test_both_trees_of_vindr_are_dissected(images, locations, tmp_path, monkeypatch):
    """The DICOM files come in four transfer syntaxes; prepared as they are read they show the same breasts."""
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path))
    study = open_study("paper", probe_options={"images": images}, concepts="mammography", top_k=3, progress=False)
    labels = study.dissect("M").labels()
    assert len(labels) == sum(len(scores) for scores in study.dissect("M").similarity.values())
    assert {"patient", "view", "density", "birads"} <= set(study.probe().table)


def test_paths_are_relative_to_the_file_and_reach_only_the_loaders_that_take_them(locations, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    setup = located(PAPER).setups["G by M"]
    assert setup.target_options["checkpoint"] == str(locations.parent / "b5.safetensors")
    assert "text_model" not in setup.target_options
    assert setup.dissector_options["text_model"] == str(locations.parent / "bert")
    assert setup.dissector_options["preprocess"].size == (64, 48)
    assert setup.dissector_options["preprocess"].scale == "image"
    assert located(PAPER).probes["mammograms"].options == {"split": "test", "path": str(locations.parent / "vindr")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[probes", "is no TOML file"),
        ("[data.vindr]\npath = 1", "has the section data; it may have probes and models"),
        ("concepts = 763", "concepts is 763; write the name, file or folder of a concept set in quotes"),
        ("[models]\ncheckpoint = 1", r"write \[models.<name>\] above checkpoint"),
        ("[models.mamo-clip]\ncheckpoint = 1", r"profile 'paper' has no \[models.mamo-clip\]; it has clip, general"),
        ("[models.clip]\ncheckpoints = 1", r"\[models.clip\] has checkpoints; its loaders take"),
    ],
)
def test_locations_that_are_wrong(text, message, tmp_path, monkeypatch):
    (tmp_path / "paths.toml").write_text(text)
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "paths.toml"))
    with pytest.raises(ValueError, match=message):
        located(PAPER)


def test_a_locations_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "nowhere.toml"))
    with pytest.raises(FileNotFoundError, match=r"MDISSECT_PATHS names .*nowhere\.toml"):
        located(PAPER)


def test_the_file_may_name_the_concept_set(tmp_path, monkeypatch):
    (tmp_path / "words").mkdir()
    (tmp_path / "paths.toml").write_text('concepts = "words"\n')
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "paths.toml"))
    assert located(PAPER).concepts == str(tmp_path / "words")
    assert open_study("paper", concepts="mammography").profile.concepts == "mammography"


def test_the_file_is_for_the_paper_profile_alone(locations, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    assert located(DEMO) is DEMO
    assert open_study("demo").profile == DEMO


def test_values_that_name_no_file_stay_as_they_are(tmp_path):
    (tmp_path / "paths.toml").write_text('[probes.implants]\nsubset = "implants"\nn = 3\n')
    assert read_locations(tmp_path / "paths.toml")["probes"]["implants"] == {"subset": "implants", "n": 3}


def test_without_files_and_network_the_error_is_clear_and_quick(tmp_path):
    """Missing weights are named with where to get them, and no download is waited for."""
    program = (
        "import mdissect, mdissect.mammoclip, sys, time; started = time.monotonic()\n"
        "try: mdissect.load_dissector('mammo-clip')\n"
        "except ValueError as error: print(error); print(time.monotonic() - started, file=sys.stderr)"
    )
    environment = {**os.environ, "MDISSECT_DATA": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100)
    assert "b5-model-best-epoch-7.tar" in done.stdout
    assert "shawn24/Mammo-CLIP" in done.stdout
    assert "Bio_ClinicalBERT" in done.stdout
    assert float(done.stderr.split()[-1]) < 5
