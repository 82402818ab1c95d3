"""The published protocol on miniature trees of VinDr-Mammo and RSNA: which images, which labels, what is averaged."""

import numpy as np
import pytest
from evaluated import PREPROCESS, Planted, Tower
from miniature import vindr_tree
from miniature_public import rsna_tree

from mdissect.concepts import Prompts
from mdissect.evaluate import EvaluationOptions, against_published, evaluate_dissector
from mdissect.models import load_target
from mdissect.probes import load_probe
from mdissect.train import Recipe, Running

pytestmark = pytest.mark.slow

QUIET = Running(device="cpu", workers=0, progress=False)
RECIPE = Recipe(validation_fraction=0.4)
SETTINGS = {"parts": ("zero-shot", "linear probe"), "ensembles": {"bare phrase": Prompts()}, "n_boot": 20, "recipe": RECIPE}


def of(probe, **options):
    tower = load_target(Tower(), preprocess=PREPROCESS, layers=["row"], name="tower")
    return evaluate_dissector(Planted(), probe, EvaluationOptions(**SETTINGS | options), target=tower, running=QUIET)


@pytest.fixture(scope="module")
def vindr(tmp_path_factory):
    root = tmp_path_factory.mktemp("vindr")
    vindr_tree(root, 24)
    return root


@pytest.mark.slow
def test_vindr_is_divided_by_its_split_and_scored_per_image(vindr):
    probe = load_probe("vindr", path=vindr, split="all")
    found = of(probe, tasks=["mass"])
    n_test = int((probe.table.split == "test").sum())
    assert set(found.table.n) == {n_test} == {48}
    assert set(found.table.level) == {"", "image"}
    zero = found.table[found.table.part == "zero-shot"]
    assert set(zero.task) == {"mass", "suspicious calcification", "density"}
    assert found.settings["target"] == "tower"
    whole = found.table[(found.table.fraction == 1) & (found.table.metric == "auc")]
    assert whole.training_patients.tolist() == [12]
    notes = " ".join(found.notes)
    assert f"zero-shot and retrieval use the {n_test} test images" in notes
    assert "zero-shot, malignancy: no column cancer" in notes
    compared = against_published(found)
    row = compared[(compared.dataset == "vindr") & (compared.part == "zero-shot") & (compared.task == "mass")].iloc[0]
    assert row.ours == zero[(zero.task == "mass") & (zero.metric == "auc")].value.iloc[0]
    assert row.note == f"evaluated on {n_test} of the 4000 test images"
    assert set(compared[compared.dataset == "rsna"].note) == {"evaluated on vindr, not on rsna: not comparable"}


def test_the_test_split_of_vindr_alone_is_told_from_texts_and_not_learnt(vindr):
    probe = load_probe("vindr", path=vindr)
    assert set(of(probe, parts=["zero-shot"]).table.n) == {48}
    with pytest.raises(ValueError, match=r"has no training images \(it has test\).*load the probe with split='all'"):
        of(probe, parts=["linear probe"], tasks=["mass"])


@pytest.mark.slow
def test_rsna_is_tested_on_fold_0_and_cancer_per_breast(tmp_path):
    rsna_tree(tmp_path, 24, images="png", folds=True)
    probe = load_probe("rsna", path=tmp_path)
    patient = np.array([int(one) - 10006 for one in probe.patients])
    probe.table["cancer"] = (patient // 4 % 2 == 0) & (probe.table.laterality == "L")  # some in each fold
    found = of(probe, tasks=["cancer"])
    assert set(found.table[found.table.part == "zero-shot"].n) <= {24, 12}  # of fold 0: 6 patients, 3 of them with a density
    malignancy = found.table[(found.table.task == "malignancy") & (found.table.metric == "auc")]
    assert malignancy.n.tolist() == [24]
    learnt = found.table[(found.table.task == "cancer") & (found.table.fraction == 1)]
    assert learnt.n.tolist() == [12] * 3  # breasts, of two images each
    assert set(learnt.level) == {"breast"}
    assert learnt.training_patients.tolist() == [12] * 3  # of the folds 1 and 2
    assert any("fold 0 is the test, folds 1 and 2 the training images" in note for note in found.notes)
    images = of(probe, parts=["linear probe"], tasks=["cancer"], level="image")
    assert set(images.table.n) == {24}
