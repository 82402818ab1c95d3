"""Contributions add up to the logits, by neuron and by group, and say what tells images apart."""

import nets
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mdissect.predictions import contributions
from mdissect.predictions.head import NoHeadError

pytestmark = pytest.mark.slow


def toy(*behind, outputs: int = 3, **labels):
    behind = behind or (nn.BatchNorm2d(6), nn.ReLU(), nets.AvgMax(), nn.Dropout(0.5), nn.Linear(6, outputs))
    target = nets.target(nets.net(*behind), "0", "2")
    return target, nets.dissection(target, **labels)


def explained(*args, images=None, behind=(), outputs=3, **options):
    target, found = toy(*behind, outputs=outputs)
    return contributions(target, found, nets.probe() if images is None else images, *args, options=nets.QUIET, **options)


@pytest.mark.parametrize("baseline", ["zero", "mean"])
@pytest.mark.parametrize("options", [{}, {"class_index": 1}, {"class_index": 2, "against": 0}, {"against": "mean"}])
@pytest.mark.parametrize("behind", [(), (nets.AvgMax(), nn.BatchNorm1d(6), nn.Linear(6, 3)), (nn.Flatten(), nn.Linear(96, 3))])
def test_they_sum_to_the_networks_logit(baseline, options, behind):
    found = explained(behind=behind, baseline=baseline, **options)
    assert found.error < 1e-5
    scale = np.abs(found.logits).max()
    np.testing.assert_allclose(found.start + found.by_neuron.sum(axis=1), found.logit, atol=2e-5 * scale)
    for by in ("concept", "category", "broad_category"):
        np.testing.assert_allclose(found.start + found.grouped(by).sum(axis=1), found.logit, atol=2e-5 * scale)
        table = found.waterfall(3, by, top=2)
        assert table.end.iloc[-2] == pytest.approx(found.logit[3], abs=2e-5 * scale)
        assert table.end.iloc[-1] == found.logit[3]
    if baseline == "mean" and "class_index" in options:
        np.testing.assert_allclose(found.by_neuron.mean(axis=0), 0, atol=1e-9)


def test_the_logit_is_that_of_each_images_own_class_by_default():
    found = explained()
    np.testing.assert_array_equal(found.logit, found.logits.max(axis=1))
    np.testing.assert_array_equal(found.of(1).logit, found.logits[:, 1])
    np.testing.assert_allclose(found.of(1, 2).logit, found.logits[:, 1] - found.logits[:, 2])
    np.testing.assert_allclose(found.of(1, "mean").logit, found.logits[:, 1] - found.logits.mean(axis=1))


def test_the_logits_are_what_the_network_gives():
    target, found = toy()
    probe = nets.probe(5)
    result = contributions(target, found, probe, options=nets.QUIET)
    with torch.no_grad():
        logits = target.module(torch.stack([target.preprocess(probe[i]) for i in range(5)]))
    np.testing.assert_allclose(result.logits, logits.numpy(), rtol=1e-5, atol=1e-6)


def test_a_neurons_row_is_its_weight_times_what_the_head_gets():
    found = explained(1)
    table = found.table("toy-000004")
    assert table.contribution.abs().is_monotonic_decreasing
    np.testing.assert_allclose(table.contribution, table.weight * table.activation)
    weight = dict(zip(table.neuron, table.weight, strict=True))
    assert [weight[k] for k in range(6)] == pytest.approx(found.head.weight[1])
    assert table.sort_values("neuron").concept.tolist() == found.labels.concept.tolist()


def test_a_neuron_counts_once_in_the_first_of_its_groups_and_without_a_label_as_such():
    target, _ = toy()
    names = ("bright left", "", "spot", "spot", "ladder", "")
    found = contributions(target, nets.dissection(target, labels=names), nets.probe(), options=nets.QUIET)
    assert found.grouped("broad_category").columns.tolist() == ["places", "no label", "findings", "natural"]
    np.testing.assert_allclose(found.grouped("concept")["no label"], found.by_neuron[:, [1, 5]].sum(axis=1))


def test_labels_of_another_rule_may_be_given():
    target, dissection = toy()
    found = contributions(target, dissection, nets.probe(), options=nets.QUIET)
    table = pd.DataFrame({"layer": "2", "neuron": [4, 2], "concept": ["spot", "ladder"]})
    assert found.with_labels(table, dissection).labels.concept.tolist() == ["", "", "ladder", "", "spot", ""]
    with pytest.raises(ValueError, match="labels has several labels for neuron 4 of layer '2'"):
        found.with_labels(pd.concat([table, table]), dissection)
    with pytest.raises(ValueError, match="the labels name neuron 9 of layer '2', which has 6"):
        found.with_labels(table.assign(neuron=[9, 1]), dissection)


def test_the_largest_steps_of_a_waterfall_come_first_and_the_rest_are_others():
    table = explained(0).waterfall(0, "concept", top=3)
    assert table.kind.tolist() == ["start", "group", "group", "others", "end"]
    assert table.group.tolist()[0] == "bias"
    assert table.group.tolist()[3:] == ["2 others", "logit"]
    assert table.neurons.sum() == 6
    assert (table.start.iloc[1:-1].to_numpy() == table.end.iloc[:-2].to_numpy()).all()
    assert explained(0).waterfall(0, "concept", top=1).kind.tolist() == ["start", "others", "end"]
    assert explained(0).waterfall(0, "concept", top=9).kind.tolist() == ["start", *["group"] * 4, "end"]
    assert explained(0, baseline="mean").waterfall(0).group[0] == "mean image"


