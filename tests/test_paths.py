"""Where data lie and results go, as environment variables say."""

import os
from pathlib import Path

import pytest

from mdissect import paths

PLACES = {paths.STORE: paths.store_dir, paths.FIGURES: paths.figures_dir, paths.DATA: paths.data_dir}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home folder, in which the tests stand, without any of mdissect's variables."""
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in (*PLACES, paths.LOCATIONS):
        monkeypatch.setenv(variable, "")
    return tmp_path


@pytest.mark.parametrize("variable", PLACES)
@pytest.mark.parametrize("named", ["there", "./there", "~/there", "../{home}/there", "{root}/there"])
def test_a_named_place_is_absolute_and_stays_the_same_elsewhere(variable, named, home, monkeypatch):
    monkeypatch.setenv(variable, named.format(home=home.name, root=home))
    found = PLACES[variable]()
    assert found.is_absolute()
    assert found.resolve() == home / "there"
    assert os.environ[variable] == str(found)
    monkeypatch.chdir("/")
    assert PLACES[variable]() == found


@pytest.mark.parametrize("named", ["new", "there/new", "a folder/with é"])
@pytest.mark.parametrize("variable", [paths.STORE, paths.FIGURES])
def test_places_of_results_need_not_exist_yet(variable, named, home, monkeypatch):
    monkeypatch.setenv(variable, named)
    assert PLACES[variable]() == home / named


@pytest.mark.parametrize("named", ["", " ", "\t"])
def test_an_empty_name_is_none(named, monkeypatch):
    for variable in PLACES:
        monkeypatch.setenv(variable, named)
    root = Path(paths.__file__).parents[1]
    assert (paths.data_dir(), paths.store_dir()) == (root / "data", root / "data" / "store")
    assert (paths.figures_dir(), paths.other_figures_dir()) == (root / "figures", root / "build" / "figures")
    assert paths.from_environment(paths.LOCATIONS) is None


@pytest.mark.parametrize("variable", [paths.STORE, paths.FIGURES])
@pytest.mark.parametrize("named", ["file", "file/below", "file/far/below"])
def test_a_file_where_a_folder_is_due(variable, named, home, monkeypatch):
    monkeypatch.setenv(variable, named)
    with pytest.raises(NotADirectoryError, match=rf"{variable}={home}/{named} must name a folder, but {home}/file is a file"):
        PLACES[variable]()


@pytest.mark.parametrize(("named", "found"), [("file", r"file \(a file\)"), ("nowhere", "nowhere"), ("~no one/x", "~no one/x")])
def test_no_data_folder(named, found, home, monkeypatch):
    monkeypatch.setenv(paths.DATA, named)
    with pytest.raises(FileNotFoundError, match=f"no data folder at {home}/{found}: .* set MDISSECT_DATA to the folder"):
        paths.data_dir()


def test_notebooks_and_figures_are_the_checkouts_wherever_the_data_are(home, monkeypatch):
    monkeypatch.setenv(paths.DATA, "there")
    root = Path(paths.__file__).parents[1]
    assert paths.notebooks_dir() == root / "notebooks"
    assert paths.figures_dir() == root / "figures"
    assert paths.store_dir() == home / "there" / "store"


def test_a_package_without_a_checkout(home, monkeypatch):
    monkeypatch.setattr(paths, "__file__", str(home / "lib" / "mdissect" / "paths.py"))
    for variable, folder in (("XDG_CACHE_HOME", "caches"), ("XDG_DATA_HOME", "applications")):
        monkeypatch.setenv(variable, str(home / folder))
    assert paths.checkout() is None
    with pytest.raises(FileNotFoundError, match=r"no notebooks in .*/lib/mdissect/shipped/notebooks: install mdissect from"):
        paths.notebooks_dir()
    own = paths.data_dir()
    shipped = home / "lib" / "mdissect" / "shipped"
    assert paths.data_dirs() == [own, shipped / "data"]
    assert not {home / "there", shipped} & {own, *own.parents, *paths.store_dir().parents, *paths.image_cache_dir().parents}
    assert (paths.figures_dir(), paths.other_figures_dir()) == (home / "figures", home / "build" / "figures")
    (shipped / "notebooks").mkdir(parents=True)
    assert paths.notebooks_dir() == shipped / "notebooks"


def test_a_package_without_a_checkout_prefers_the_users_own_data(home, monkeypatch):
    monkeypatch.setattr(paths, "__file__", str(home / "lib" / "mdissect" / "paths.py"))
    monkeypatch.setenv(paths.DATA, "there")
    brought, own = home / "lib/mdissect/shipped/data/demo/mammo", home / "there/demo/mammo"
    assert paths.in_data("demo", "mammo") == own
    brought.mkdir(parents=True)
    assert paths.in_data("demo", "mammo") == brought
    own.mkdir(parents=True)
    assert paths.in_data("demo", "mammo") == own
    assert paths.store_dir() == home / "there" / "store"
    assert paths.image_cache_dir() == home / "there" / "demo" / "cache"


def test_what_is_started_finds_the_same_places(home, monkeypatch):
    for variable, named in zip((*PLACES, paths.LOCATIONS), "abcd", strict=True):
        monkeypatch.setenv(variable, named)
    paths.export_absolute()
    assert [os.environ[variable] for variable in (*PLACES, paths.LOCATIONS)] == [str(home / named) for named in "abcd"]


@pytest.mark.parametrize("folder", ["there", "new", "new/deeper", "a folder/é"])
def test_checking_a_place_leaves_nothing_there(folder, home):
    before = sorted(home.rglob("*"))
    paths.check_writable(home / folder, "unused")
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("folder", ["file", "file/below", "file/far/below"])
def test_a_place_that_cannot_be_written(folder, home):
    with pytest.raises(OSError, match=rf"cannot write to {home / folder} \(Not a directory\); --output names another$"):
        paths.check_writable(home / folder, "--output names another")


def test_a_place_that_is_read_only(home, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied", "some name")

    monkeypatch.setattr(paths.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"cannot write to .*there \(Permission denied\); MDISSECT_STORE names another"):
        paths.check_writable(home / "there", "MDISSECT_STORE names another")
