"""Comparisons that allow for chance."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from mdissect.analysis import thresholds
from mdissect.concepts import ConceptSet
from mdissect.dissection import Dissection
from mdissect.fair import enrichment, tau_intervals
from mdissect.planted import plant
from mdissect.similarity import soft_wpmi

NAMES = [f"concept {i}" for i in range(10)]


def concepts() -> ConceptSet:
    """Four of ten concepts are breasts, six are barns."""
    rows = [(name, "breast" if i < 4 else "barn") for i, name in enumerate(NAMES)]
    table = pd.DataFrame(rows, columns=["concept", "broad_category"])
    return ConceptSet(table.assign(category="", domain="other", tasks="", evidence=""))


def test_groups_are_held_against_the_concept_set():
    labels = pd.DataFrame(
        {"layer": ["deep"] * 6, "concept": ["concept 0", "concept 0", "concept 1", "concept 2", "concept 9", ""]}
    )
    table = enrichment(labels, concepts()).set_index("broad_category")
    assert table.concepts.to_dict() == {"breast": 3, "barn": 1}
    assert (table.of == 4).all()
    assert table.base_rate.to_dict() == pytest.approx({"breast": 0.4, "barn": 0.6})
    assert table.ratio["breast"] == pytest.approx(0.75 / 0.4)
    assert table.p["breast"] == pytest.approx((4 * 6 + 1) / 210)  # three or four of the four breasts among four of ten
    np.testing.assert_allclose(table.q, false_discovery_control(table.p))


def test_strange_labels_are_named():
    with pytest.raises(ValueError, match="1 labels are not in the concept set, such as tree"):
        enrichment(pd.DataFrame({"layer": ["deep"], "concept": ["tree"]}), concepts())


def test_thresholds_have_intervals_over_patients():
    planted = plant(n_images=200, n_concepts=10, n_neurons=24)
    sims, activations = planted.image_concept_sims, planted.activations
    found = Dissection(
        similarity={"deep": soft_wpmi(sims, activations, 20).numpy()},
        concepts=concepts(),
        settings={"top_k": 20},
        activations={"deep": activations.numpy()},
        image_concept_sims=sims.numpy(),
        probe_table=pd.DataFrame({"patient": [f"P{i // 4}" for i in range(200)]}),
    )
    wide, narrow = tau_intervals(found, n_boot=60).iloc[0], tau_intervals(found, n_boot=60, level=0.5).iloc[0]
    assert wide.threshold == pytest.approx(thresholds(found).threshold[0], rel=1e-5)
    assert wide.low < narrow.low < wide.threshold < narrow.high < wide.high
    found.probe_table = pd.DataFrame({"patient": ["P0"] * 200})  # one patient alone cannot be drawn otherwise
    assert np.ptp(tau_intervals(found, n_boot=5).iloc[0][["low", "high"]].astype(float)) == 0
