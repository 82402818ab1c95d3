"""Pairs of images: spread over patients, drawn once, filled only where the boxes are."""

import numpy as np
import pytest
from measured import phantoms

from mdissect.predictions.pairs import MOST_FILLED, filled_pairs, redrawn_pairs, spread_over
from mdissect.probes import Probe, load_probe

pytestmark = pytest.mark.slow


class Boxed(Probe):
    """Two images of noise with boxes."""

    BOXES = ([("Mass", 2, 2, 6, 6), ("Mass", 8, 8, 10, 12)], [("Mass", 0, 0, 20, 12), ("Clip", 3, 3, 5, 5)])

    def boxes(self, position):
        return [dict(zip(("finding", "xmin", "ymin", "xmax", "ymax"), box, strict=True)) for box in self.BOXES[position]]


def boxed() -> Probe:
    made = Probe.from_arrays(np.random.default_rng(0).integers(0, 255, (2, 20, 20), dtype=np.uint8))
    return Boxed(made.name, made.ids, made._sources)


def test_the_first_image_of_each_patient_comes_first():
    assert spread_over([0, 1, 2, 4, 5], np.array([7, 7, 7, 9, 8, 9])) == [0, 4, 5, 1, 2]


def test_a_changed_image_is_drawn_once_for_all_factors():
    pairs = redrawn_pairs(phantoms(200), ["calcification: suspicious", "calcification morphology: amorphous"], 100, False)
    shared = pairs.table.groupby("changed").size()
    assert shared.max() == 2
    assert len(pairs.changed) == len(shared)


def test_pairs_belong_together():
    probe = phantoms(60)
    pairs = redrawn_pairs(probe, ["mass"], 8, False)
    for row in pairs.table.itertuples():
        assert bool(probe.table["mass"].iloc[row.position]) is True
        assert pairs.changed.table["mass"].iloc[row.changed] == False  # noqa: E712
        assert pairs.changed.table["index"].iloc[row.changed] == probe.table["index"].iloc[row.position]


def test_a_joined_probe_gives_its_phantoms():
    other = Probe.from_arrays(np.zeros((2, 64, 40), np.uint8), name="other")
    pairs = redrawn_pairs(other + phantoms(40), ["mass"], 4, False)
    assert pairs.table.position.min() >= 2
    with pytest.raises(ValueError, match=r"'other' holds no phantoms, .* use evidence='box filled'"):
        redrawn_pairs(other, None, 4, False)


def test_phantoms_of_several_sizes_are_refused():
    larger = load_probe("phantom", n_images=40, seed=4, size=(96, 60), cache=False)
    with pytest.raises(ValueError, match=r"have several sizes \(\[\(64, 40\), \(96, 60\)\]\)"):
        redrawn_pairs(phantoms(40) + larger, ["mass"], 20, False)


def test_only_the_boxes_of_the_finding_are_filled():
    probe = boxed()
    pairs = filled_pairs(probe, None, 10)
    assert pairs.table[["factor", "position"]].to_numpy().tolist() == [["mass", 0], ["clip", 1]]  # the large mass is left out
    assert MOST_FILLED < 20 * 12 / 400
    changed = probe[0] != pairs.changed[0]
    inside = np.zeros((20, 20), bool)
    inside[2:6, 2:6] = inside[8:12, 8:10] = True
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.8


def test_another_box_is_another_image():
    prints = filled_pairs(boxed(), None, 10).changed.fingerprints()
    assert len(set(prints)) == 2
    assert prints == filled_pairs(boxed(), None, 10).changed.fingerprints()


def test_findings_without_boxes_are_named():
    with pytest.raises(ValueError, match="factors has 1 finding: implant without any box; there are clip, mass"):
        filled_pairs(boxed(), ["implant"], 10)
    with pytest.raises(LookupError, match="without boxes"):
        filled_pairs(Probe.from_arrays(np.zeros((2, 8, 8), np.uint8)), None, 10)
