"""The paper profile on miniature data: the real file formats, end to end, without network."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch
from miniature import IMAGENETTE, IMAGEWOOF, embed_tree, imagenette_tree, published_concepts, vindr_tree
from miniature_models import CLASSES, classifier_pth, clip_folder, imagenet_tower, mammo_clip_tar, text_model
from nbclient import NotebookClient
from papermill import inspect_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from mdissect.commands import doctor
from mdissect.commands.figures import find_notebooks
from mdissect.paths import data_dir
from mdissect.study import PAPER, open_study, with_local_paths
from mdissect.study.claims import PLACES
from mdissect.study.locations import read_locations
from mdissect.study.profiles import DEMO

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
N_PATIENTS, N_EMBED, PER_NATURAL, TOP_K = 24, 10, 20, 5
N_IMAGES = 4 * N_PATIENTS // 2  # every other patient is of the split "test"
PARAMETERS = {"profile": "paper", "top_k": TOP_K, "n_boot": 3}  # of each notebook that has them
LAYERS = ["blocks.0.2", "blocks.3.6", "blocks.6.2"]  # the study's blocks 2, 19 and 38 of EfficientNet-B5


@pytest.fixture(scope="module")
def locations(tmp_path_factory) -> Path:
    """A locations file that names miniature data and weights, by paths relative to it."""
    folder = tmp_path_factory.mktemp("paper")
    torch.manual_seed(0)
    published_concepts(folder / "words")
    vindr_tree(folder / "vindr", n_patients=N_PATIENTS, images="both")
    embed_tree(folder / "embed", n_patients=N_EMBED, images="both")
    imagenette_tree(folder / "nette", classes=IMAGENETTE)
    imagenette_tree(folder / "woof", classes=IMAGEWOOF)
    texts = text_model(folder / "bert")
    mammo_clip = mammo_clip_tar(folder / "mammo-clip.tar", texts)
    imagenet_tower(folder / "imagenet.safetensors")
    for seed, task in enumerate(CLASSES):
        classifier_pth(folder / f"{task}.pth", mammo_clip, task, seed)
    clip_folder(folder / "clip")
    size = "preprocess = {size = [64, 48]}"
    classifiers = "".join(f'[models."mammo-classifier/{task}"]\ncheckpoint = "{task}.pth"\n{size}\n' for task in CLASSES)
    (folder / "paths.toml").write_text(
        'concepts = "words"\n'
        '[probes.mammograms]\npath = "vindr"\n[probes.implants]\npath = "embed"\nimage_list = "embed/implants.csv"\n'
        f'[probes.imagenette]\npath = "nette"\nn_images = {PER_NATURAL}\n'
        f'[probes.imagewoof]\npath = "woof"\nn_images = {PER_NATURAL}\n'
        f'[models.mammo-clip]\ncheckpoint = "mammo-clip.tar"\ntext_model = "bert"\n{size}\n'
        f'[models.general]\ncheckpoint = "imagenet.safetensors"\ntext_model = "bert"\n{size}\n'
        f'{classifiers}[models.clip]\npath = "clip"\n'
    )
    return folder / "paths.toml"


@dataclass(frozen=True)
class Executed:
    """The cells of each notebook by its number, with their outputs, and the folder of their figures."""

    cells: dict[str, list]
    figures: Path

    def told(self, number: str) -> str:
        """All that a notebook tells in its outputs."""
        outputs = [output for cell in self.cells[number] for output in cell.get("outputs", [])]
        parts = [output.get("text", "") for output in outputs]
        parts += [output.get("data", {}).get(kind, "") for output in outputs for kind in ("text/markdown", "text/plain")]
        return "\n".join(parts)

    def settings(self, figure: str) -> dict:
        """The settings of the setups that a figure was drawn from."""
        return json.loads((self.figures / f"{figure}.json").read_text())["setups"]


@pytest.fixture(scope="module")
def executed(locations, tmp_path_factory) -> Executed:
    """All notebooks as papermill runs them, but several in one kernel, as starting one takes long; two kernels at a time."""
    figures, store = tmp_path_factory.mktemp("figures"), tmp_path_factory.mktemp("store")
    kept = data_dir() / "store" / "results"  # what has nothing to do with a profile is computed once for all
    kept.mkdir(parents=True, exist_ok=True)
    (store / "results").symlink_to(kept, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // 2, 1)))  # more threads than cores wait for each other
        patch.setenv("MDISSECT_PATHS", str(locations))
        patch.setenv("MDISSECT_STORE", str(store))
        patch.setenv("MDISSECT_FIGURES", str(figures))
        halves = list(pool.map(run_together, [("01", "02", "03", "10", "00"), ("05", "04", "07", "06", "09")]))
    return Executed(halves[0] | halves[1], figures / "paper")


def run_together(numbers: Sequence[str]) -> dict[str, list]:
    """Run notebooks one after the other in one kernel, without the names of those before; gives the cells of each."""
    together, cells = nbformat.v4.new_notebook(), {}
    for path in find_notebooks(REPOSITORY / "notebooks", numbers):
        number, known = path.name[:2], inspect_notebook(str(path))
        given = {name: value for name, value in PARAMETERS.items() if name in known}
        cells[number] = parameterize_notebook(load_notebook_node(str(path)), given).cells
        for place, cell in enumerate(cells[number]):
            cell.id = f"{number}-{place}"
        together.cells += [nbformat.v4.new_code_cell("%reset -f"), *cells[number]]
    run = {"metadata": {"path": str(REPOSITORY / "notebooks")}}
    quiet = ["--log-level=ERROR"]  # the kernel warns that it talks over a local port
    NotebookClient(
        together, timeout=600, kernel_name="python3", allow_errors=True, resources=run, extra_arguments=quiet
    ).execute()
    return cells


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", ["00", "01", "02", "03", "04", "05", "06", "07", "09", "10"])
def test_every_notebook_runs_on_the_papers_formats(number, executed):
    """As it is: to the end, with its figures, and without a word of phantoms, whose truth the paper's images do not have."""
    outputs = [output for cell in executed.cells[number] for output in cell.get("outputs", [])]
    assert [f"{o.ename}: {o.evalue}" for o in outputs if o.output_type == "error"] == []
    assert "phantom" not in executed.told(number).lower()
    made = {path.name for path in executed.figures.glob(f"{number}_*.png")}
    assert [stem for _, _, of, stem in PLACES if of == number and stem and not any(n.startswith(stem) for n in made)] == []
    assert made or number == "00"


