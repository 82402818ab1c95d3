"""`prepare` from the shell: any probe, its options, and wrong ones."""

import shutil

import numpy as np
import pandas as pd
import pytest
from made_dicom import dicom_folder
from miniature import embed_tree, vindr_tree
from miniature_public import cbis_tree, cmmd_tree, rsna_tree

from mdissect import __main__, load_probe

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dicom_folder(tmp_path / "in")
    return tmp_path


SMALL = {"preparation": {"size": (50, 40)}}


def run(text: str) -> int:
    return __main__.main(["prepare", *text.split(), "--workers", "1"])


def same(one, other):
    assert one.ids == other.ids
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(one.table, other.table)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("", {}),
        ("--preparation none", {}),
        ("--voi", {"voi": True}),
        ("--size 40 30", {"preparation": {"size": (40, 30)}}),
        ("--size 40 30 --bits 16 --voi", {"preparation": {"size": (40, 30), "bits": 16, "voi": True}}),
        ("--keep-ids", {"keep_ids": True}),
        ("--probe-set window=(2000,800)", {"window": (2000, 800)}),
    ],
)
def test_a_folder_as_it_is_read(here, capsys, given, options):
    assert run(f"folder --path in --output out {given}") == 0
    assert "out: 6 images prepared, 0 already there, 0 failed" in capsys.readouterr().out
    same(load_probe("folder", path="out"), load_probe("folder", path="in", **options))
    assert run(f"folder --path in --output out {given}") == 0
    assert "out: 0 images prepared, 6 already there, 0 failed" in capsys.readouterr().out


def test_the_released_preparation(here):
    shutil.rmtree(here / "in" / "Li_Wu")
    assert run("folder --path in --output out --preparation released") == 0
    assert {image.shape for image in load_probe("folder", path="out")} == {(1520, 912)}


def test_with_a_table_of_your_own(here):
    rows = pd.DataFrame({"file": load_probe("folder", path="in", keep_ids=True).ids, "density": list("AABBCC")})
    rows.to_csv("labels.csv", index=False)
    assert run("folder --path in --output out --probe-set table=labels.csv id_column=file") == 0
    assert load_probe("folder", path="out").table["density"].tolist() == list("AABBCC")


def test_failures_are_listed_and_are_the_exit_status(here, capsys):
    bad = here / "in" / "KOWALSKI-1900_L_MLO.dcm"
    bad.write_bytes(bad.read_bytes()[:-3000])
    assert run("folder --path in --output out") == 1
    said = capsys.readouterr().out
    assert "5 images prepared, 0 already there, 1 failed" in said
    assert "KOWALSKI-1900_L_MLO.dcm: " in said
    assert len(load_probe("folder", path="out")) == 5


@pytest.mark.parametrize(
    ("name", "tree", "options"),
    [("rsna", rsna_tree, SMALL), ("cbis-ddsm", cbis_tree, SMALL), ("cmmd", cmmd_tree, SMALL), ("embed", embed_tree, {})],
)
def test_data_sets(here, name, tree, options):
    tree(here / "set")
    given = "--size 50 40" if options else "--probe-set subset=None"
    assert run(f"{name} --path set --output out --keep-ids {given}") == 0
    probe = load_probe(name, path="set", **options or {"subset": None})
    found = load_probe("folder", path="out")
    same(found, probe)
    for i in range(len(probe)):
        assert boxes(found, i) == boxes(probe, i)
    assert run(f"{name} --path set --output hidden {given}") == 0
    hidden = load_probe("folder", path="hidden")
    assert not set(hidden.table["patient"].dropna()) & set(probe.table["patient"].dropna())
    assert hidden.table["patient"].nunique() == probe.table["patient"].nunique()


def boxes(probe, position):
    try:
        return probe.boxes(position)
    except LookupError:
        return None


def test_vindr_has_its_own_tree(here):
    mammograms = vindr_tree(here / "vindr", images="dicom", n_patients=2)
    assert run("vindr --path vindr --output out --size 50 40 --split test") == 0
    found = load_probe("vindr", path="out")
    assert found.ids == [one.image for one in mammograms if one.split == "test"]
    assert found[0].shape == (50, 40)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "the following arguments are required: probe"),
        ("folder", "--output is missing"),
        ("folder --output out", "missing: path"),
        ("folder --path nowhere --output out", "no folder nowhere"),
        ("folder --path in --output=", "--output='' is empty"),
        ("folder --path in --output in", "--output=in lies in --path=in"),
        ("folder --path in --output in/out", "--output=in/out lies in --path=in"),
        ("folder --path in --output in/../in/x", "lies in --path=in"),
        ("folder --path in --output out --preparation best", "invalid choice: 'best'"),
        ("folder --path in --output out --size 40", "expected 2 arguments"),
        ("folder --path in --output out --size 0 40", "size"),
        ("folder --path in --output out --bits 12", "bits=12"),
        ("folder --path in --output out --preparation none --bits 8", "leave out --size, --bits and --voi"),
        ("folder --path in --output out --workers 0", "workers=0 must be a whole number, 1 or more"),
        ("folder --path in --output out --probe-set tabel=x", "unknown: tabel"),
        ("folder --path in --output out --probe-set table", "'table' is not NAME=VALUE"),
        ("folder --path in --output out --split test", "unknown: split"),
        ("folder --path in --output out --probe-set id_column=a", "id_column='a' was given without a table"),
        ("phantom --output out", "the probe 'phantom' is generated"),
        ("foldr --path in --output out", "unknown probe 'foldr'"),
        ("imagenette --path in --output out --preparation released", "'imagenette' has no preparation"),
        ("vindr --path in --keep-ids", "vindr is prepared into its own tree"),
        ("vindr --path in --preparation none", "vindr is prepared into its own tree"),
    ],
)
def test_wrong_arguments(here, capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        __main__.main(["prepare", *arguments.split()])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (here / "out").exists()
