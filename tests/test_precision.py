"""Labels of a pass in bf16, compared with those in float32."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import toys

from mdissect.method import dissect
from mdissect.passing import PassOptions
from mdissect.precision import agreement, checked_precision

pytestmark = pytest.mark.slow

NAN = np.nan
BF16 = PassOptions(precision="bf16")


@pytest.mark.parametrize(
    ("exact", "rough", "share"),
    [
        ([[1, 2], [3, 1]], [[1, 2], [3, 1]], 1),
        ([[1, 2], [3, 1]], [[2, 1], [3, 1]], 0.5),
        ([[1, 2], [3, 1]], [[2, 1], [1, 3]], 0),
        ([[1, 1], [3, 1]], [[0, 5], [3, 1]], 1),  # two that are equal are one label
        ([[1, 1 + 1e-9]], [[5, 0]], 1),
        ([[NAN, NAN], [3, 1]], [[NAN, NAN], [3, 1]], 1),
        ([[NAN, NAN], [3, 1]], [[0, 1], [3, 1]], 0.5),
        ([[0, 1], [3, 1]], [[NAN, NAN], [3, 1]], 0.5),
        ([[NAN, NAN]], [[NAN, NAN]], 1),
        ([[NAN, 1, 0]], [[5, 1, 0]], 0),
        ([[0, 1]], [[NAN, NAN]], 0),
    ],
)
def test_the_share_of_labels_that_agree(exact, rough, share):
    assert agreement(np.array(exact, float), np.array(rough, float)) == share


def scores(n_wrong):
    def score(options):
        found = np.tile([0.0, 1.0], (200, 1))
        found[: n_wrong * (options.precision == "bf16")] = 1.0, 0.0
        return {"a": found, "b": np.tile([0.0, 1.0], (10, 1))}

    return score


@pytest.mark.parametrize("n_wrong", [0, 1, 2])
def test_bf16_stays_where_labels_agree(n_wrong):
    with warnings.catch_warnings(action="error"):
        options, shares = checked_precision(BF16, scores(n_wrong))
    assert options == BF16
    assert shares == {"a": 1 - n_wrong / 200, "b": 1}


def test_float32_comes_back_where_they_do_not():
    with pytest.warns(
        UserWarning, match=r"fewer than 0.99 of the labels in bf16 are those of float32: 'a' 0.985 agree; the pass "
    ):
        options, shares = checked_precision(replace(BF16, batch_size=3), scores(3))
    assert options == PassOptions(batch_size=3)
    assert shares["a"] == 0.985


def test_nothing_is_measured_in_float32():
    assert checked_precision(PassOptions(), lambda options: pytest.fail("it ran")) == (PassOptions(), {})


def run(target, dissector, probe, store, **options):
    chosen = replace(toys.SMALL, precision="bf16", **options)
    return dissect(target, dissector, probe, toys.CONCEPTS, top_k=10, store=store, device="cpu", options=chosen)


def test_a_dissection_in_bf16_says_so(planted, dissector, probe, tmp_path):
    found = run(planted, dissector, probe, tmp_path)
    plain = toys.toy_dissect(planted, dissector, probe)
    assert found.settings["precision"] == "bf16"
    assert found.settings["bf16_agreement"]["neurons"] >= 0.99
    labels = [one.similarity["neurons"][:8].argmax(axis=1).tolist() for one in (found, plain)]
    assert labels[0] == labels[1] == toys.PLANTED
    assert "precision" not in plain.settings
    seen = toys.Seen(planted.module)
    run(planted, dissector, probe, tmp_path)
    assert not seen.batches  # what was compared is kept too


def test_a_dissection_that_goes_back_is_that_of_float32(planted, dissector, probe, tmp_path, monkeypatch):
    monkeypatch.setattr("mdissect.precision.agreement", lambda exact, rough: 0.5)
    with pytest.warns(UserWarning, match="'neurons' 0.500 agree; the pass runs in float32"):
        found = run(planted, dissector, probe, tmp_path)
    plain = dissect(planted, dissector, probe, toys.CONCEPTS, top_k=10, device="cpu", options=toys.SMALL)
    np.testing.assert_array_equal(found.activations["neurons"], plain.activations["neurons"])
    assert "precision" not in found.settings
    assert found.settings["bf16_agreement"] == {"neurons": 0.5}