@pytest.mark.parametrize(
    ("figure", "setups", "dissector", "n_images"),
    [
        ("01_fig4a_threshold", ["G", "G by M", "M"], "mammo-clip/b5", N_IMAGES),
        ("02_fig8_threshold", ["M", "C1", "C2", "C3", "C4"], "mammo-clip/b5", N_IMAGES),
        ("03_fig11_missed", ["M"], "mammo-clip/b5", N_IMAGES),
        ("04_fig6_implant_neuron", ["M on implants"], "mammo-clip/b5", N_EMBED),
        ("05_fig12_setups_a_b", ["A", "B"], "clip", 2 * PER_NATURAL),
        ("05_fig13_setups_c_d", ["C", "D"], "mammo-clip/b5", N_IMAGES + 2 * PER_NATURAL),
        ("06_report_card", ["G", "G by M", "M"], "mammo-clip/b5", N_IMAGES),
        ("07_where_it_responds", ["M"], "mammo-clip/b5", N_IMAGES),
    ],
)
def test_figures_are_drawn_from_the_papers_setups(figure, setups, dissector, n_images, executed):
    found = executed.settings(figure)
    assert set(found) == set(setups)
    assert found[setups[-1]]["dissector"] == dissector
    for name, of_setup in found.items():
        assert (of_setup["n_images"], of_setup["top_k"]) == (n_images, TOP_K)
        assert of_setup["dissector_aligned"] == (name not in ("G", "C"))
        assert list(of_setup["target_preprocess"]["size"]) == [64, 48]
    assert len({of_setup["target_weights"] for of_setup in found.values()}) == len(set(setups) - {"G by M"})


def test_what_the_notebooks_find_in_the_papers_tables(executed):
    """Classifiers are scored on VinDr-Mammo's labels, the report card knows findings and densities, boxes are found."""
    told = {number: executed.told(number) for number in executed.cells}
    assert told["02"].count("the probe vindr") == len(CLASSES)
    assert "not measured" not in told["02"]
    assert "calcification" in told["02"].partition("Concepts of ")[2]
    assert f"Over all {N_EMBED} images ({N_EMBED // 2} with implant)" in told["04"]
    assert "lies in an annotated calcification in" in told["04"]
    assert "The place of the calcification is not known" not in told["04"]
    known = int(told["06"].partition("M: of ")[2].partition(" concepts with known presence")[0])
    assert known >= 8
    assert "nan%" not in told["06"]


def test_every_probe_of_the_profile_is_read(locations, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    study = open_study("paper", progress=False)
    assert len(study.probe("implants")) == N_EMBED  # of the list
    assert study.profile.setups["M on implants"].top_k == 84
    assert open_study("paper", top_k=3).profile.setups["M on implants"].top_k is None
    assert study.probe("implants")[0].ndim == 2
    natural = study.probe(PAPER.setups["A"].probe)
    assert len(natural) == 2 * PER_NATURAL
    assert len(study.probe(PAPER.setups["D"].probe)) == N_IMAGES + 2 * PER_NATURAL


@pytest.mark.parametrize("images", ["png", "dicom"])
def test_both_trees_of_vindr_are_dissected(images, locations, tmp_path, monkeypatch):
    """The DICOM files come in four transfer syntaxes; prepared as they are read they show the same breasts."""
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path))
    study = open_study("paper", probe_options={"images": images}, concepts="mammography", top_k=3, progress=False)
    assert study.dissect("M").layers == LAYERS
    labels = study.dissect("M").labels()
    assert len(labels) == sum(len(scores) for scores in study.dissect("M").similarity.values())
    assert {"patient", "view", "density", "birads"} <= set(study.probe().table)


