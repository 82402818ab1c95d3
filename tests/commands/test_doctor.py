"""What the doctor reports, of a healthy installation and of broken ones."""

import json
import sys
from shutil import copytree

import pytest
from miniature_models import demo_models

from mdissect import __main__
from mdissect.commands import doctor
from mdissect.paths import data_dir
from mdissect.study import PAPER, with_local_paths


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


def test_a_healthy_installation(checkout, capsys):
    for name in doctor.DEMO_MODELS:
        checkout(name, aligned=name != "general")
    (checkout.root / "data" / "store").mkdir()
    (checkout.root / "data" / "store" / "kept").write_bytes(bytes(2_500_000))
    assert __main__.main(["doctor"]) == 0
    told = capsys.readouterr().out
    for line in ("mdissect 0.1.0, Python 3.", "torch 2.", "device: ", "concepts: mammography, 7", "notebooks: 01_first",
                 "disk: store 2.5 MB, cache of drawn images empty, ", "next: nothing is missing for the demo"):  # fmt: skip
        assert line in told, line
    lines = {line.partition(":")[0]: line for line in told.splitlines()}
    assert lines["demo/mammo"].endswith(", aligned")
    assert lines["demo/general"].endswith(", not aligned")


def test_without_demo_models(checkout, capsys):
    checkout("clip")
    (checkout.root / "data" / "demo" / "clip" / "model.safetensors").write_bytes(b"broken")
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "demo/mammo: not usable: no demo model 'mammo'" in told
    assert "demo/clip: not usable: " in told
    assert "  - restore data/demo, or train the models: python -m mdissect pretrain mammo clip general\n" in told


def test_without_data(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path / "nowhere"))
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    assert "concepts: mammography missing or damaged" in told
    assert told.count("no data folder at") >= 3
    assert "  - restore data/concepts/mammography.csv: no data folder at " in told


def test_without_a_library(checkout, monkeypatch, capsys):
    version = doctor.importlib.metadata.version

    def found(name: str) -> str:
        if name in ("torch", "wordcloud"):
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", found)
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails
    assert doctor.report() == 1
    told = capsys.readouterr().out
    assert "  missing: torch, wordcloud\n" in told
    assert "device: unknown, as import of torch halted" in told
    assert "  - install torch, wordcloud (pip install -e . brings all libraries)\n" in told
    assert told.count("mend the installation") == 1


def test_with_a_full_disk(checkout, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "LITTLE_SPACE", 10**18)
    assert doctor.report() == 1
    assert "  - free some disk space; " in capsys.readouterr().out


DAMAGED_PATHS = {
    "no TOML": (b"[probes", "is no TOML file"),
    "latin-1": ("concepts = 'Wörter'".encode("latin-1"), r"is not in UTF-8 \(byte 13\); save it as UTF-8"),
    "UTF-16": ("concepts = 'x'".encode("utf-16"), "is not in UTF-8"),
    "twice": (b"concepts = 'a'\nconcepts = 'b'", "is no TOML file"),
    "Windows path": (b'concepts = "C:\\data"', "is no TOML file"),
    "deep": (b"a = " + b"[" * 100_000, "is no TOML file"),
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
def test_a_wrong_paths_file_is_told_in_one_line(content, message, checkout, capsys):
    path = checkout.root / "data" / "paths.toml"
    path.write_bytes(content)
    lines = doctor._paper([])
    assert len(lines) == 2
    assert lines[0].startswith(f"paper profile: {path}")
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
    assert f"paper profile ({checkout.root / 'data' / 'paths.toml'}):" in doctor._paper([])


@pytest.mark.parametrize(("name", "what"), [("folder", "no file"), ("nowhere", "not there")])
def test_a_paths_file_that_is_none(name, what, checkout, monkeypatch):
    (checkout.root / "folder").mkdir()
    monkeypatch.setenv("MDISSECT_PATHS", str(checkout.root / name))
    assert doctor._paper([])[0] == f"paper profile: MDISSECT_PATHS names {checkout.root / name}, which is {what}"


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
    lines = doctor._models(steps := [])
    assert [line.partition(":")[0] for line in lines] == ["demo/mammo", "demo/clip", "demo/general"]
    assert lines[0].startswith("demo/mammo: not usable: ")
    assert "\n" not in lines[0]
    assert steps == ["restore data/demo, or train the models: python -m mdissect pretrain mammo clip general"]


def test_the_report_goes_on_whatever_breaks(checkout, monkeypatch, capsys):
    def broken(*_):
        raise KeyError("a bug")

    monkeypatch.setattr("mdissect.commands.figures.find_notebooks", broken)
    monkeypatch.setattr(doctor.shutil, "disk_usage", broken)
    monkeypatch.setattr("mdissect.study.with_local_paths", broken)
    assert __main__.main(["doctor"]) == 1
    told = capsys.readouterr().out
    for part in ("notebooks", "disk", "paper"):
        assert f"\n{part}: unknown: KeyError 'a bug'\n" in told
    assert "  - mend what keeps the disk from being read: KeyError 'a bug'\n" in told


@pytest.mark.parametrize("variable", ["MDISSECT_STORE", "MDISSECT_FIGURES"])
def test_places_that_cannot_be_used(variable, checkout, monkeypatch):
    (checkout.root / "file").touch()
    monkeypatch.setenv(variable, str(checkout.root / "file"))
    lines = doctor._disk(steps := [])
    assert f"  {variable}={checkout.root / 'file'} must name a folder, but {checkout.root / 'file'} is a file" in lines
    assert any(f"{variable}=" in step for step in steps)


def test_a_read_only_checkout(checkout, monkeypatch):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("mdissect.paths.tempfile.TemporaryFile", refuse)
    lines = doctor._disk([])
    root = checkout.root
    for folder, variable in ((root / "data" / "store", "MDISSECT_STORE"), (root / "figures", "MDISSECT_FIGURES")):
        told = f"  cannot write to {folder} (Read-only file system); the environment variable {variable} names another folder"
        assert told in lines


def test_the_doctor_asks_no_network(checkout, no_network, capsys):
    checkout("mammo")
    (checkout.root / "data" / "paths.toml").write_text("[models.clip]\ndownload = true\n[models.mammo-clip]\ndownload = true\n")
    assert __main__.main(["doctor"]) == 1
    assert "fetched from the Hugging Face hub when first used" in capsys.readouterr().out


def test_notebooks_are_sought_in_the_checkout_and_not_beside_the_data(checkout, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("disk") / "data"
    copytree(checkout.root / "data", elsewhere)
    monkeypatch.setenv("MDISSECT_DATA", str(elsewhere))
    assert doctor._notebooks(steps := []) == ["notebooks: 01_first"]
    assert not steps
    assert doctor._disk([])[0].endswith(f"free at {elsewhere}")
