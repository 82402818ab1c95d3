"""Which images an atlas shows, and what it says of them."""

import numpy as np
import pandas as pd

from mdissect.atlas.images import Images, chosen, safe_facts


def test_strongest_images_come_first_then_the_second_ones_then_those_of_concepts():
    lists = [np.array([[5, 1], [6, 2]]), np.array([[5, 3]])]
    concepts = [np.array([[9, 5]])]
    assert chosen(lists, concepts, 100) == [5, 6, 1, 2, 3, 9]
    assert chosen(lists, concepts, 3) == [5, 6, 1]
    assert chosen([], [], 3) == []


def test_images_of_one_probe_are_the_same_and_of_two_are_not(found, tuned, probe):
    same = Images({"M": found, "C": tuned}, {"M": probe, "C": probe})
    other = Images({"M": found, "C": tuned}, {"M": probe, "C": None})
    assert len(same) == 40
    assert len(other) == 80
    assert same.of("C", np.array([3])) == [3]
    assert other.places[0] == (probe, 0)
    assert other.places[79] is None


def test_captions_have_no_patient(found, probe):
    images = Images({"M": found}, {"M": probe})
    assert images.captions[1] == "MLO"
    assert images.captions[0] == "CC, mass"
    assert images.shown[5] == "patient_5.png"
    assert images.without[:2] == [False, True]


def test_columns_that_name_patients_studies_or_files_are_no_facts():
    table = pd.DataFrame(
        {
            "patient": ["a", "b"],
            "owner": ["a", "c"],
            "file": ["1.png", "x"],
            "SeriesUID": [1, 2],
            "study_id": [1, 2],
            "age": [40, 50],
        },
        index=["1.png", "2.png"],
    )
    assert list(safe_facts(table)) == ["patient", "age"]