def test_paths_are_relative_to_the_file_and_reach_only_the_loaders_that_take_them(locations, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    setup = with_local_paths(PAPER).setups["G by M"]
    assert setup.target_options["checkpoint"] == str(locations.parent / "imagenet.safetensors")
    assert "text_model" not in setup.target_options
    assert setup.dissector_options["text_model"] == str(locations.parent / "bert")
    assert setup.dissector_options["preprocess"].size == (64, 48)
    assert setup.dissector_options["preprocess"].scale == "image"
    assert with_local_paths(PAPER).probes["mammograms"].options == {"split": "test", "path": str(locations.parent / "vindr")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[probes", "is not a TOML file"),
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
        with_local_paths(PAPER)


def test_a_locations_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "nowhere.toml"))
    with pytest.raises(FileNotFoundError, match=r"MDISSECT_PATHS names .*nowhere\.toml"):
        with_local_paths(PAPER)


def reported(monkeypatch, capsys) -> tuple[str, dict[str, str]]:
    """What the doctor says of the paper profile, unwrapped: the text, and the rows by what they are about."""
    monkeypatch.setattr(doctor, "WIDTHS", (1000,) * 4)
    monkeypatch.setattr(doctor, "WIDEST", 5000)
    doctor.report()
    told = capsys.readouterr().out.partition("The paper profile:")[2]
    return told, {line.partition(" | ")[0].strip(): line for line in told.splitlines() if " | " in line}


def test_the_doctor_finds_what_the_file_names(locations, monkeypatch, capsys):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    told, rows = reported(monkeypatch, capsys)
    assert str(locations.parent / "words") in "".join(row for name, row in rows.items() if name.startswith("concepts"))
    assert f"found, {N_IMAGES} images; pixels " in rows["images mammograms"]
    assert "found, for C2" in rows["weights mammo-classifier/birads"]
    assert str(locations.parent / "birads.pth") in rows["weights mammo-classifier/birads"]
    assert "found, for A, B" in rows["weights clip"]
    assert str(locations.parent / "clip") in rows["weights clip"]
    assert "paper profile ready: python -m mdissect figures --profile paper" in told


def test_the_doctor_tells_what_is_missing_and_for_which_setups(tmp_path, monkeypatch, capsys):
    (tmp_path / "paths.toml").write_text('[models.clip]\ndownload = true\n[models.general]\ncheckpoint = "none.pth"\n')
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "paths.toml"))
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    told, rows = reported(monkeypatch, capsys)
    assert "Specific_concepts_sorted.txt into " in rows["concepts 'published'"]
    assert "missing" in rows["images mammograms"]
    assert "birads.pth in " in rows["weights mammo-classifier/birads"]
    assert "missing, for C2" in rows["weights mammo-classifier/birads"]
    assert "not usable, for G, G by M, A, C" in rows["weights imagenet-b5"]
    assert "missing at none.pth" in rows["weights imagenet-b5"]
    assert "downloaded from the Hugging Face hub on first use" in rows["weights clip"]
    assert "next, for the paper profile alone:\n  - 14 of 15 are missing" in told


def test_the_file_may_name_the_concept_set(tmp_path, monkeypatch):
    (tmp_path / "words").mkdir()
    (tmp_path / "paths.toml").write_text('concepts = "words"\n')
    monkeypatch.setenv("MDISSECT_PATHS", str(tmp_path / "paths.toml"))
    assert with_local_paths(PAPER).concepts == str(tmp_path / "words")
    assert open_study("paper", concepts="mammography").profile.concepts == "mammography"


def test_the_file_is_for_the_paper_profile_alone(locations, monkeypatch):
    monkeypatch.setenv("MDISSECT_PATHS", str(locations))
    assert with_local_paths(DEMO) is DEMO
    assert open_study("demo").profile == DEMO


def test_values_that_name_no_file_stay_as_they_are(tmp_path):
    (tmp_path / "paths.toml").write_text('[probes.implants]\nsubset = "implants"\nn = 3\n')
    assert read_locations(tmp_path / "paths.toml")["probes"]["implants"] == {"subset": "implants", "n": 3}


def test_without_files_and_network_the_error_is_clear_and_quick(tmp_path):
    """Missing weights are named with where to get them, and no download is waited for."""
    program = (
        "import mdissect, mdissect.models.mammo_clip, sys, time; started = time.monotonic()\n"
        "try: mdissect.load_dissector('mammo-clip')\n"
        "except ValueError as error: print(error); print(time.monotonic() - started, file=sys.stderr)"
    )
    environment = {**os.environ, "MDISSECT_DATA": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100)
    assert "b5-model-best-epoch-7.tar" in done.stdout
    assert "shawn24/Mammo-CLIP" in done.stdout
    assert "Bio_ClinicalBERT" in done.stdout
    assert float(done.stderr.split()[-1]) < 5
