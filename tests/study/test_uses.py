"""Which neurons the classifiers of a study use: a row per classifier and category, kept in the store."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import nets
import pandas as pd
import pytest
from torch import nn

from mdissect.concepts import ConceptSet
from mdissect.predictions import AblationOptions
from mdissect.study import Setup, Study, used_categories, uses

FEW = AblationOptions(n_random=10, n_boot=10, run=nets.QUIET)


@pytest.fixture
def study(monkeypatch, tmp_path):
    """Two setups of the same toy classifier, which tells whether images are bright on the left."""
    target = nets.target(nets.net(nn.ReLU(), nets.AvgMax(), nn.Linear(6, 1)), "2")
    monkeypatch.setattr(uses, "load_target", lambda spec, **_: target)
    stub = Study.__new__(Study)
    kept = partial(Study.kept, SimpleNamespace(store=tmp_path / "store"))
    vars(stub).update(
        profile=SimpleNamespace(setups={"C3": Setup("toy", "toy"), "C4": Setup("toy", "toy")}),
        probe=lambda name: nets.probe(), kept=kept, dissect=lambda name: nets.dissection(target), pass_options=nets.QUIET,
    )  # fmt: skip
    return stub


def test_a_row_per_classifier_and_category(study):
    found = used_categories(study, {"C3": "bright", "C4": "bright", "C9": "bright"}, "category", FEW)
    assert found.setup.tolist() == ["C3"] * 3 + ["C4"] * 3  # the study has no C9
    assert set(found.group) == {"sides", "things", "objects"}
    assert (found.n_images == 40).all()
    assert (found.n_patients == 20).all()
    assert not found.own.any()


def test_results_are_kept_until_an_option_changes(study, monkeypatch):
    first = used_categories(study, {"C3": "bright"}, "category", FEW)
    monkeypatch.setattr(uses, "ablate_groups", lambda *_: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(used_categories(study, {"C3": "bright"}, "category", FEW), first)
    for other in (AblationOptions(n_random=11, n_boot=10, run=nets.QUIET), AblationOptions(n_random=10, n_boot=10, to="zero")):
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            used_categories(study, {"C3": "bright"}, "category", other)


def test_a_study_without_these_setups_is_an_error(study):
    with pytest.raises(ValueError, match="none of the setups C7 is in the study; it has C3, C4"):
        used_categories(study, {"C7": "bright"})


def test_classifiers_without_any_label_have_no_row(study, monkeypatch):
    monkeypatch.setattr(uses, "ablate_groups", lambda *_: (_ for _ in ()).throw(uses.NoLabelError("no label")))
    found = used_categories(study, {"C3": "bright"}, options=FEW)
    assert len(found) == 0
    assert {"setup", "task", "by", "own", "change"} <= set(found)


def test_without_tasks_in_the_concept_set_categories_are_ablated(study):
    assert set(used_categories(study, {"C3": "bright"}, options=FEW).by) == {"task"}
    found = study.dissect("C3")
    untold = ConceptSet(found.concepts.table.assign(tasks=""))
    study.dissect = lambda name: replace(found, concepts=untold)
    ablated = used_categories(study, {"C3": "bright"}, options=FEW)
    assert set(ablated.by) == {"category"}
    assert not ablated.own.any()
