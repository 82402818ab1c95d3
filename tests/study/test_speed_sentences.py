"""The sentences on speed say what their tables hold, and what was not measured."""

import pytest
from benched import passes, stages, written

from mdissect.study import speed
from mdissect.study import speed_sentences as sentences


@pytest.fixture
def found(tmp_path):
    return speed.benches(written(tmp_path, stages(), passes()))


def bench(tmp_path, **options):
    return speed.benches(written(tmp_path, stages(**options)))["stages"]


def test_the_answer_names_the_largest_stage_and_the_goals_missed(found):
    text = sentences.in_short(found)
    assert "An image takes 1.0 s on this machine, **93 %** of it in the stage *forward*." in text
    assert "the pass is 7.0 times as fast in float32 and 9.0 times as fast in bf16" in text
    assert "**1 of 2** goals are met. Missed: bf16, times the published pipeline (9, at least 10)." in text
    assert "goals" not in sentences.in_short({"stages": found["stages"]})


def test_a_busy_machine_a_quick_table_and_a_missing_gpu_are_said(tmp_path):
    assert "no GPU" in sentences.device(bench(tmp_path))
    assert "busy" not in sentences.device(bench(tmp_path))
    assert "the machine was busy (load average 3)" in sentences.device(bench(tmp_path, load=3))
    assert "quick sizes" in sentences.device(bench(tmp_path, size="quick"))
    assert "A big GPU" in sentences.device(bench(tmp_path, gpu="A big GPU"))


def test_stages_are_compared_with_their_floors(found):
    text = sentences.by_stage(found["stages"])
    assert "Most of the time goes to *forward* 93 % (930 ms an image) and *decode* 5 % (50 ms an image)." in text
    assert "decode 1.2 times, forward 4.0 times, score 3.0 times" in text
    assert "Room is left in forward and score." in text


def test_growth_is_told_for_each_number(found):
    text = sentences.growth(found["stages"])
    assert "soft_wpmi, 100 images, 20 neurons, 10 concepts: 200 ms, 50 MB beside its inputs" in text
    assert "2 times N: 1.0 times the time, 1.0 times the memory; 2 times K: 2.0 times the time" in text
    assert "4 times M: 4.0 times the time" in text
    assert "calibrate, 100 images" in text


def test_costs_on_gpus_are_marked_as_not_measured(found, tmp_path):
    table = speed.costs(found["stages"], {"large": 3_600_000}, 100)
    text = sentences.costs_in_words(table, 100, found["stages"])
    assert "large, 3,600,000 images: 42 days here; 10.0 h on 1 GPU (6 cores decode), 1.2 h on 8 GPUs (48 cores decode)" in text
    assert "**not measured** (no GPU ran; 100 images a second and GPU are stated)" in text
    with_gpu = sentences.costs_in_words(table, 100, bench(tmp_path, gpu="A big GPU"))
    assert "**not measured** (A big GPU ran the stages, but 100 images" in with_gpu


def test_the_plan_is_for_the_largest(found):
    table = speed.costs(found["stages"], {"large": 3_600_000, "small": 36}, 100)
    text = sentences.plan(table, 1000)
    assert text.startswith("large, 3,600,000 images:")
    assert "1,000 neurons an image come to 14 GB" in text
    assert "8 GPUs take 1.2 h at the stated rate and need 48 cores" in text


def test_tables_are_shown_as_they_were_written(found):
    text = sentences.tables(found["stages"])
    assert "| stage | ms an image | images a second | share | times its floor |" in text
    assert "| pool | 4 | 250 | 0.004 | not measured |" in text
    assert "Measured on A chip" in text
