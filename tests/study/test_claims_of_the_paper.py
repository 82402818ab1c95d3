"""The paper's findings on training and fine-tuning, on tables made up for them."""

import numpy as np
import pandas as pd

from mdissect.concepts import OTHER, ConceptSet
from mdissect.dissection import Dissection
from mdissect.study.claims import PLACES, claims_on_fine_tuning, claims_on_missed, claims_on_training, compare_pair, places

CONCEPTS = {  # name: broad category, task
    "mass": ("Findings and characterizations", "mass"),
    "benign": ("Interpretations", ""),
    "rim calcification": ("Findings and characterizations", "calcification"),
    "amorphous calcification": ("Findings and characterizations", "calcification"),
    "dense": ("Findings and characterizations", "density"),
    "fatty": ("Findings and characterizations", "density"),
    "bird": (OTHER, ""),
    "tree": (OTHER, ""),
    "house": (OTHER, ""),
}


def dissection(**layers) -> Dissection:
    """Layers of (concept, similarity) per neuron; every other similarity is 0."""
    rows = [(n, "", broad, "other" if broad == OTHER else "mammography", task, "") for n, (broad, task) in CONCEPTS.items()]
    table = pd.DataFrame(rows, columns=["concept", "category", "broad_category", "domain", "tasks", "evidence"])
    similarity = {}
    for layer, neurons in layers.items():
        similarity[layer] = np.zeros((len(neurons), len(CONCEPTS)), np.float32)
        for neuron, (concept, value) in enumerate(neurons):
            similarity[layer][neuron, list(CONCEPTS).index(concept)] = value
    return Dissection(similarity=similarity, concepts=ConceptSet(table), settings={})


MAMMO = dissection(
    early=[("mass", 5), ("benign", 5)], late=[("mass", 5), ("benign", 5), ("bird", 5), ("dense", 5), ("fatty", 5)]
)
GENERAL = dissection(early=[("mass", 4), ("mass", 1)], late=[("bird", 4), ("tree", 1), ("tree", 1), ("tree", 1), ("tree", 1)])


def test_what_the_paper_finds_on_training():
    found = claims_on_training(compare_pair({"G": GENERAL, "M": MAMMO}))
    assert [claim.seen for claim in found] == [True, True, True, False]
    assert found[-1].numbers == "last layer: no label passes the shared threshold"


def test_the_other_way_round_it_is_not_seen():
    found = claims_on_training(compare_pair({"G": MAMMO, "M": GENERAL}))
    assert [claim.seen for claim in found] == [False, False, False, True]


def test_what_the_paper_finds_on_fine_tuning():
    base = dissection(early=[("mass", 5), ("mass", 5)], late=[("mass", 1), ("dense", 7), ("fatty", 7)])
    more = dissection(early=[("mass", 6), ("rim calcification", 6)], late=[("amorphous calcification", 6), ("mass", 6)])
    less = dissection(early=[("mass", 6), ("benign", 6)], late=[("mass", 6), ("dense", 6)])
    claims = claims_on_fine_tuning(base, {"C1": less, "C2": less, "C3": less, "C4": more})
    assert [claim.seen for claim in claims[:3]] == [True, True, True]
    assert claims[2].numbers == "C1 1, M 2"
    assert claims[0].numbers == "C1: 2 of 2 layers; C2: 2 of 2 layers; C3: 2 of 2 layers; C4: 2 of 2 layers"


def test_a_concept_set_that_tells_no_tasks_gets_them_by_category():
    """As the published one."""
    rows = [
        ("dense", "Breast density", "Findings and characterizations"),
        ("rim", "Benign calcifications", "Findings and characterizations"),
        ("round mass", "Mass", "Findings and characterizations"),
    ]
    table = pd.DataFrame(rows, columns=["concept", "category", "broad_category"])
    similarity = {"late": np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]], np.float32)}
    found = Dissection(similarity, ConceptSet.from_table(table.assign(domain="mammography", tasks="", evidence="")), {})
    claims = claims_on_fine_tuning(found, dict.fromkeys(("C1", "C2", "C3", "C4"), found))
    assert [claim.numbers for claim in claims[1:]] == ["C4 1, M 1", "C1 1, M 1", "C3 1, M 1"]
    same = claims_on_fine_tuning(MAMMO, dict.fromkeys(("C1", "C2", "C3", "C4"), MAMMO))
    assert [claim.seen for claim in same] == [False, False, False, True]


def test_what_the_paper_finds_missed():
    more_than_half, mostly_other = claims_on_missed(dissection(only=[("mass", 1), ("benign", 1)]))
    assert more_than_half.seen
    assert more_than_half.numbers == "2 learned, 7 missed of 9"
    assert not mostly_other.seen
    assert mostly_other.numbers == "3 of 7"


def test_places_name_the_files_that_are_there(tmp_path):
    (tmp_path / "02_fig8_threshold.png").touch()
    table = places(tmp_path).set_index("in the paper")
    assert table.files["Fig. 8"] == "02_fig8_threshold.png"
    assert table.files["Fig. 4a"] == ""
    assert len(table) == len(PLACES)
