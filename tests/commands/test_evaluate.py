"""evaluate on the command line: files written, what is evaluated, the published numbers, wrong arguments."""

import json

import pytest
from miniature_models import demo_models

from mdissect import __main__
from mdissect.tables import read_text_table

TEXTS = ("oval mass", "no mass", "implant", "left breast", "calcification", "right side no finding")
PHANTOMS = ("--probe", "phantom", "--probe-set", "n_images=80", "size=(64, 48)", "cache=False")
PAIR = ("--prompts", "mass | no mass", "--truth", "mass")
QUIET = ("--set", "progress=False", "workers=0", "device=cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with a tiny image-text model "toy"."""
    root = tmp_path_factory.mktemp("data")
    demo_models(root / "demo", "toy", texts=TEXTS)
    return root


@pytest.fixture(autouse=True)
def places(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(folder))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def evaluate(*arguments: str, output: str = "out/e.csv") -> int:
    return __main__.main(["evaluate", "--dissector", "demo/toy", "--output", output, *arguments])


@pytest.mark.slow
def test_files_and_summary(tmp_path, capsys):
    parts = ("--parts", "zero-shot", "linear probe")
    assert evaluate(*PHANTOMS, *PAIR, *parts, "--tasks", "mass", "--fractions", "0.5", "1", "--seeds", "2", *QUIET) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["e.csv", "e.json"]
    table = read_text_table(tmp_path / "out" / "e.csv", own=True)
    assert table.part.value_counts().to_dict() == {"zero-shot": 6, "linear probe": 6}
    assert set(table.prompts) == {"bare phrase", "five sentences", ""}
    settings = json.loads((tmp_path / "out" / "e.json").read_text())
    assert settings["options"]["fractions"] == [0.5, 1.0]
    assert settings["probe"] == "phantom"
    said = capsys.readouterr().out
    assert "demo/toy on phantom: 80 images" in said
    assert "not evaluated: retrieval, fine-tune" in said
    assert "written to out: e.csv, e.json" in said


@pytest.mark.slow
def test_a_fine_tuning_lies_beside_the_output_and_is_read_again(tmp_path, capsys):
    given = (*PHANTOMS, "--parts", "fine-tune", "--tasks", "mass", "--fractions", "1", *QUIET, "epochs=1", "augment=False")
    assert evaluate(*given) == 0
    folder = tmp_path / "out" / "e_classifiers" / "mass-100-percent-seed-0"
    written = (folder / "model.safetensors").stat().st_mtime_ns
    first = (tmp_path / "out" / "e.csv").read_text()
    assert evaluate(*given) == 0
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    assert (tmp_path / "out" / "e.csv").read_text() == first


@pytest.mark.slow
def test_published_numbers_stand_beside(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("dataset,part,task,fraction,metric,published\nvindr,zero-shot,mass,,auc,0.5\n")
    assert evaluate(*PHANTOMS, *PAIR, "--parts", "zero-shot", "--published", str(own), *QUIET) == 0
    table = read_text_table(tmp_path / "out" / "e_published.csv", own=True)
    row = table[(table.dataset == "vindr") & (table.part == "zero-shot") & (table.task == "mass")].iloc[0]
    assert (row.published, row.source, row.ours) == ("0.5", "given", "")
    assert row.note == "evaluated on phantom, not on vindr: not comparable"


WRONG = [
    (("--output", "e.txt"), "--output='e.txt' must end in .csv"),
    (("--parts", "zeroshot"), "parts='zeroshot' is not one of 'zero-shot'"),
    (("--level", "patient"), "level='patient' is not one of"),
    (("--fractions", "2"), "fractions[0]=2.0 must be a number at least 0.001 and at most 1"),
    (("--seeds", "0"), "seeds=0 must be a whole number, 1 or more"),
    (("--prompts", "mass"), "prompts='mass' is neither a pair such as 'mass | no mass'"),
    (("--truth", "a=b", "c"), "--truth 'c' is not FINDING=COLUMN"),
    (("--set", "epoch=1"), "no setting epoch; there are"),
    (("--set", "device=gpu"), "device='gpu' must be one of"),
    (("--target-set", "checkpoint=x"), "--target-set belongs to --target"),
    (("--store", ""), "--store='' is empty"),
    (("--classifiers", ""), "--classifiers='' is empty"),
    (("--reports", "words", "--parts", "retrieval"), "reports='words' is no column of probe 'phantom'"),
    (("--tasks", "cancer", "--parts", "linear probe"), "no task 'cancer'"),
    (("--prompts", "mass | no mass", "--parts", "zero-shot"), "prompts of 'mass' need the columns with their truth"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_arguments(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        evaluate(*PHANTOMS[:2], "--probe-set", "n_images=4", "size=(64, 48)", "cache=False", *arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.csv"))


def test_names_that_are_not_known(capsys):
    for arguments, message in (
        (["--dissector", "demo/none", "--probe", "phantom"], "no demo model 'none'"),
        (["--dissector", "demo/toy", "--probe", "phantoms"], "unknown probe 'phantoms'"),
    ):
        with pytest.raises(SystemExit):
            __main__.main(["evaluate", "--output", "e.csv", *arguments])
        assert message in capsys.readouterr().err
