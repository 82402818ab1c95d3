"""Tests of figures on disk: three files that belong together, whatever dies, and nothing of this machine in them."""

import json
import shutil
import stat
from pathlib import Path

import faults
import pytest
import toys
from matplotlib.figure import Figure

from mdissect import plots

pytestmark = pytest.mark.slow

ENDINGS = (".png", ".svg", ".json")


def drawing(height: float = 2.0) -> Figure:
    """A small figure, drawn quickly."""
    fig = Figure(figsize=(1, 1))
    fig.add_axes((0, 0, 1, 1)).plot([0, 1], [0, height])
    return fig


def save(folder, height: float = 2.0, **settings) -> Path:
    return plots.save_figure(drawing(height), folder / "bars", settings or {"top_k": 20})


def content(folder) -> list[bytes]:
    return [(folder / f"bars{ending}").read_bytes() for ending in ENDINGS]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of two figures, written undisturbed, by height."""
    folders = {height: tmp_path_factory.mktemp("figures") for height in (2.0, 3.0)}
    for height, folder in folders.items():
        save(folder, height)
    return {height: content(folder) for height, folder in folders.items()}


@pytest.fixture
def folder(tmp_path, whole):
    """A figure of height 2."""
    for ending, data in zip(ENDINGS, whole[2.0], strict=True):
        (tmp_path / f"bars{ending}").write_bytes(data)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("next_height", [2.0, 3.0])
def test_a_half_replaced_figure_is_noticed_and_mended(folder, whole, next_height, tmp_path_factory):
    """Also by a run that draws the old figure, whose JSON is still there."""
    n_mixed = 0
    for _ in faults.deaths(lambda: save(folder, 3.0)):
        found = content(folder)
        n_mixed += found not in whole.values()
        assert all(data in (whole[2.0][i], whole[3.0][i]) for i, data in enumerate(found))
        save(folder, next_height)
        assert content(folder) == whole[next_height]
        for ending, data in zip(ENDINGS, whole[2.0], strict=True):
            (folder / f"bars{ending}").write_bytes(data)
    assert n_mixed > 0


def test_a_full_disk_leaves_the_old_figure_whole(folder, whole):
    with toys.full_disk(500), pytest.raises(OSError, match=r"File too large: '.*bars\.svg'"):
        save(folder, 3.0)
    assert content(folder) == whole[2.0]
    assert len(list(folder.iterdir())) == 3
    save(folder, 3.0)
    assert content(folder) == whole[3.0]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-20], lambda data: b"", lambda data: data[: len(data) // 2], None],
    ids=["end missing", "empty", "half", "gone"],
)
def test_a_damaged_file_is_written_anew(folder, whole, ending, damage):
    path = folder / f"bars{ending}"
    path.unlink() if damage is None else path.write_bytes(damage(path.read_bytes()))
    save(folder)
    assert content(folder) == whole[2.0]


@pytest.mark.parametrize("text", ["[]", "null", "5", "{", "", "[" * 100_000, '"drawn"'])
def test_a_json_that_is_none_is_written_anew(folder, whole, text):
    (folder / "bars.json").write_text(text)
    assert plots.saved_settings(folder / "bars") is None
    save(folder)
    assert content(folder) == whole[2.0]


def test_bytes_that_are_no_text_are_no_settings(folder):
    (folder / "bars.json").write_bytes(b"\xff\xfe{")
    assert plots.saved_settings(folder / "bars") is None


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_picture_of_another_drawing_is_noticed(folder, whole, ending):
    (folder / f"bars{ending}").write_bytes(whole[3.0][ENDINGS.index(ending)])
    save(folder)
    assert content(folder) == whole[2.0]


def test_pictures_without_a_mark_are_left_as_they_are(folder, whole):
    """Those in figures/ were drawn before there were marks, or elsewhere: another processor must not write them anew."""
    for ending in (".png", ".svg"):
        path = folder / f"bars{ending}"
        mark = path.read_bytes().partition(b"mdissect-")[2][:32]
        path.write_bytes(path.read_bytes().replace(b"mdissect-" + mark, b"another-" + mark))
    before = content(folder)
    save(folder)
    assert content(folder) == before


def test_line_ends_of_a_checkout_do_not_matter(folder, whole):
    for ending in (".svg", ".json"):
        path = folder / f"bars{ending}"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = content(folder)
    save(folder)
    assert content(folder) == before


def test_the_committed_figures_belong_together():
    """What is in figures/ is taken for unchanged: nothing there is half of one drawing and half of another."""
    from mdissect.plots.saving import _belong_together

    folder = Path(__file__).parents[2] / "figures" / "demo"
    committed = sorted(path for path in folder.glob("*.json") if path.stem != "00_results")  # that one is no figure
    assert len(committed) > 20
    assert [path.stem for path in committed if not _belong_together(path.with_suffix(""))] == []


def test_a_figure_of_no_settings_is_known_again(tmp_path):
    path = plots.save_figure(drawing(), tmp_path / "bars", {})
    assert list(plots.saved_settings(tmp_path / "bars")) == ["overprints", "drawn"]
    before = path.stat().st_mtime_ns
    plots.save_figure(drawing(), tmp_path / "bars", {})
    assert path.stat().st_mtime_ns == before


def test_texts_over_each_other_are_told_in_the_json(tmp_path):
    fig = drawing()
    for words in ("one", "two"):
        fig.text(0.5, 0.5, words)
    plots.save_figure(fig, tmp_path / "bars", {})
    assert plots.saved_settings(tmp_path / "bars")["overprints"] == [["one", "two"]]


def test_a_figure_of_an_older_version_gets_its_overprints(folder):
    path = folder / "bars.json"
    path.write_text(path.read_text().replace(' "overprints": [],\n', ""))
    assert "overprints" not in plots.saved_settings(folder / "bars")
    save(folder)
    assert plots.saved_settings(folder / "bars")["overprints"] == []


def test_private_figures_are_read_by_their_owner_alone(tmp_path):
    path = plots.save_figure(drawing(), tmp_path / "bars", {}, private=True)
    modes = {stat.S_IMODE(path.with_suffix(ending).stat().st_mode) for ending in ENDINGS}
    assert modes == {0o600}


def test_no_folder_of_this_machine_is_written(tmp_path):
    settings = {
        "notes": [f"weights at {tmp_path}/my weights/net.pt: 3 not used"],
        "path": tmp_path / "images",
        str(tmp_path / "key"): ("a/b", None, 1.5),
    }
    path = plots.save_figure(drawing(), tmp_path / "bars", settings)
    assert not [file.name for file in tmp_path.iterdir() if str(tmp_path).encode() in file.read_bytes()]
    kept = json.loads(path.with_suffix(".json").read_text())
    del kept["drawn"], kept["overprints"]
    assert kept == {"notes": ["weights at net.pt: 3 not used"], "path": "images", "key": ["a/b", None, 1.5]}
    assert kept == plots.plain_settings(settings)
    before = content(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "copy")
    plots.save_figure(drawing(), tmp_path / "copy" / "bars", settings)
    assert content(tmp_path / "copy") == before  # and so known again
