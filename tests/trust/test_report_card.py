"""What the dissector can tell: AUC with clustered intervals, the mapping table, the flags."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import concept_set, dissected
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from mdissect.concepts import ConceptSet, load_concepts
from mdissect.dissection import Dissection
from mdissect.paths import data_dir
from mdissect.trust import known_presence, mapped_presence, report_card, unknown_concepts, without_concepts
from mdissect.trust.presence import VINDR_LABELS
from mdissect.trust.report_card import CHANCE, FEW, INVERTED

CONCEPTS = ["mass", "asymmetry", "dense breast", "bi-rads 4", "skin retraction", "ladder"]


def vindr_like(n: int = 400, seed: int = 0) -> Dissection:
    """The dissector sees masses, is blind to asymmetry, mistakes density, and BI-RADS is unknown of every tenth image."""
    rng = np.random.default_rng(seed)
    mass, asymmetry, dense = rng.random((3, n)) < 0.3
    table = pd.DataFrame(
        {
            "patient": [f"P{i // 4}" for i in range(n)],
            "findings": ["; ".join([*["mass"] * int(m), *["focal asymmetry"] * int(a)]) for m, a in np.c_[mass, asymmetry]],
            "density": np.where(dense, "D", "B"),
            "birads": np.where(np.arange(n) % 10 == 0, np.nan, np.where(mass, 4.0, 2.0)),
        },
        index=[f"image {i}" for i in range(n)],
    )
    sims = 0.1 * rng.standard_normal((n, len(CONCEPTS)))
    sims[:, 0] += 0.1 * mass
    sims[:, 2] -= 0.1 * dense
    return Dissection({}, ConceptSet.from_list(CONCEPTS), {}, image_concept_sims=sims, probe_table=table)


def test_the_card_tells_what_the_dissector_knows():
    found = vindr_like()
    card = report_card(found).set_index("concept")
    assert set(card.index) == set(CONCEPTS) - {"ladder"}
    assert card.flag.to_dict() == {
        "mass": "", "asymmetry": CHANCE, "dense breast": INVERTED, "bi-rads 4": CHANCE, "skin retraction": FEW
    }  # fmt: skip
    has_mass = found.probe_table.findings.str.contains("mass")
    assert card.auc["mass"] == pytest.approx(roc_auc_score(has_mass, found.image_concept_sims[:, 0]))
    assert card.present["bi-rads 4"] + card.absent["bi-rads 4"] == 360
    assert card.low["mass"] < card.auc["mass"] < card.high["mass"]
    assert np.isnan(card.auc["skin retraction"])


def test_many_chance_concepts_do_not_leave_some_without_a_flag():
    """Of 200 concepts that the dissector does not know, about 5 intervals lie above 0.5; the flags count all 200."""
    rng, names = np.random.default_rng(3), [f"concept {i}" for i in range(200)]
    ids = [f"image {i}" for i in range(160)]
    presence = pd.DataFrame(rng.random((160, 200)) < 0.3, index=ids, columns=names)
    sims, table = rng.standard_normal((160, 200)), pd.DataFrame({"patient": [f"P{i // 2}" for i in range(160)]}, index=ids)
    sims[:, :20] += 3 * presence.iloc[:, :20]
    found = Dissection({}, ConceptSet.from_list(names), {}, image_concept_sims=sims, probe_table=table)
    card = report_card(found, presence).set_index("concept")
    assert (card.flag[names[:20]] == "").all()
    assert (card.flag[names[20:]] == CHANCE).mean() >= 0.97
    assert ((card.low > 0.5) | (card.high < 0.5))[names[20:]].sum() >= 3  # some, by their intervals
    np.testing.assert_array_equal(card.q, false_discovery_control(card.p))


def test_shipped_concepts_of_vindr_are_in_the_shipped_set():
    mapping = pd.read_csv(data_dir() / "concepts" / VINDR_LABELS)
    names = set(load_concepts("mammography").names)
    assert set(mapping.concept[mapping.column != "cancer"]) <= names
    assert set(mapping.concept[mapping.column == "cancer"]) == {"malignancy", "breast cancer"}  # of the prompts of RSNA 2022
    assert not mapping.concept.duplicated().any()


def test_cells_are_understood():
    table = pd.DataFrame(
        {"findings": ["mass; suspicious calcification", "", None], "density": ["C", "", "a"], "birads": [5, 1.0, np.nan]},
        index=["x", "y", "z"],
    )
    presence = mapped_presence(table)
    assert presence.mass.tolist() == [True, False, False]
    assert presence["dense breast"].tolist() == [True, None, False]
    assert presence["bi-rads 5"].tolist() == [True, False, None]
    assert "craniocaudal view" not in presence  # no column tells it


def test_what_is_not_annotated_is_not_known():
    table = pd.DataFrame(
        {
            "findings": ["mass", "", "", "architectural distortion", None],
            "annotated": ["mass; calcification", "mass; calcification", "nothing", "mass", np.nan],
            "cancer": [True, False, np.nan, 1.0, 0.0],
            "implant": ["implant", "", np.nan, "", "implant"],
        }
    )
    presence = mapped_presence(table)
    assert presence.mass.tolist() == [True, False, None, False, False]
    assert presence["suspicious calcification"].tolist() == [None, None, None, None, False]
    assert presence["architectural distortion"].tolist() == [None, None, None, True, False]
    assert presence.malignancy.tolist() == [True, False, None, True, False]
    assert presence["breast implant"].tolist() == [True, False, None, False, True]


def test_concepts_of_vindr_are_known_in_other_forms_too():
    """As the published set spells them; a descriptor makes another concept."""
    names = ["BI-RADS density D", "density d", "architectural", "suspicious calcifications", "suspicious round calcification"]
    rows = [(name, "Breast density", "Findings and characterizations") for name in names[:2]]
    rows += [("architectural", "Architectural distortion", "Findings and characterizations")]
    rows += [(name, "Suspicious calcifications", "Interpretations") for name in names[3:]]
    concepts = concept_set(rows, "concept", "category", "broad_category", domain="mammography")
    found = vindr_like()
    found = replace(found, concepts=concepts, image_concept_sims=found.image_concept_sims[:, :5])
    presence = known_presence(found)
    assert list(presence.columns.intersection(names)) == names[:4]
    assert presence["density d"].equals(presence["extremely dense"].rename("density d"))
    assert set(report_card(found).concept) == set(names[:4])


def test_a_mapping_of_ones_own(tmp_path):
    table = pd.DataFrame({"scanner": ["old", "new"]})
    (tmp_path / "own.csv").write_text("concept,column,values\ngrainy image,scanner,old\n")
    assert mapped_presence(table, tmp_path / "own.csv")["grainy image"].tolist() == [True, False]
    (tmp_path / "wrong.csv").write_text("concept,field\na,b\n")
    with pytest.raises(ValueError, match=r"wrong\.csv has no column column, values; it has concept, field"):
        mapped_presence(table, tmp_path / "wrong.csv")


def test_phantoms_bring_their_truth():
    from mdissect.phantom.mammograms import sample_truth

    phantoms = pd.DataFrame([sample_truth(3, i).as_row() for i in range(200)], index=[f"image {i}" for i in range(200)])
    table = pd.concat([phantoms, pd.DataFrame({"object": ["ladder"]}, index=["scene"])])
    concepts = ConceptSet.from_list(["mass", "spiculated mass", "linguine sign"])
    sims = np.tile((table.mass == True).to_numpy(float)[:, None], (1, 3))  # noqa: E712
    found = Dissection({}, concepts, {}, image_concept_sims=sims, probe_table=table)
    assert known_presence(found).columns.tolist() == ["mass", "spiculated mass"]
    card = report_card(found).set_index("concept")
    assert card.auc["mass"] == 1
    assert card.present["mass"] + card.absent["mass"] == 200  # the scene has no truth


def test_nothing_known_is_an_error():
    found = vindr_like()
    with pytest.raises(ValueError, match="no concept of the dissection has known presence"):
        report_card(found, pd.DataFrame({"stripes": [True] * 400}, index=found.probe_table.index))
    with pytest.raises(ValueError, match="level=95 must be a number above 0 and below 1"):
        report_card(found, level=95)
    found.image_concept_sims = None
    with pytest.raises(ValueError, match="no image_concept_sims"):
        report_card(found)


def test_unknown_concepts_are_those_that_images_speak_against():
    card = report_card(vindr_like())
    assert sorted(unknown_concepts(card)) == ["asymmetry", "bi-rads 4", "dense breast"]
    assert unknown_concepts(card, [INVERTED]) == ["dense breast"]
    assert unknown_concepts(card, [FEW]) == ["skin retraction"]
    assert unknown_concepts(card[card.flag == ""]) == []
    with pytest.raises(ValueError, match="no report card has the flag 'bad'"):
        unknown_concepts(card, ["bad"])


def named() -> Dissection:
    """Three neurons called mass, asymmetry and ladder; the last one cannot be named."""
    seen = vindr_like()
    sims = seen.image_concept_sims.astype(np.float32)
    activations = np.random.default_rng(1).standard_normal((400, 4)).astype(np.float32)
    activations[:, :3] = 0.02 * activations[:, :3] + sims[:, [0, 1, 5]]
    found = dissected(sims, activations, CONCEPTS, top_k=40)
    found.similarity["deep"][3] = np.nan
    found.probe_table, found.settings["n_concepts"] = seen.probe_table, 6
    return found


def test_left_out_concepts_give_way_to_the_next_best():
    found = named()
    assert found.labels().concept.tolist() == ["mass", "asymmetry", "ladder", ""]
    fewer = without_concepts(found, ["asymmetry", "bi-rads 4", "asymmetry"])
    second = found.labels(top=6).query("neuron == 1 and concept not in ('asymmetry', 'bi-rads 4')").iloc[0]
    assert fewer.labels().concept.tolist() == ["mass", second.concept, "ladder", ""]
    assert fewer.labels().similarity[1] == second.similarity
    pd.testing.assert_frame_equal(fewer.labels().drop(1), found.labels().drop(1))
    assert list(fewer.concepts.names) == ["mass", "dense breast", "skin retraction", "ladder"]
    assert fewer.image_concept_sims.shape == (400, 4)
    assert (fewer.settings["n_concepts"], fewer.settings["left_out"]) == (4, ["asymmetry", "bi-rads 4"])
    assert len(found.concepts) == 6
    assert "asymmetry" not in report_card(fewer).concept.tolist()
    pd.testing.assert_frame_equal(without_concepts(found, []).labels(), found.labels())


def test_calibrated_labels_are_judged_again():
    found = named()
    del found.probe_table["patient"]
    calibrated = found.calibrated(0.05, n_null=200)
    assert calibrated.labels().concept[:2].tolist() == ["mass", "asymmetry"]
    fewer = without_concepts(calibrated, ["asymmetry"])
    assert fewer.labels().concept[0] == "mass"
    assert fewer.labels().concept[1] != "asymmetry"
    assert fewer.trusted is not None


def test_a_dissection_read_from_a_table_loses_the_labels_left_out():
    concepts = ConceptSet.from_list(["mass", "ladder"])
    read = Dissection({"deep": np.array([[1.0, np.nan], [np.nan, 2.0]])}, concepts, {"source": "labels.csv"})
    assert without_concepts(read, ["ladder"]).labels().concept.tolist() == ["mass", ""]


def test_what_cannot_be_left_out():
    with pytest.raises(ValueError, match="1 names are no concepts of the dissection, such as bridge"):
        without_concepts(vindr_like(), ["mass", "bridge"])
    with pytest.raises(ValueError, match="all 6 concepts would be left out"):
        without_concepts(vindr_like(), CONCEPTS)