def test_images_with_and_without_something_are_compared_by_hand():
    found, probe = explained(0), nets.probe()
    bright = probe.table["bright"].to_numpy()
    table, values = found.compared(bright, n_boot=50), found.grouped()
    for row in table.itertuples():
        own = values[row.group]
        assert row.difference == pytest.approx(own[bright].mean() - own[~bright].mean())
        assert row.low <= row.difference <= row.high
    assert table.difference.sum() == pytest.approx(found.logit[bright].mean() - found.logit[~bright].mean(), abs=1e-5)
    assert table.share.sum() == pytest.approx(1, abs=1e-4)


def test_the_interval_of_a_difference_covers_the_truth():
    """Groups of noise: the difference of the whole population is 0."""
    inside = []
    for seed in range(8):
        found, rng = explained(0, images=nets.probe(60, seed=seed)), np.random.default_rng(seed)
        with_it = np.repeat(rng.permutation(30) % 2 == 0, 2)
        table = found.compared(with_it, n_boot=200, seed=seed)
        inside += ((table.low <= 0) & (table.high >= 0)).tolist()
    assert len(inside) == 24
    assert np.mean(inside) >= 0.7  # 0.95 in the long run


def test_one_patient_has_no_interval():
    table = explained(0, images=nets.probe(8, per_patient=8)).compared(np.arange(8) < 3)
    assert table.low.isna().all()
    assert table.high.isna().all()


def test_each_class_is_compared_with_the_others():
    found, y = explained(), nets.probe().table["three"].to_numpy()
    table = found.class_wise(y, n_boot=20, classes=["a", "b", "c"])
    assert table["class"].drop_duplicates().tolist() == ["a", "b", "c"]
    one = found.of(2, "mean").compared(y == 2, n_boot=20)
    pd.testing.assert_frame_equal(table[table["class"] == "c"].drop(columns="class").reset_index(drop=True), one)
    assert explained(outputs=1).class_wise(y > 0, n_boot=5)["class"].unique().tolist() == ["1"]
    with pytest.raises(ValueError, match="y has no two classes"):
        found.class_wise(np.ones(40, int))


def test_one_image_may_be_given_and_counted_from_a_probes_mean():
    target, dissection = toy()
    probe = nets.probe()
    of_all = contributions(target, dissection, probe, 0, options=nets.QUIET)
    one = contributions(target, dissection, probe[7], 0, baseline=of_all, options=nets.QUIET)
    assert len(one) == 1
    assert one.logit[0] == pytest.approx(of_all.logit[7], abs=1e-5)
    assert one.start[0] == pytest.approx(of_all.logit.mean(), abs=1e-5)
    several = contributions(target, dissection, [probe[7], probe[2]], 0, options=nets.QUIET)
    np.testing.assert_allclose(several.logit, of_all.logit[[7, 2]], atol=1e-5)


def test_half_precision_is_held_to_its_own_rounding():
    module = nets.net(nets.AvgMax(), nn.Linear(6, 3)).to(torch.bfloat16)
    target = nets.target(module, "2")
    found = contributions(target, nets.dissection(target), nets.probe(), options=nets.QUIET)
    assert 1e-6 < found.error < 0.02


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_index": 3}, "class_index=3 is not an output of the network, which has 3, from 0 on"),
        ({"against": 5}, "against=5 is not an output"),
        ({"baseline": "median"}, "baseline='median' is not one of 'zero', 'mean'"),
        ({"outputs": 1, "against": 0}, "against=0: the network has one output only"),
        ({"images": nets.probe(1), "baseline": "mean"}, "baseline='mean' of one image is that image"),
    ],
)
def test_what_means_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explained(**options)


def test_other_mistakes_have_one_clear_error():
    found = explained()
    target, dissection = toy()
    with pytest.raises(TypeError, match=r"images='a.png' must be a Probe"):
        contributions(target, dissection, "a.png")
    with pytest.raises(KeyError, match="image 'nobody' is not among the 40 images"):
        found.table("nobody")
    with pytest.raises(IndexError, match="image=40 is not among the 40 images explained, 0 to 39"):
        found.waterfall(40)
    with pytest.raises(ValueError, match=r"present has shape \(3,\); expected a value for each of 40 images"):
        found.compared([True, False, True])
    with pytest.raises(ValueError, match="present is true for all images"):
        found.compared(np.ones(40, bool))
    with pytest.raises(ValueError, match="present must be true or false"):
        found.compared(np.full(40, np.nan))
    with pytest.raises(NoHeadError, match="Softmax"):
        explained(behind=(nets.AvgMax(), nn.Linear(6, 3), nn.Softmax(1)))


def test_a_dissection_of_other_weights_is_refused():
    target, _ = toy()
    other = nets.target(nets.net(nets.AvgMax(), nn.Linear(6, 3), seed=4), "2")
    with pytest.raises(ValueError, match="the dissection is of target 'toy' with other weights"):
        contributions(target, nets.dissection(other), nets.probe())
    base = contributions(other, nets.dissection(other), nets.probe(), options=nets.QUIET)
    with pytest.raises(ValueError, match="baseline is of another network"):
        explained(baseline=base)


def test_outputs_that_are_not_finite_are_named():
    class NotWhite(nn.Module):
        def forward(self, x):
            return torch.where(x.amin(dim=(1, 2, 3), keepdim=True) == 1, torch.nan, x)

    target = nets.target(nn.Sequential(NotWhite(), nets.net(nets.AvgMax(), nn.Linear(6, 3))).eval(), "1.2")
    probe = nets.probe()
    images = [probe[i] for i in range(30)] + [np.full((8, 8), 255, np.uint8)]
    with pytest.raises(ValueError, match=r"outputs that are not finite for 1 of 31 images .*the first is 'images-000030'"):
        contributions(target, nets.dissection(target), images, options=nets.QUIET)
