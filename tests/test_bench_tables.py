"""What benchmarks write, and which of them `make bench` runs."""

import json
import math
import re

import bench
import bench_tables
import pytest
from bench_tables import Goal, device, pick, write_bench

ROWS = [{"way": "one", "seconds": 0.123456, "images": 20_000}, {"way": "two", "seconds": float("nan"), "images": 3}]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_tables, "FOLDERS", {"quick": tmp_path / "quick", "full": tmp_path / "full"})
    monkeypatch.delenv(bench_tables.SIZE, raising=False)
    return tmp_path


def test_a_table_is_written_for_readers_and_for_the_notebook(folder, monkeypatch):
    monkeypatch.setenv(bench_tables.SIZE, "full")
    page = write_bench("toy", {"Ways": ROWS}, "Measured  by hand.", [Goal("ratio", 6.5, least=6), Goal("memory", 2, most=1.5)])
    found = json.loads((folder / "full" / "toy.json").read_text())
    assert found["tables"]["Ways"] == [
        {"way": "one", "seconds": 0.1235, "images": 20_000},
        {"way": "two", "seconds": None, "images": 3},
    ]
    assert [goal["met"] for goal in found["goals"]] == [True, False]
    assert found["device"]["processor"]
    lines = page.read_text().splitlines()
    assert "| one | 0.123 | 20,000 |" in lines
    assert "| two | not measured | 3 |" in lines
    assert "| ratio | at least 6 | 6.5 | met |" in lines
    assert "| memory | at most 1.5 | 2 | missed |" in lines
    assert str(device()["cores"]) in page.read_text()


def test_quick_tables_go_elsewhere_and_say_so(folder):
    assert pick("small", "large") == "small"
    assert "not for results" in write_bench("toy", {"Ways": ROWS}, "Measured.").read_text()
    assert not (folder / "full").exists()


@pytest.mark.parametrize(("least", "most"), [(None, None), (1, 2)])
def test_a_goal_has_one_bound(least, most):
    with pytest.raises(ValueError, match="a least or a most"):
        Goal("what", 1, least, most)


def test_what_was_not_measured_meets_no_goal():
    assert not Goal("what", math.nan, least=0).met
    assert not Goal("what", math.nan, most=0).met


@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"b": 1}]])
def test_rows_have_the_same_columns(folder, rows):
    with pytest.raises(ValueError, match="differ in their columns"):
        write_bench("toy", {"Ways": rows}, "Measured.")


def test_an_unknown_size_is_an_error(monkeypatch):
    monkeypatch.setenv(bench_tables.SIZE, "huge")
    with pytest.raises(SystemExit, match="quick or full"):
        bench_tables.size()


def test_benchmarks_that_write_a_table_are_run(tmp_path):
    (tmp_path / "benchmark_one.py").write_text("write_bench('one', {}, '')\n")
    (tmp_path / "benchmark_two.py").write_text("print('no table')\n")
    assert list(bench.benchmarks(tmp_path)) == ["one"]


def test_each_writes_tables_of_its_own_name():
    named = {name: re.findall(r'write_bench\(\s*"(\w+)"', path.read_text()) for name, path in bench.benchmarks().items()}
    assert named == {name: [name] for name in named}
