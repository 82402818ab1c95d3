"""The truth of phantoms behind a probe's table, and labels held against it."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.phantom.mammograms import Truth, sample_truth, truth_of_row
from mdissect.phantom.mammograms.factors import Calcification, Mass
from mdissect.probes import load_probe
from mdissect.trust import concept_presence, is_phantom, known_presence, label_precision, mapped_presence


def truth(index: int = 0, **factors) -> Truth:
    """A left CC view of density B, BI-RADS 1, with the factors given."""
    described = {"patient": "P000000", "laterality": "L", "view": "CC", "density": "B", "birads": 1} | factors
    return Truth(index=index, **described)


def table_of(*truths: Truth) -> pd.DataFrame:
    return pd.DataFrame([one.as_row() for one in truths], index=[f"image {i}" for i in range(len(truths))])


def test_a_row_of_a_table_is_the_truth_again():
    truths = [sample_truth(seed, index) for seed in (0, 7) for index in range(400)]
    table = table_of(*truths)
    assert [truth_of_row(row) for row in table.to_dict("records")] == truths
    assert [truth_of_row(one.as_row()) for one in truths] == truths
    seen = pd.DataFrame([asdict(one) for one in truths])
    rare = ("distortion", "skin_retraction", "surgical_clips", "pacemaker")
    assert seen[list(rare)].any().all()  # the truths were not the plain ones only
    assert set(seen.asymmetry) == {"", "asymmetry", "focal", "global"}
    assert set(seen.implant) == {"", "saline", "silicone"}


def test_a_row_of_another_table_is_none():
    row = sample_truth(0, 0).as_row()
    del row["mass_margin"]
    with pytest.raises(KeyError, match="mass_margin"):
        truth_of_row(row | {"mass": True})


CLEAN = truth()
SPICULATED = truth(mass=Mass("irregular", "spiculated", "high"), birads=5, density="D")
FAINT = truth(calcification=Calcification("amorphous", "grouped", True), birads=4, view="MLO", lymph_node="axillary")
IMPLANT = truth(implant="saline", distortion=True, laterality="R", birads=4)


@pytest.mark.parametrize(
    ("concept", "expected"),
    [
        ("mass", [False, True, False, False]),
        ("no mass", [True, False, True, True]),
        ("Spiculated Mass", [False, True, False, False]),
        ("oval mass", [False, False, False, False]),
        ("calcification", [False, False, True, False]),
        ("suspicious calcification", [False, False, True, False]),
        ("benign calcification", [False, False, False, False]),
        ("axillary lymph node", [False, False, True, False]),
        ("extremely dense breast", [False, True, False, False]),
        ("craniocaudal view", [True, True, False, True]),
        ("saline implant", [False, False, False, True]),
        ("silicone implant", [False, False, False, False]),
        ("architectural distortion", [False, False, False, True]),
    ],
)
def test_which_concepts_are_true(concept, expected):
    presence = concept_presence(table_of(CLEAN, SPICULATED, FAINT, IMPLANT), [concept])
    assert presence[concept].tolist() == expected


def test_only_what_phantoms_can_show_or_lack():
    presence = concept_presence(table_of(CLEAN, SPICULATED), ["breast", "tench", "", "mass"])
    assert list(presence.columns) == ["mass"]
    assert list(presence.index) == ["image 0", "image 1"]
    assert presence.dtypes.tolist() == [bool]
    assert concept_presence(table_of(CLEAN), ["tench"]).shape == (1, 0)


def test_a_probe_and_its_part_of_a_joined_probe_agree():
    concepts = ["mass", "no mass", "suspicious calcification", "BI-RADS 4", "BI-RADS 1", "extremely dense breast"]
    phantoms = load_probe("phantom", n_images=40, seed=3, cache=False)
    wanted = concept_presence(phantoms.table, concepts)
    assert list(wanted.columns) == concepts
    assert wanted.any().all()
    joined = phantoms + load_probe("natural", n_images=5, cache=False)
    found = concept_presence(joined.table.iloc[:40], concepts)
    pd.testing.assert_frame_equal(found, wanted)
    with pytest.raises(ValueError, match=r"5 of 45 images are no phantoms and have no truth, such as natural-0-000000, "):
        concept_presence(joined.table, concepts)


def test_a_table_of_something_else():
    table = pd.DataFrame({"class": ["church", "tench"]})
    with pytest.raises(ValueError, match=r"the table lacks index, patient, .*: it is not that of load_probe\('phantom'\)"):
        concept_presence(table, ["mass"])


@pytest.fixture
def dissection() -> Dissection:
    """Ten images, masses in the first four; a layer with four neurons, one of which is constant."""
    truths = [truth(i, mass=Mass("oval", "circumscribed", "equal") if i < 4 else None) for i in range(10)]
    rising, falling = np.arange(10.0), -np.arange(10.0)
    nan = np.full(3, np.nan)
    return Dissection(
        similarity={"deep": np.array([[0.9, 0, 0], [0.8, 0, 0], [0, 0.7, 0], nan], dtype=np.float32)},
        activations={"deep": np.stack([falling, rising, falling, np.ones(10)], axis=1).astype(np.float32)},
        notes={"deep": np.array(["", "", "", "constant"], dtype=object)},
        concepts=ConceptSet.from_list(["mass", "no mass", "tench"]),
        probe_table=table_of(*truths),
        settings={},
    )


def test_label_precision(dissection):
    found = label_precision(dissection, top=5)
    assert list(found.columns) == ["layer", "neuron", "concept", "precision", "prevalence"]
    assert found.neuron.tolist() == [0, 1, 2]  # the constant neuron has no label
    assert found.concept.tolist() == ["mass", "mass", "no mass"]
    assert found.precision.tolist() == pytest.approx([0.8, 0.0, 0.2])
    assert found.prevalence.tolist() == pytest.approx([0.4, 0.4, 0.6])


def test_labels_that_phantoms_cannot_show_are_left_out(dissection):
    dissection.similarity["deep"][0] = [0, 0, 1]
    assert label_precision(dissection, top=5).neuron.tolist() == [1, 2]
    dissection.similarity["deep"][1:3] = [0, 0, 1]
    assert label_precision(dissection, top=5).empty


def test_label_precision_of_a_saved_dissection(dissection, tmp_path):
    dissection.save(tmp_path / "kept")
    found = label_precision(Dissection.load(tmp_path / "kept"), top=5)
    pd.testing.assert_frame_equal(found, label_precision(dissection, top=5))


def test_label_precision_of_presence_that_is_partly_known(dissection):
    presence = pd.DataFrame({"mass": [True] * 4 + [False] * 6}, index=dissection.probe_table.index, dtype=object)
    presence.loc[presence.index[:2], "mass"] = None
    found = label_precision(dissection, 5, presence)
    assert found.concept.tolist() == ["mass", "mass"]  # nothing is known of the other labels
    assert found.precision.tolist() == pytest.approx([2 / 3, 0.0])
    assert found.prevalence.tolist() == pytest.approx([2 / 8] * 2)


def test_phantoms_are_told_from_other_mammograms_that_describe_findings(dissection):
    """EMBED's table has the shapes of masses too."""
    assert is_phantom(dissection.probe_table)
    assert is_phantom(pd.concat([dissection.probe_table, pd.DataFrame({"class": ["tench"]}, index=["scene"])]))
    described = pd.DataFrame({"mass_shape": ["oval"], "calcification_morphology": [""], "findings": ["mass"]}, index=["other"])
    assert not is_phantom(described)
    dissection.probe_table = described
    assert known_presence(dissection)["mass"].tolist() == [True]


def test_label_precision_needs_activations(dissection, tmp_path):
    dissection.to_csv(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="the dissection has no activations"):
        label_precision(Dissection.from_csv(tmp_path / "labels.csv"))


@pytest.mark.parametrize("cells", [[True, False], [1, 0], ["implant", ""], ["Yes; True", "no"]])
def test_a_table_may_say_of_implants_yes_or_no(cells):
    shown = mapped_presence(pd.DataFrame({"implant": cells}, index=["a", "b"]))
    assert shown["breast implant"].tolist() == [True, False]
