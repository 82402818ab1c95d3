"""What the doctor reports, of a healthy installation and of broken ones."""

import json
import sys
from shutil import copytree

import pytest
from miniature_models import demo_models

from mdissect import __main__
from mdissect.commands import doctor
from mdissect.passing import RAY_NEEDED
from mdissect.paths import data_dir
from mdissect.study import PAPER, with_local_paths

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with concepts and a notebook, but without models; a function that saves toy models into it."""
    copytree(data_dir() / "concepts", tmp_path / "data" / "concepts")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_first.ipynb").touch()
    monkeypatch.setattr("mdissect.paths.checkout", lambda: tmp_path)
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "data"))
    for name in ("MDISSECT_STORE", "MDISSECT_FIGURES", "MDISSECT_PATHS"):
        monkeypatch.delenv(name, raising=False)

    def save(name: str, aligned: bool = True):
        demo_models(tmp_path / "data" / "demo", name, aligned=aligned)

    save.root = tmp_path
    return save


@pytest.fixture
def wide(monkeypatch):
    """Columns so wide that no cell is wrapped."""
    monkeypatch.setattr(doctor, "WIDTHS", (1000,) * 4)
    monkeypatch.setattr(doctor, "WIDEST", 5000)


def rows(shown: str) -> dict[str, doctor.Row]:
    """The rows of a report that is not wrapped, by what they are about."""
    found = [[cell.strip() for cell in line.split(" | ")] for line in shown.splitlines() if " | " in line]
    return {cells[0]: doctor.Row(*cells) for cells in found}


def test_a_healthy_installation(checkout, wide, capsys):
    for name in doctor.DEMO_MODELS:
        checkout(name, aligned=name != "general")
    (checkout.root / "data" / "store").mkdir()
    (checkout.root / "data" / "store" / "kept").write_bytes(bytes(2_500_000))
    assert __main__.main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("mdissect 0.1.0, Python 3.")
    assert f"data folder (`data` below): {checkout.root / 'data'}\n" in told
    assert "demo ready: run `make figures`" in told
    found = rows(told)
    assert found["libraries"].state.startswith("all ")
    assert found["device"].state.startswith(("cpu, ", "cuda, "))
    assert found["concepts mammography"].state.startswith("found, 7")
    assert found["notebooks"].state == "found: 01"
    assert found["store"][:3] == ("store", "2.5 MB", "data/store")
    assert found["generated images"].state == "empty"
    assert found["model demo/mammo"] == ("model demo/mammo", "found", "data/demo/mammo", "")
    assert found["model demo/general"].state == f"found; {doctor.NOT_ALIGNED}"


def test_models_that_no_profile_needs(checkout, wide, monkeypatch, capsys):
    __main__.main(["doctor"])
    found = rows(capsys.readouterr().out)
    assert found["weights siglip"].state == "not here: MedSigLIP, or any SigLIP of fixed resolution"
    assert found["weights open_clip"].how == "Hugging Face hub: microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
    assert found["weights mammo-fm"].state == "not here: Mammo-FM"
    snapshot = checkout.root / "hub" / "models--answerdotai--ModernBERT-base" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (snapshot / name).write_text("{}")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(checkout.root / "hub"))
    place = checkout.root / "data" / "weights" / "mammo-fm"
    place.mkdir(parents=True)
    (place / "Mammo-FM_ASU_Trained_CLIP.tar").write_text("<html>")
    __main__.main(["doctor"])
    found = rows(capsys.readouterr().out)
    assert found["weights modernbert"].state == "found"
    assert found["weights mammo-fm"].state == "not usable"
    assert "is a web page, not weights" in found["weights mammo-fm"].how


@pytest.mark.parametrize("threads", [1, 2])
def test_the_device_in_words(threads, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert doctor._device([]) == [doctor.Row("device", "cpu, 1 thread" if threads == 1 else "cpu, 2 threads")]


@pytest.mark.parametrize(
    ("there", "state", "how"),
    [
        ({"ray": "2.60.0", "pyarrow": "26.0"}, "found, 2.60.0", ""),
        ({"ray": "2.60.0"}, "no pyarrow (not needed)", "pip install 'ray[data]'"),
        ({}, "no ray, pyarrow (not needed)", "pip install 'ray[data]'"),
    ],
)
def test_ray_is_found_or_not_and_never_needed(monkeypatch, there, state, how):
    def version(name):
        if name in there:
            return there[name]
        raise doctor.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    steps = []
    assert doctor._ray(steps) == [doctor.Row("Ray, for clusters", state, "", how)]
    assert (steps, doctor.RAY) == ([], RAY_NEEDED)


def test_the_report_is_at_most_100_columns_wide(checkout, capsys):
    checkout("clip")
    __main__.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines if str(checkout.root) not in line) <= 100
    assert doctor.WIDEST == 100


@pytest.mark.parametrize(
    "cells",
    [
        ("", "", "", ""),
        ("a" * 300, "b c " * 90, "d/e_f" * 70, "g-h" * 100),
        ("weights mammo-classifier/calcification", "missing, for C4", "data/weights/mammo-classifier", "see data/README.md"),
        ("Wörter | pipes", "tab\tand\nnewline", "/" * 120, "_" * 99),
    ],
)
def test_any_row_is_wrapped_and_nothing_is_lost(cells):
    lines = doctor.table([doctor.Row(*cells)])[2:]
    assert max(map(len, lines)) <= doctor.WIDEST
    starts = [sum(doctor.WIDTHS[:i]) + 3 * i for i in range(4)]
    shown = ["".join(line[start : start + width] for line in lines) for start, width in zip(starts, doctor.WIDTHS, strict=True)]
    assert ["".join(cell.split()) for cell in shown] == ["".join(cell.split()) for cell in cells]


def test_paths_are_wrapped_at_their_parts():
    lines = doctor.table([doctor.Row("weights", "", "data/weights/clip-vit-base-patch16/model.safetensors")])[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["data/weights/", "clip-vit-base-patch16/", "model.safetensors"]


def test_without_demo_models(checkout, wide, capsys):
    checkout("clip")
    (checkout.root / "data" / "demo" / "clip" / "model.safetensors").write_bytes(b"broken")
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    found = rows(told)
    assert found["model demo/mammo"].state == "not usable"
    assert found["model demo/mammo"].how.startswith("no demo model 'mammo'")
    assert found["model demo/clip"].state == "not usable"
    assert "demo ready" not in told
    assert "  - restore data/demo, or train the models: python -m mdissect pretrain mammo clip general\n" in told


def test_without_data(monkeypatch, wide, tmp_path, capsys):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert rows(told)["concepts mammography"].state == "missing or damaged"
    assert told.count("no data folder at") >= 3
    assert "  - restore data/concepts/mammography.csv: no data folder at " in told


def test_without_a_library(checkout, wide, monkeypatch, capsys):
    version = doctor.importlib.metadata.version

    def found(name: str) -> str:
        if name in ("torch", "wordcloud"):
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", found)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert doctor.report() == 1
    told = capsys.readouterr().out
    assert rows(told)["libraries"].state == "missing: torch, wordcloud"
    assert rows(told)["device"][1:] == ("unknown", "", "import of torch halted; None in sys.modules")
    assert "  - install torch, wordcloud (pip install -e . installs all libraries)\n" in told
    assert told.count("repair the installation") == 1


def test_with_a_full_disk(checkout, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 10**18)
    assert doctor.report() == 1
    assert "  - free some disk space; " in capsys.readouterr().out


DAMAGED_PATHS = {
    "no TOML": (b"[probes", "is not a TOML file"),
    "latin-1": ("concepts = 'Wörter'".encode("latin-1"), r"is not in UTF-8 \(byte 13\); save it as UTF-8"),
    "UTF-16": ("concepts = 'x'".encode("utf-16"), "is not in UTF-8"),
    "twice": (b"concepts = 'a'\nconcepts = 'b'", "is not a TOML file"),
    "Windows path": (b'concepts = "C:\\data"', "is not a TOML file"),
    "deep": (b"a = " + b"[" * 100_000, "is not a TOML file"),
    "a number": (b"probes = 3", r"probes is 3; write \[probes.<name>\] above its options"),
    "a list": (b"models = ['clip']", r"models is \['clip'\]; write \[models.<name>\]"),
    "tables": (b"[[models]]\npath = 'x'", r"models is .*; write \[models.<name>\]"),
    "no section": (b"[probes]\nvindr = 'x'", r"write \[probes.<name>\] above vindr"),
    "another section": (b"[data.vindr]\npath = 'x'", "has the section data; it may have probes and models"),
    "concepts": (b"concepts = ['a', 'b']", r"concepts is \['a', 'b'\]; write the name"),
    "unknown probe": (b"[probes.vindr]\npath = 'x'", r"has no \[probes.vindr\]; it has imagenette"),
    "unknown model": (b"[models.clop]\npath = 'x'", r"has no \[models.clop\]; it has clip"),
    "unknown option of a probe": (b"[probes.mammograms]\npaht = 'x'", r"\[probes.mammograms\] has paht; its loaders take"),
    "unknown option of a model": (b"[models.clip]\ncheckpoint = 'x'", r"\[models.clip\] has checkpoint; its loaders take"),
    "path": (b"[probes.mammograms]\npath = 5", r"\[probes.mammograms\]: path=5 must be a path"),
    "empty path": (b"[probes.implants]\npath = ''", r"\[probes.implants\]: path='' is empty"),
    "paths": (b"[models.general]\ncheckpoint = ['a']", r"\[models.general\]: checkpoint=\['a'\] must be a path"),
    "date": (b"[models.general]\ncheckpoint = 2020-01-01", r"\[models.general\]: checkpoint=<date> must be a path"),
    "switch": (b"[models.clip]\ndownload = 'yes'", r"\[models.clip\]: download='yes' must be True or False"),
    "contract": (b"[models.clip]\npreprocess = 5", r"\[models.clip\]: preprocess=5 must be a table of fields"),
    "field": (b"[models.mammo-clip]\npreprocess = {sise = [3, 4]}", r"\[models.mammo-clip\]: .*sise"),
    "size": (b"[models.mammo-clip]\npreprocess = {size = 3}", r"\[models.mammo-clip\]: size=3 must be \(height, width\)"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED_PATHS.values(), ids=DAMAGED_PATHS)
def test_a_wrong_paths_file_is_reported_in_one_row(content, message, checkout, capsys):
    path = checkout.root / "data" / "paths.toml"
    path.write_bytes(content)
    (row,) = doctor._paper(steps := [])
    assert row[:2] == ("data/paths.toml", "not usable")
    assert row.how.startswith(str(path))
    assert len(steps) == 1
    with pytest.raises(ValueError, match=message):
        with_local_paths(PAPER)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffconcepts = 'mammography'",
        "# nothing\n",
        "concepts = 'mammography'\r\n[models.clip]\r\npreprocess = {size = [24, 16], mean = [0.1, 0.2, 0.3]}\r\n",
        "[probes.mammograms]\npath = '~/nowhere'\nn_images = 5\n[models.general]\ndownload = true",
        f"concepts = '{'long' * 200}'",
    ],
)
def test_paths_files_that_are_right(content, checkout):
    (checkout.root / "data" / "paths.toml").write_text(content, encoding="utf-8", newline="")
    profile = with_local_paths(PAPER)
    assert "~" not in str(profile.probes["mammograms"].options.get("path", ""))
    read = doctor.Row("data/paths.toml", "read", str(checkout.root / "data" / "paths.toml"))
    assert doctor._paper([])[0] == read


@pytest.mark.parametrize(("name", "what"), [("folder", "no file"), ("nowhere", "not there")])
def test_a_paths_file_that_is_none(name, what, checkout, monkeypatch):
    (checkout.root / "folder").mkdir()
    monkeypatch.setenv("MDISSECT_PATHS", str(checkout.root / name))
    assert doctor._paper([])[0].how == f"MDISSECT_PATHS names {checkout.root / name}, which is {what}"


DAMAGED_CONFIGS = {
    "empty": "",
    "cut off": '{"image": ',
    "a list": "[]",
    "null": "null",
    "no keys": "{}",
    "bytes": "\0\1",
    "deep": "[" * 100_000,
    **{f"{key} is {value!r}": {key: value} for key in ("image", "text", "preprocess") for value in (None, 5, [], {}, "x")},
    **{f"layers is {value}": {"layers": value} for value in (None, 5)},
    "embed_dim": {"embed_dim": "wide"},
    "kind": {"kind": "classifier"},
    "class count": {"kind": "classifier", "classes": 3, "base": 1, "task": None},
    "no positions": {"text": {"hidden_size": 16}},
}


@pytest.mark.parametrize("damage", DAMAGED_CONFIGS.values(), ids=DAMAGED_CONFIGS)
def test_a_damaged_config_is_told_and_the_rest_reported(damage, checkout):
    checkout("mammo")
    path = checkout.root / "data" / "demo" / "mammo" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage) if isinstance(damage, dict) else damage)
    found = doctor._models(steps := [])
    assert [row.what for row in found] == ["model demo/mammo", "model demo/clip", "model demo/general"]
    assert found[0].state == "not usable"
    assert found[0].how
    assert "\n" not in found[0].how
    assert steps == ["restore data/demo, or train the models: python -m mdissect pretrain mammo clip general"]


def test_the_report_goes_on_whatever_breaks(checkout, wide, monkeypatch, capsys):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("mdissect.commands.figures.find_notebooks", broken)
    monkeypatch.setattr(doctor.shutil, "disk_usage", broken)
    monkeypatch.setattr("mdissect.study.with_local_paths", broken)
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    for part in ("notebooks", "disk", "paper"):
        assert rows(told)[part] == (part, "unknown", "", "KeyError 'a bug'")
    assert "  - repair what keeps the disk from being read: KeyError 'a bug'\n" in told


@pytest.mark.parametrize("variable", ["MDISSECT_STORE", "MDISSECT_FIGURES"])
def test_places_that_cannot_be_used(variable, checkout, monkeypatch):
    (checkout.root / "file").touch()
    monkeypatch.setenv(variable, str(checkout.root / "file"))
    said = f"{variable}={checkout.root / 'file'} must name a folder, but {checkout.root / 'file'} is a file"
    found = doctor._disk(steps := [])
    assert said in [row.how for row in found]
    assert any(f"{variable}=" in step for step in steps)


def test_a_read_only_checkout(checkout, monkeypatch):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("mdissect.paths.tempfile.TemporaryFile", refuse)
    said = [row.how for row in doctor._disk([])]
    root = checkout.root
    for folder, variable in ((root / "data" / "store", "MDISSECT_STORE"), (root / "figures", "MDISSECT_FIGURES")):
        told = f"cannot write to {folder} (Read-only file system); the environment variable {variable} names another folder"
        assert told in said


def test_the_doctor_asks_no_network(checkout, wide, no_network, capsys):
    checkout("mammo")
    (checkout.root / "data" / "paths.toml").write_text("[models.clip]\ndownload = true\n[models.mammo-clip]\ndownload = true\n")
    assert __main__.main(["doctor"]) == 1
    assert rows(capsys.readouterr().out)["weights clip"].how == "downloaded from the Hugging Face hub on first use"


def test_notebooks_are_sought_in_the_checkout_and_not_beside_the_data(checkout, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "data"
    copytree(checkout.root / "data", elsewhere)
    monkeypatch.setenv("MDISSECT_DATA", str(elsewhere))
    assert doctor._notebooks(steps := [])[0].state == "found: 01"
    assert not steps
    assert doctor._disk([])[0].where == str(elsewhere)


def test_data_sets_with_loaders_are_listed_and_none_is_needed(checkout, wide, capsys):
    for name in doctor.DEMO_MODELS:
        checkout(name)
    (checkout.root / "data" / "rsna").mkdir()
    (checkout.root / "data" / "rsna" / "train.csv").touch()
    (checkout.root / "data" / "cmmd").mkdir()
    assert __main__.main(["doctor"]) == 0
    told = capsys.readouterr().out
    found = rows(told[told.index("Other data sets") :])
    others = ("rsna", "cbis-ddsm", "cmmd", "inbreast", "mias", "cdd-cesm")
    assert {f"images {name}" for name in others} <= set(found)
    assert not {"images vindr", "images embed"} & set(found)
    assert found["images rsna"][1:] == ("found", "data/rsna", "load_probe('rsna') checks it")
    assert found["images cmmd"][1:] == ("missing", "data/cmmd", "see data/README.md")
    assert found["images cbis-ddsm"].state == "missing"
