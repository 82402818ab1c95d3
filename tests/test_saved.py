"""Tests of saved results: what is loaded is what was saved, or one error names the file; whatever dies, one of two is whole."""

import json
import random
import shutil
import stat
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import faults
import numpy as np
import pandas as pd
import pytest
import toys
from made_up import dissected
from safetensors.numpy import load, save

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.explorers.checks import consistent
from mdissect.files import DamagedFileError

FILES = ("dissection.json", "arrays-*", "concepts-*", "probe-*")


def same(one: Dissection, other: Dissection) -> bool:
    """Whether two results are equal, bit by bit."""
    arrays = all(
        left.keys() == right.keys() and all(np.array_equal(left[layer], right[layer], equal_nan=True) for layer in left)
        for left, right in ((one.similarity, other.similarity), (one.activations, other.activations))
    )
    notes = {layer: list(n) for layer, n in one.notes.items()} == {layer: list(n) for layer, n in other.notes.items()}
    tables = one.concepts.table.equals(other.concepts.table) and one.probe_table.equals(other.probe_table)
    singles = ("image_concept_sims", "image_embeddings", "text_embeddings")
    sims = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in singles)
    labels = one.labels().astype({"similarity": float}).equals(other.labels().astype({"similarity": float}))
    return arrays and notes and tables and sims and labels and one.settings == other.settings


@pytest.fixture(scope="module")
def result() -> Dissection:
    """A result with all of its parts."""
    dissection, _ = faults.results()
    notes = {"deep": np.array(["tied", *[""] * 39], dtype=object)}
    table = dissection.probe_table.assign(age=[50.5, *[None] * 59], findings=[["mass"], *[[]] * 59])
    labels = dissection.labels().assign(p=np.linspace(1e-17, 1, 40), q=np.nan)
    rng = np.random.default_rng(0)
    embeddings = {
        "image_embeddings": rng.normal(size=(60, 5)),
        "text_embeddings": rng.normal(size=(len(dissection.concepts), 5)),
    }
    embeddings = {name: values.astype(np.float32) for name, values in embeddings.items()}
    return replace(dissection, notes=notes, probe_table=table, trusted=labels, **embeddings)


@pytest.fixture
def folder(result, tmp_path):
    result.save(tmp_path / "saved")
    return tmp_path / "saved"


def file_of(folder, pattern):
    (path,) = folder.glob(pattern)
    return path


def test_what_is_saved_is_loaded(result, folder):
    found = Dissection.load(folder)
    assert same(found, result)
    assert found.trusted.p.tolist() == result.trusted.p.tolist()  # to the last bit
    assert found.trusted.q.isna().all()
    assert found.probe_table.findings.tolist() == result.probe_table.findings.tolist()


def test_values_of_numpy_stay_numbers(result, tmp_path):
    table = result.probe_table.assign(sizes=[np.array([np.int64(5), 6])] * 60, n=np.arange(60, dtype=np.uint8))
    replace(result, probe_table=table, settings={"a": np.float32(0.5), "size": (8, np.int64(9))}).save(tmp_path)
    found = Dissection.load(tmp_path)
    assert found.probe_table.sizes.iloc[0] == [5, 6]
    assert found.probe_table.n.tolist() == list(range(60))
    assert found.settings == {"a": 0.5, "size": [8, 9]}


def test_only_its_owner_can_read_it(folder):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.suffix != ".lock"}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_result_can_be_moved_and_saved_over(result, folder, tmp_path):
    shutil.move(folder, tmp_path / "moved")
    assert same(Dissection.load(tmp_path / "moved"), result)
    _, other = faults.results()
    other.save(tmp_path / "moved")
    assert same(Dissection.load(tmp_path / "moved"), other)
    assert len(list((tmp_path / "moved").iterdir())) == 5  # with the lock


@pytest.mark.parametrize("pattern", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: b"",
        lambda data: data + b"\n",
        lambda data: data[:100] + data[101:],
        lambda data: data.replace(b"concept 1", b"concept 2", 1),
        lambda data: data.replace(b"P1", b"P2", 1),
        lambda data: data[:-9] + b"\xff" * 9,
        lambda data: bytes(len(data)),
        None,
    ],
    ids=["cut short", "emptied", "grown", "a byte lost", "another concept", "another patient", "bytes", "zeros", "gone"],
)
def test_damage_is_one_error_that_names_the_file(folder, pattern, damage):
    path = file_of(folder, pattern)
    if damage is None:
        path.unlink()
    elif (damaged := damage(path.read_bytes())) == path.read_bytes():
        return  # it holds no such word
    else:
        path.write_bytes(damaged)
    error = FileNotFoundError if damage is None and pattern == FILES[0] else DamagedFileError
    with pytest.raises(error, match=rf"{path.name}.*(take a whole copy of its folder, or dissect|Dissection\.save)"):
        Dissection.load(folder)


