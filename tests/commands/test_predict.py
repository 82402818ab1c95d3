"""predict and zeroshot on the command line: images by files, folders and probes; files written; wrong arguments."""

import json

import numpy as np
import pytest
import toys
from miniature_models import demo_models
from PIL import Image

from mdissect import __main__
from mdissect.models.demo import build_demo_classifier, save_demo_classifier
from mdissect.tables import read_text_table

TEXTS = ("oval mass", "no mass", "suspicious calcification", "no malignancy", "implant")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with a tiny image-text model "toy" and a classifier "masses", and a folder of images with a table."""
    root = tmp_path_factory.mktemp("data")
    _, config = demo_models(root / "demo", "toy", texts=TEXTS)
    classes = {"base": "demo/toy", "task": "mass", "classes": ["no mass", "mass"], "kind": "classifier"}
    own = {name: config[name] for name in ("image", "preprocess", "layers")} | classes
    save_demo_classifier(build_demo_classifier(own), root / "demo" / "masses", own)
    lines = ["file,patient,side,Mass"]
    for i, image in enumerate(toys.toy_images(16)):
        place = root / "images" / ("a" if i < 8 else "b") / f"KOWALSKI{i // 4}_{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image >> 8).astype(np.uint8)).save(place)
        lines.append(f"{place.stem},KOWALSKI{i // 4},{'LR'[i % 2]},{i % 3 == 0}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture(autouse=True)
def places(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MDISSECT_DATA", str(folder))
    monkeypatch.setenv("MDISSECT_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def predict(*arguments: object, target: str = "demo/masses", output: str = "out/p.csv") -> int:
    return __main__.main(["predict", "--target", target, "--output", output, "--workers", "0", *map(str, arguments)])


def zeroshot(*arguments: object, dissector: str = "demo/toy", output: str = "out/z.csv") -> int:
    return __main__.main(["zeroshot", "--dissector", dissector, "--output", output, "--workers", "0", *map(str, arguments)])


def ids(path):
    return read_text_table(path, own=True).image_id.tolist()


def test_a_folder_with_its_table(folder, tmp_path, capsys):
    table = ("--probe-set", f"table={folder / 'labels.csv'}", "id_column=file")
    assert predict(folder / "images", *table, "--truth", "Mass") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "p.csv", "p.json", "p_breasts.csv", "p_patients.csv"
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "demo/masses on images: 16 images, 8 breasts, 4 patients" in said
    assert "Mass, 16 images, 4 patients: AUC " in said
    assert "written to out: p.csv, p_breasts.csv, p_patients.csv, p.json" in said
    written = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert "KOWALSKI" not in written
    assert str(folder) not in written
    assert ids("out/p.csv")[:2] == ["a/1_0.png", "a/1_1.png"]
    document = json.loads((tmp_path / "out" / "p.json").read_text())
    assert (document["model"], document["n_images"]) == ("demo/masses", 16)
    assert predict(folder / "images", *table, "--keep-ids", output="kept.csv") == 0
    assert ids("kept.csv")[0] == "a/KOWALSKI0_0.png"


def test_files_and_folders_in_their_order(folder):
    images = folder / "images"
    assert predict(images / "b" / "KOWALSKI3_12.png", images / "a" / "KOWALSKI0_1.png") == 0
    assert ids("out/p.csv") == ["b/KOWALSKI3_12.png", "a/KOWALSKI0_1.png"]
    assert predict(images / "a" / "KOWALSKI0_1.png", images / "b") == 0
    assert ids("out/p.csv") == ["KOWALSKI0_1.png", *(f"KOWALSKI{i // 4}_{i}.png" for i in (10, 11, 8, 9, 12, 13, 14, 15))]


def test_the_same_image_alone_and_among_others(folder):
    images = folder / "images"
    predict(images, output="all.csv")
    predict(images / "a" / "KOWALSKI0_1.png", output="one.csv")
    many, one = (read_text_table(name, own=True) for name in ("all.csv", "one.csv"))
    among = many[many.image_id == "a/KOWALSKI0_1.png"].probability_mass.astype(float)
    assert float(one.probability_mass.iloc[0]) == pytest.approx(float(among.iloc[0]), abs=1e-6)


def test_a_probe_by_name(folder):
    assert predict("--probe", "folder", "--path", folder / "images" / "a") == 0
    assert len(ids("out/p.csv")) == 8
    assert predict("--probe", "phantom", "--probe-set", "n_images=4", "size=(64, 48)", "cache=False", "--truth", "mass") == 0
    assert ids("out/p.csv")[0] == "phantom-0-000000"


def test_zeroshot(folder, capsys):
    table = ("--probe-set", f"table={folder / 'labels.csv'}", "id_column=file")
    prompts = ("--prompts", "mass; oval mass | no mass", "aug=implant|no malignancy")
    assert zeroshot(folder / "images", *table, *prompts, "--truth", "mass=Mass") == 0
    assert "mass, 16 images, 4 patients: AUC " in capsys.readouterr().out
    images = read_text_table("out/z.csv", own=True)
    assert list(images)[-4:] == ["difference_mass", "probability_mass", "difference_aug", "probability_aug"]
    (folder / "prompts.csv").write_text("finding,positive,negative\nmass,mass,no mass\nmass,oval mass,\n")
    assert zeroshot(folder / "images", *table, "--prompts", folder / "prompts.csv", "--truth", "Mass", output="again.csv") == 0
    again = read_text_table("again.csv", own=True)
    assert again.probability_mass.tolist() == images.probability_mass.tolist()


def error_of(capsys, command, *arguments, **options) -> str:
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as stopped:
        command(*arguments, **options)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.partition("error: ")[2].strip()


PHANTOMS = ("--probe", "phantom", "--probe-set", "n_images=4", "size=(64, 48)", "cache=False")
WRONG = [
    (predict, (), {}, "give images (files or folders) or --probe NAME: one of the two"),
    (predict, ("IMAGES", *PHANTOMS), {}, "give images (files or folders) or --probe NAME: one of the two"),
    (predict, ("IMAGES", "--path", "x"), {}, "--path belongs to --probe; images are given by their own paths"),
    (predict, ("nowhere", "nothing"), {}, "2 images: nowhere, nothing not there: neither file nor folder"),
    (predict, ("",), {}, "IMAGES='' is empty"),
    (predict, ("NOTES",), {}, "is no image by its suffix; those of images are .png"),
    (predict, ("IMAGES/a/KOWALSKI0_1.png",) * 2, {}, "has 1 duplicate id: KOWALSKI0_1.png"),
    (predict, ("IMAGES/a/KOWALSKI0_1.png", "/proc/version"), {}, "the files have no folder in common"),
    (predict, ("IMAGES", "--probe-set", "tabel=x"), {}, "options of the probe 'folder'"),
    (predict, ("IMAGES", "--probe-set", "table"), {}, "--probe-set 'table' is not NAME=VALUE"),
    (predict, PHANTOMS, {"target": "demo/toy"}, "target 'demo/toy' gives no class scores"),
    (predict, PHANTOMS, {"target": "demo/nothing"}, "no demo model 'nothing'"),
    (predict, PHANTOMS, {"target": ""}, "unknown target ''"),
    (predict, PHANTOMS, {"output": "p.txt"}, "--output='p.txt' must end in .csv"),
    (predict, PHANTOMS, {"output": ""}, "--output='' is empty"),
    (predict, PHANTOMS, {"output": "/proc/x/p.csv"}, "cannot write to /proc/x (No such file or directory); --output names"),
    (predict, (*PHANTOMS, "--truth", "cancer"), {}, "truth='cancer' is no column of probe 'phantom'"),
    (predict, (*PHANTOMS, "--classes", "mass"), {}, "1 classes (mass), but target 'demo/masses' has one output"),
    (predict, (*PHANTOMS, "--batch-size", "0"), {}, "batch_size=0 must be a whole number, 1 or more"),
    (predict, (*PHANTOMS, "--device", "gpu"), {}, "device='gpu' must be one of"),
    (predict, (*PHANTOMS, "--store", ""), {}, "--store='' is empty"),
    (zeroshot, PHANTOMS, {"dissector": "demo/masses"}, "demo/masses is a classifier of mass"),
    (zeroshot, (*PHANTOMS, "--prompts", "mass"), {}, "--prompts='mass' is neither a pair such as 'mass | no mass'"),
    (zeroshot, (*PHANTOMS, "--prompts", "a|b", "c"), {}, "--prompts[1]='c' must be a pair of texts"),
    (zeroshot, (*PHANTOMS, "--truth", "a=b", "c"), {}, "--truth 'c' is not FINDING=COLUMN, such as mass=Mass"),
    (zeroshot, (*PHANTOMS, "--truth", "a=b", "a=c"), {}, "--truth names 'a' twice: b and c"),
    (zeroshot, (*PHANTOMS, "--truth", "mass"), {}, "truth='mass' is one column for 3 findings"),
    (zeroshot, (*PHANTOMS, "--prompts", "zzz|no mass"), {}, "texts hold no word of the tokenizer's vocabulary"),
]


@pytest.mark.parametrize(("command", "arguments", "options", "message"), WRONG, ids=[one[-1] for one in WRONG])
def test_wrong_arguments(command, arguments, options, message, folder, tmp_path, capsys):
    stands_for = {"IMAGES": str(folder / "images"), "NOTES": str(folder / "notes.txt")}
    arguments = [stands_for.get(one, one.replace("IMAGES/", f"{folder}/images/")) for one in arguments]
    assert message in error_of(capsys, command, *arguments, **options)
    assert not list(tmp_path.rglob("*.csv"))
