"""Where a study keeps its results and figures."""

import matplotlib.pyplot as plt
import pytest

from mdissect.study import open_study


@pytest.mark.parametrize("variable", ["MDISSECT_STORE", "MDISSECT_FIGURES"])
def test_a_file_where_a_folder_is_due(variable, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match=f"{variable}={tmp_path}/file must name a folder"):
        open_study("demo")


def test_relative_places_stay_where_they_were_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MDISSECT_STORE", "kept")
    monkeypatch.setenv("MDISSECT_FIGURES", "~")
    monkeypatch.setenv("HOME", str(tmp_path))
    opened = [open_study("demo")]
    monkeypatch.chdir("/")
    opened.append(open_study("demo"))
    assert [(study.store, study.figures) for study in opened] == [(tmp_path / "kept", tmp_path / "demo")] * 2


def test_a_figure_that_cannot_be_written_names_what_to_set(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "name")

    monkeypatch.setenv("MDISSECT_FIGURES", str(tmp_path))
    study = open_study("demo")
    assert study.save_figure(plt.figure(), "one") == tmp_path / "demo" / "one.png"
    monkeypatch.setattr("mdissect.plots.save_figure", refuse)
    message = rf"cannot write one to {tmp_path}/demo \(Permission denied\); MDISSECT_FIGURES names another folder for figures"
    with pytest.raises(OSError, match=message):
        study.save_figure(plt.figure(), "one")