@pytest.mark.parametrize("pattern", FILES)
def test_files_of_another_result_are_noticed(folder, tmp_path, pattern):
    faults.results()[1].save(tmp_path / "other")
    path = file_of(folder, pattern)
    shutil.copy(file_of(tmp_path / "other", pattern), path)
    with pytest.raises(DamagedFileError, match=r"arrays-.* is missing" if pattern == FILES[0] else path.name):
        Dissection.load(folder)


def test_further_files_do_no_harm(result, folder):
    for name in ("concepts.json", "arrays-000000000000.safetensors", "notes.txt"):
        (folder / name).write_text("{}")
    assert same(Dissection.load(folder), result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarity": {"deep": np.zeros((40, 4))}}, "the similarity of deep are 40 x 4 where 40 x 5 are expected"),
        ({"similarity": {"deep": np.zeros(40)}}, "the similarity of deep are 40 where 40 x 5"),
        ({"similarity": {"late": np.zeros((40, 5))}}, "activations of deep, of which there is no similarity"),
        ({"activations": {"deep": np.zeros((60, 39))}}, "the activations of deep are 60 x 39 where 60 x 40"),
        ({"activations": {"deep": np.zeros((59, 40))}}, "the activations of deep are 59 x 40 where 60 x 40"),
        ({"image_concept_sims": np.zeros((60, 6))}, "the image_concept_sims are 60 x 6 where 60 x 5"),
        ({"image_concept_sims": np.zeros((61, 5))}, "the image_concept_sims are 61 x 5 where 60 x 5"),
        ({"notes": {"deep": np.array([""] * 39)}}, "the notes of deep are 39 where 40 are expected"),
        ({"concepts": ConceptSet.from_list(["a", "b"])}, "the similarity of deep are 40 x 5 where 40 x 2"),
        ({"probe_table": pd.DataFrame(index=["a"] * 60)}, "the probe's table has several rows of 'a'"),
        ({"trusted": pd.DataFrame({"layer": ["deep"], "neuron": [0]})}, "the calibrated labels are not one for each neuron"),
        ({"trusted": pd.DataFrame({"layer": ["deep"]})}, "the calibrated labels are not one for each neuron"),
    ],
)
def test_parts_that_do_not_fit_together_are_not_saved(result, tmp_path, change, message):
    with pytest.raises(ValueError, match=f"this dissection cannot be saved: {message}"):
        replace(result, **change).save(tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize("folder", ["", "  "])
def test_no_folder_is_not_the_working_folder(result, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for act in (result.save, Dissection.load):
        with pytest.raises(ValueError, match=r"folder=.* is empty; give a folder"):
            act(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_a_folder_is_named(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        result.save(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="file holds no dissection"):
        Dissection.load(tmp_path / "file")


# Results older than checksums


def write_old(dissection: Dissection, folder) -> None:
    """A result as it was written before there were checksums."""
    folder.mkdir(exist_ok=True)
    arrays = {f"similarity/{layer}": s for layer, s in dissection.similarity.items()}
    arrays |= {f"activations/{layer}": a for layer, a in dissection.activations.items()}
    arrays["image_concept_sims"] = dissection.image_concept_sims
    (folder / "arrays.safetensors").write_bytes(save(arrays))
    dissection.concepts.table.to_csv(folder / "concepts.csv", index=False)
    table = dissection.probe_table.astype(object).where(dissection.probe_table.notna(), None)
    (folder / "probe.json").write_text(json.dumps(table.to_dict(orient="split"), default=str))
    document = {
        "settings": dissection.settings,
        "layers": dissection.layers,
        "notes": {layer: list(notes) for layer, notes in dissection.notes.items()},
    }
    if dissection.trusted is not None:
        document["trusted"] = json.loads(dissection.trusted.to_json(orient="split", double_precision=15))
    (folder / "dissection.json").write_text(json.dumps(document, indent=1))


@pytest.fixture
def old(result, tmp_path):
    write_old(result, tmp_path / "old")
    return tmp_path / "old"


def test_an_old_result_is_read_with_a_warning(result, old):
    with pytest.warns(UserWarning, match="old: saved before results had checksums: damage may go unnoticed; save it again"):
        found = Dissection.load(old)
    assert found.settings.pop("unverified") == "saved before results had checksums: damage may go unnoticed"
    newer = {"trusted": None, "image_embeddings": None, "text_embeddings": None}
    assert same(replace(found, trusted=None), replace(result, **newer))
    assert found.trusted.concept.tolist() == result.trusted.concept.tolist()


def test_an_explorer_tells_of_an_old_result(old):
    with pytest.warns(UserWarning, match="checksums"):
        _, told = consistent(Dissection.load(old))
    assert told[0] == "This result was saved before results had checksums: damage may go unnoticed."


def test_an_old_result_is_saved_anew_with_checksums(old):
    with pytest.warns(UserWarning, match="checksums"):
        found = Dissection.load(old)
    found.save(old)
    names = {path.name for path in old.iterdir()}
    assert not names & {"arrays.safetensors", "concepts.csv", "probe.json"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = Dissection.load(old)
    assert same(again, found)
    assert "unverified" in again.settings  # nobody knows what it was like before


def test_an_old_result_may_lack_notes_and_settings(result, old):
    document = json.loads((old / "dissection.json").read_text())
    (old / "dissection.json").write_text(json.dumps({"layers": document["layers"]}))
    with pytest.warns(UserWarning, match="checksums"):
        found = Dissection.load(old)
    assert (found.notes, list(found.settings)) == ({}, ["unverified"])
    np.testing.assert_array_equal(found.similarity["deep"], result.similarity["deep"])


def edited(change):
    """A change of a JSON file's content."""
    return lambda data: json.dumps(change(json.loads(data))).encode()


def arrays(change):
    """A change of a safetensors file's content."""
    return lambda data: save(change(load(data)))


@pytest.mark.filterwarnings("ignore:.*saved before results had checksums")
@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("dissection.json", lambda data: data[:-5], "dissection.json is damaged"),
        ("dissection.json", edited(lambda d: [d]), "dissection.json is damaged"),
        ("dissection.json", edited(lambda d: {"settings": {}}), "dissection.json is damaged .*layers"),
        (
            "dissection.json",
            edited(lambda d: d | {"layers": 5}),
            'dissection.json is damaged .*"layers" is not a list of names',
        ),
        ("dissection.json", edited(lambda d: d | {"layers": ["deep", "deep"]}), '"layers" is not a list of names'),
        ("dissection.json", edited(lambda d: d | {"notes": {"deep": 5}}), '"settings" or "notes" is of another kind'),
        ("dissection.json", edited(lambda d: d | {"notes": {"deep": [""]}}), "the notes of deep are 1 where 40"),
        ("dissection.json", edited(lambda d: d | {"settings": []}), '"settings" or "notes" is of another kind'),
        ("dissection.json", edited(lambda d: d | {"trusted": {"a": 1}}), "dissection.json is damaged"),
        ("dissection.json", edited(lambda d: d | {"layers": ["late"]}), "arrays.safetensors is damaged .*similarity/late"),
        ("arrays.safetensors", lambda data: data[:-1], "arrays.safetensors is damaged"),
        ("arrays.safetensors", lambda data: b"", "arrays.safetensors is damaged"),
        ("arrays.safetensors", lambda data: b"\xff" * 20, "arrays.safetensors is damaged"),
        ("arrays.safetensors", arrays(lambda a: {}), "arrays.safetensors is damaged .*similarity/deep"),
        (
            "arrays.safetensors",
            arrays(lambda a: a | {"image_concept_sims": np.zeros((60, 4))}),
            "image_concept_sims are 60 x 4",
        ),
        ("arrays.safetensors", arrays(lambda a: {n: v[:-1] for n, v in a.items()}), "are 59 x 39 where 60 x 39|are 59"),
        ("arrays.safetensors", arrays(lambda a: {n: v[:, :-1] for n, v in a.items()}), "are 40 x 4 where 40 x 5"),
        ("concepts.csv", lambda data: data.replace(b"concept,", b"word,", 1), "concepts.csv is damaged .*missing: concept"),
        ("concepts.csv", lambda data: data + b"one,more,row,of,a,set\n", "are 40 x 5 where 40 x 6"),
        ("concepts.csv", lambda data: data.rsplit(b"\n", 2)[0], "are 40 x 5 where 40 x 4"),
        ("concepts.csv", lambda data: data + b"a,b\n", "concepts.csv is damaged .*line 7: 2 cells under 6 columns"),
        ("concepts.csv", lambda data: b'"' + data, "concepts.csv is damaged"),
        ("concepts.csv", lambda data: b"", "concepts.csv is damaged"),
        ("concepts.csv", lambda data: b"\xff" + data, "concepts.csv is damaged"),
        ("probe.json", lambda data: data[1:], "probe.json is damaged"),
        ("probe.json", edited(lambda d: d | {"index": d["index"][1:], "data": d["data"][1:]}), "are 60 x 40 where 59 x 40"),
        ("probe.json", edited(lambda d: d | {"index": d["index"][1:]}), "probe.json is damaged"),
        ("probe.json", edited(lambda d: d | {"index": [d["index"][0]] * 60}), "several rows of 'image 0'"),
        ("probe.json", edited(lambda d: d | {"rows": 1}), "probe.json is damaged"),
        ("probe.json", None, "probe.json is missing"),
        ("concepts.csv", None, "concepts.csv is missing"),
        ("arrays.safetensors", None, "arrays.safetensors is missing"),
    ],
)
def test_of_an_old_result_all_that_cannot_be_right_is_refused(old, name, damage, message):
    path = old / name
    path.unlink() if damage is None else path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedFileError, match=message) as caught:
        Dissection.load(old)
    assert str(old) in str(caught.value)
    assert "take a whole copy of its folder, or dissect and save again" in str(caught.value)


# Whatever dies


@pytest.mark.slow
@pytest.mark.parametrize("before", ["nothing", "a result", "an old result"])
def test_a_process_that_dies_leaves_the_old_result_or_the_new_one(tmp_path, before):
    first, second = faults.results()
    path = tmp_path / "saved"

    def start_over():
        shutil.rmtree(path, ignore_errors=True)
        if before != "nothing":
            first.save(path) if before == "a result" else write_old(first, path)

    start_over()
    found = []
    for _ in faults.deaths(lambda: second.save(path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                loaded = Dissection.load(path)
                loaded.settings.pop("unverified", None)
                found.append(1 + same(loaded, second) if same(loaded, first) or same(loaded, second) else 0)
            except FileNotFoundError:
                found.append(1 if before == "nothing" else 0)
        start_over()
    assert set(found) == {1, 2}
    assert found == sorted(found)


def test_a_full_disk_leaves_a_whole_result_and_is_told(tmp_path):
    first, second = faults.results()
    first.save(tmp_path)
    with toys.full_disk(3000), pytest.raises(OSError, match=f"File too large: '{tmp_path}/arrays-"):
        second.save(tmp_path)
    assert same(Dissection.load(tmp_path), first)
    n_errors = 0
    for error in faults.full_disks(lambda: second.save(tmp_path)):
        loaded = Dissection.load(tmp_path)
        assert error.errno == 28
        assert same(loaded, first) or same(loaded, second)
        first.save(tmp_path)
        n_errors += 1
    assert n_errors >= 8


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(faults.MOMENTS))
def test_a_result_whose_writer_is_killed_is_whole(tmp_path, moment):
    results, path = faults.results(), tmp_path / "saved"
    results[0].save(path)
    faults.killed("save", path, random.Random(moment), length=0.5)
    loaded = Dissection.load(path)
    assert any(same(loaded, one) for one in results)
    results[0].save(path)
    assert len(list(path.iterdir())) == 5  # no litter stays


@pytest.mark.slow
def test_of_two_writers_at_once_each_result_is_whole(tmp_path):
    command, results = [sys.executable, faults.__file__, "save", str(tmp_path)], faults.results()
    processes = [subprocess.Popen(command, env=faults.environment(), stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout.readline() == b"ready\n"
        while not (tmp_path / "dissection.json").exists():
            time.sleep(0.01)
        loaded = [Dissection.load(tmp_path) for _ in range(25)]
        assert {tuple(same(one, other) for other in results) for one in loaded} <= {(True, False), (False, True)}
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.mark.parametrize("change", ["shorter", "missing"])
def test_arrays_that_are_not_whole_are_not_mapped(change, tmp_path):
    found = dissected(np.ones((6, 2), np.float32), np.ones((6, 3), np.float32), ["mass", "calcification"], top_k=2)
    found.save(tmp_path)
    (arrays,) = tmp_path.glob("arrays-*.safetensors")
    if change == "shorter":
        arrays.write_bytes(arrays.read_bytes()[:-4])
    else:
        arrays.unlink()
    with pytest.raises(DamagedFileError, match=arrays.name):
        Dissection.load(tmp_path, lazy=True)
