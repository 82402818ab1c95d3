"""What finetune, prepare and pretrain say of wrong arguments, before anything is trained or written."""

import pytest
from miniature_models import demo_models

from mdissect import __main__


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder with a tiny demo model, in which the tests stand."""
    demo_models(tmp_path / "demo", "toy")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = {"--target": "demo/toy", "--probe": "phantom", "--task": "mass", "--output": "out"}


def wrong_finetune(capsys, changes: dict, *more: str) -> str:
    """The one line that the command ends with."""
    arguments = [word for pair in (GIVEN | changes).items() for word in pair]
    quick = ["--probe-set", "n_images=6", "size=(64, 48)", "cache=False"]
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["finetune", *arguments, *quick, *more])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix("python -m mdissect finetune: error: ").strip()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--target": "demo/nothing"}, "no demo model 'nothing'"),
        ({"--target": "demos/toy"}, "unknown target 'demos/toy'"),
        ({"--target": ""}, "unknown target ''"),
        ({"--probe": "phantoms"}, "unknown probe 'phantoms'"),
        ({"--probe": ""}, "unknown probe ''"),
        ({"--output": ""}, "--output='' is empty"),
        ({"--output": "file"}, "cannot write to file (Not a directory); --output names another folder"),
        ({"--output": "file/x"}, "cannot write to file/x (Not a directory); --output names another folder"),
    ],
)
def test_finetune(changes, said, data, capsys):
    assert wrong_finetune(capsys, changes).startswith(said)
    assert not (data / "out").exists()


@pytest.mark.parametrize(
    ("option", "setting", "said"),
    [
        ("--set", "device=gpu", "gpu"),
        ("--set", "device=cuda:x", "cuda:x"),
        ("--set", "workers=-1", "workers=-1 must be a whole number, 0 or more"),
        ("--set", "save_every=0", "save_every=0 must be a whole number, 1 or more"),
        ("--set", "epochs=0", "epochs=0 must be"),
        ("--set", "epochs=1e999", "--set epochs='1e999' holds a number that is not finite"),
        ("--set", "learning_rate=fast", "learning_rate='fast' must be a number"),
        ("--set", "flips={1}", "--set flips='{1}' holds a set"),
        ("--set", "balance=all balance=none", "--set gives balance twice"),
        ("--set", "epoch=1", "no setting epoch"),
        ("--set", "target=x", "no setting target"),
        ("--probe-set", "n_image=5", "unknown: n_image"),
        ("--probe-set", "spec=vindr", "spec"),
        ("--probe-set", "seed=-1", "seed=-1 must be"),
        ("--target-set", "checkpoint=x", "unknown: checkpoint"),
        ("--target-set", "layers", "--target-set 'layers' is not NAME=VALUE"),
    ],
)
def test_settings_of_finetune(option, setting, said, data, capsys):
    assert said in wrong_finetune(capsys, {}, option, *setting.split())
    assert not (data / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("prepare vindr", "no folder {data}/vindr-mammo"),
        ("prepare vindr --path file", "file is a file; path= must name the data set's folder"),
        ("prepare vindr --path=", "path='' is empty"),
        ("prepare vindr --bits 12", "bits=12 is"),
        ("prepare vindr --workers 0", "workers=0 must be a whole number, 1 or more"),
        ("prepare vindr --workers -2", "workers=-2 must be a whole number, 1 or more"),
        ("pretrain mamo", "no demo model mamo; there are mammo, clip, general, C1"),
        ("pretrain mammo --output=", "--output='' is empty"),
        ("pretrain C1 --output file", "cannot write to file (Not a directory); --output names another folder"),
        ("pretrain C1 --cache file/x", "cannot write to file/x (Not a directory); --cache names another folder"),
    ],
)
def test_prepare_and_pretrain(arguments, said, data, capsys):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(arguments.split())
    assert stopped.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"python -m mdissect {arguments.split()[0]}: error: {said.format(data=data)}")
    assert told.count("\n") == 1
