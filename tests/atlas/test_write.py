"""Writing an atlas: one file, its limits, and wrong arguments."""

import json
import re
import stat

import numpy as np
import pandas as pd
import pytest
import toys

import mdissect
from mdissect.atlas import write_atlas
from mdissect.dissection import Dissection
from mdissect.explorers import Notes
from mdissect.models import load_target

pytestmark = pytest.mark.slow


def data_of(path) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"))[1])


def test_a_file_with_everything(found, tuned, probe, tmp_path):
    path = tmp_path / "new" / "atlas.html"
    written = mdissect.write_atlas({"M": found, "C": tuned}, probe, path=path)
    text = path.read_text(encoding="utf-8")
    assert written.size == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (written.neurons, written.results, written.pictures, written.maps) == (36, 2, 40, 0)
    assert str(written).endswith("36 neurons of 2 results; pictures of 40 of 40 images; no activation maps")
    assert text.rstrip().endswith("</html>")
    assert "Quux" not in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert data_of(path)["title"] == "M · C"
    blocks = re.findall(r'class="pictures" data-first="(\d+)">(.*?)</script>', text)
    assert sum(len(json.loads(block)) for _, block in blocks) == 40
    assert text.index('id="data"') < text.index('class="pictures"')


def test_the_same_result_gives_the_same_file(found, probe, tmp_path):
    for name in ("a.html", "b.html"):
        write_atlas(found, probe, path=tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_size_is_limited(found, probe, tmp_path):
    path = tmp_path / "atlas.html"
    whole = write_atlas(found, probe, path=path)
    limited = write_atlas(found, probe, path=path, megabytes=0.185)
    assert limited.size <= 185_000 < whole.size
    assert limited.pictures > 0
    few = write_atlas(found, probe, path=path, images=7)
    assert few.pictures == 7
    assert "pictures of 7 of 40 images" in str(few)


def test_a_table_that_alone_is_too_large_is_an_error_and_the_old_file_stays(found, probe, tmp_path):
    path = tmp_path / "atlas.html"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"megabytes=0.01: the table of 18 neurons alone takes 0\.\d MB; give more"):
        write_atlas(found, probe, path=path, megabytes=0.01)
    assert path.read_text() == "old"


def test_maps_and_weights_of_a_network(tmp_path):
    target = load_target(toys.TinyCNN(), preprocess=toys.PREPROCESS, layers=["stem", "deep"])
    probe = toys.toy_probe()
    found = mdissect.dissect(target, toys.RowDissector(), probe, toys.CONCEPTS, top_k=10, options=toys.SMALL)
    path = tmp_path / "atlas.html"
    assert write_atlas(found, probe, path=path, target=target).maps == 10
    data = data_of(path)
    maps = dict(re.findall(r'class="maps" data-first="(\d+)">(.*?)</script>', path.read_text()))
    assert {first: len(json.loads(rows)) for first, rows in maps.items()} == {"0": 4, "4": 6}
    assert [len(rows) for rows in data["neurons"]["weights"]] == [0] * 4 + [5] * 6
    weights = dict(data["neurons"]["weights"][4])
    np.testing.assert_allclose([weights[c] for c in range(5)], target.module.head.weight[:, 0].detach(), rtol=1e-3)
    other = load_target(toys.TinyCNN(), preprocess=toys.PREPROCESS, layers=["stem", "deep"])
    with pytest.raises(ValueError, match="other weights"):
        write_atlas(found, probe, path=path, target=other)


def test_without_images_it_is_the_table(found, tmp_path):
    written = write_atlas(found, path=tmp_path / "atlas.html")
    assert written.pictures == 0
    assert set(data_of(tmp_path / "atlas.html")["images"]["picture"]) == {-1}


def test_a_part_that_does_not_fit_is_left_out_and_told(found, tmp_path):
    broken = Dissection(**{**vars(found), "activations": {"stem": found.activations["stem"][:5]}})
    write_atlas({"M": broken}, path=tmp_path / "atlas.html")
    assert any(remark.startswith("M: The activations of stem") for remark in data_of(tmp_path / "atlas.html")["remarks"])


STRANGE = pd.DataFrame({"layer": ["nowhere"], "neuron": [0], "q": [0.1]})


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"dissection": {}}, "at least one dissection"),
        ({"dissection": 3}, "dissection"),
        ({"dissection": {"M": 3}}, "dissection"),
        ({"probe": 3}, "probe"),
        ({"trust": {"X": STRANGE}}, "trust is given for X"),
        ({"target": 3}, "target"),
        ({"trust": 3}, "trust"),
        ({"trust": STRANGE}, "nowhere"),
        ({"trust": STRANGE.drop(columns="q")}, "no column q"),
        ({"images": 0}, "images=0"),
        ({"images": 2.5}, "images=2.5"),
        ({"images": True}, "images=True"),
        ({"images": "8"}, "images='8'"),
        ({"megabytes": 0}, "megabytes=0"),
        ({"megabytes": -1}, "megabytes=-1"),
        ({"megabytes": float("nan")}, "megabytes=nan"),
        ({"megabytes": "60"}, "megabytes='60'"),
        ({"path": ""}, "path"),
        ({"path": 3}, "path"),
        ({"title": 3}, "title"),
    ],
)
def test_wrong_arguments(found, tmp_path, others, message):
    given = {"dissection": found, "path": tmp_path / "atlas.html", **others}
    with pytest.raises((TypeError, ValueError), match=message):
        write_atlas(given.pop("dissection"), given.pop("probe", None), **given)
    assert not (tmp_path / "atlas.html").exists()


def test_two_results_need_a_target_each(found, tuned, probe, tmp_path):
    with pytest.raises(ValueError, match="target belongs to one model"):
        write_atlas({"M": found, "C": tuned}, probe, path=tmp_path / "atlas.html", target=toys.toy_target())


def test_a_reader_study(found, tuned, probe, tmp_path):
    path, file = tmp_path / "atlas.html", tmp_path / "verdicts.csv"
    write_atlas({"M": found, "C": tuned}, probe, path=path)
    assert data_of(path)["study"] == {"blind": False, "seed": 0, "neurons": None}
    write_atlas(
        {"M": found, "C": tuned}, path=path, notes=Notes(file, blind=True, seed=3, neurons=[("deep/2", 4), ("stem", 5)])
    )
    data = data_of(path)
    assert data["study"] == {"blind": True, "seed": 3, "neurons": [5, 10, 23, 28]}
    assert [model["digest"] for model in data["models"]] == [Notes(file).of(one).digest for one in (found, tuned)]
    write_atlas(found, path=path, notes=Notes(file, "mine", named=True))
    data = data_of(path)
    assert [model["name"] for model in data["models"]] == ["mine"]
    assert data["study"]["neurons"] == [n for n, passes in enumerate(data["neurons"]["passes"]) if passes]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="no neuron 12 of 'deep/2'"):
        write_atlas(found, path=path, notes=Notes(file, neurons=[("deep/2", 12)]))
    assert path.read_bytes() == before
