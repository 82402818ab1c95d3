"""The committed tables of benchmarks, and what data sets would cost by them."""

import pandas as pd
import pytest
from benched import STAGES, passes, stages, written

from mdissect.study import speed


@pytest.fixture
def found(tmp_path):
    return speed.benches(written(tmp_path, stages(), passes()))


def test_tables_are_read_by_name(found):
    assert list(found) == ["pass", "stages"]
    assert found["stages"].tables["By stage"].set_index("stage")["ms an image"].to_dict() == STAGES
    assert found["stages"].device["gpu"] is None


def test_the_committed_tables_are_of_the_full_size():
    assert {bench.size for bench in speed.benches().values()} == {"full"}


def test_a_missing_benchmark_says_how_it_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table of the benchmark stages in .*`make bench` measures it"):
        speed.benches(tmp_path)
    assert speed.benches(tmp_path, needed=[]) == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "stages"}'])
def test_another_file_is_an_error(tmp_path, text):
    (tmp_path / "stages.json").write_text(text)
    with pytest.raises(ValueError, match=r"stages\.json is not a table of `make bench`"):
        speed.benches(tmp_path)


def test_goals_are_listed_with_what_was_wanted(found):
    table = speed.goals(found)
    assert table.goal.tolist() == ["at least 6", "at least 10"]
    assert table.met.tolist() == [True, False]
    assert list(speed.goals({"stages": found["stages"]}).columns) == list(table.columns)


def test_costs_are_the_stages_times_the_images(found):
    table = speed.costs(found["stages"], {"small": 36, "large": 3_600_000}, gpu_rate=100)
    small, large = table.iloc[0], table.iloc[1]
    assert small.here_h == pytest.approx(0.01)  # 36 images of a second each
    assert (large.gpu_1_h, large.gpu_8_h) == (pytest.approx(10), pytest.approx(1.25))
    assert (large.cores_1, large.cores_8) == (pytest.approx(6), pytest.approx(48))  # 100 a second, 60 ms each
    assert large.stored_gb == pytest.approx(14.4)
    assert list(speed.costs(found["stages"], {"a": 1}, 5, gpus=[2]).filter(like="gpu_")) == ["gpu_2_h"]


def test_costs_need_the_stages_and_a_rate(found):
    with pytest.raises(ValueError, match="bench='pass' has no stages"):
        speed.costs(found["pass"], {"a": 1}, 100)
    with pytest.raises(ValueError, match="gpu_rate"):
        speed.costs(found["stages"], {"a": 1}, 0)
    assert isinstance(speed.costs(found["stages"], {}, 100), pd.DataFrame)
