"""What a task loses without chosen neurons: by hand, at the head and behind a layer, beside random sets."""

import nets
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mdissect.hooks import edit
from mdissect.metrics import auc
from mdissect.predictions import AblationOptions, ablate, ablate_groups

pytestmark = pytest.mark.slow

FEW = {"n_random": 20, "n_boot": 30, "run": nets.QUIET}


def toy(*behind, outputs: int = 1, **labels):
    target = nets.target(nets.net(*(behind or (nn.ReLU(), nets.AvgMax(), nn.Linear(6, outputs)))), "0", "2")
    return target, nets.dissection(target, **labels)


def logits(target, probe, layer=None, change=None):
    with torch.no_grad():
        x = torch.stack([target.preprocess(probe[i]) for i in range(len(probe))])
        if change is None:
            return target.module(x).double().numpy()
        with edit(target.module, layer, change):
            return target.module(x).double().numpy()


class SeesLeft(nn.Module):
    """Six neurons: the first `n_seeing` see how much brighter the left half is, the others noise; their sum is the logit."""

    def __init__(self, n_seeing=2):
        super().__init__()
        self.n_seeing, self.neurons, self.head = n_seeing, nn.Identity(), nn.Linear(6, 1)
        self.head.weight.data.fill_(1.0)

    def forward(self, x):
        half = x.shape[-1] // 2
        sees = (x[..., :half].mean(dim=(1, 2, 3)) - x[..., half:].mean(dim=(1, 2, 3)))[:, None].repeat(1, self.n_seeing)
        noise = x[:, 0, : 6 - self.n_seeing, -1] / 10
        return self.head(self.neurons(torch.cat([sees, noise], dim=1)))


def seeing(n_seeing=2, labels=("bright left", "bright left", "spot", "spot", "ladder", "ladder")):
    target = nets.target(SeesLeft(n_seeing).eval(), "neurons")
    return target, nets.dissection(target, labels=labels)


def test_the_row_says_what_a_whole_pass_by_hand_says():
    target, found = toy()
    probe, y = nets.probe(), nets.probe().table["bright"].to_numpy()
    head = logits(target, probe)
    weight, pooled = target.module[5].weight.detach().double().numpy(), []
    handle = target.module[5].register_forward_pre_hook(lambda _, args: pooled.append(args[0].double().numpy()))
    logits(target, probe)
    handle.remove()
    inputs = pooled[0]
    chosen = [0, 4]  # "bright left" in turn
    after = head + (inputs[:, chosen].mean(axis=0) - inputs[:, chosen]) @ weight[:, chosen].T
    row = ablate(target, found, probe, "bright", category="sides", options=AblationOptions(**FEW)).iloc[0]
    assert row.neurons == 4  # "bright left" and "bright right" are of the category
    row = ablate(target, found, probe, "bright", concepts="bright left", options=AblationOptions(**FEW)).iloc[0]
    assert (row.group, row.layer, row.neurons) == ("bright left", "2", 2)
    assert row.before == pytest.approx(auc(y, head[:, 0]))
    assert row.after == pytest.approx(auc(y, after[:, 0]))
    assert row.change == pytest.approx(row.after - row.before)
    assert row.excess == pytest.approx(row.change - row.random)


@pytest.mark.parametrize("to", ["mean", "zero", 0.3])
@pytest.mark.parametrize("layer", ["0", "2"])
def test_a_layer_that_does_not_feed_the_head_is_run_again(layer, to):
    target, found = toy(nn.ReLU(), nn.Conv2d(6, 6, 1), nets.AvgMax(), nn.Linear(6, 1))
    probe, y = nets.probe(), nets.probe().table["bright"].to_numpy()
    options = AblationOptions(layer=layer, to=to, n_random=3, n_boot=4, run=nets.QUIET)
    table = ablate(target, found, probe, "bright", neurons=[1, 3], options=options)
    assert table.attrs["head"] == ""
    with torch.no_grad():
        x = torch.stack([target.preprocess(probe[i]) for i in range(len(probe))])
        maps = target.module[: int(layer) + 1](x)
    value = {"mean": maps.double().mean(dim=(0, 2, 3))[[1, 3]].tolist(), "zero": 0.0}.get(to, to)
    after = logits(target, probe, layer, {(1, 3): value})
    assert table.after[0] == pytest.approx(auc(y, after[:, 0]))


def test_both_ways_agree_where_a_map_of_one_value_is_what_the_head_gets():
    """With a mean as pooling, a neuron's map at its mean and the head's input at its mean are the same."""
    target, found = toy(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    probe, options = nets.probe(), AblationOptions(layer="2", **FEW)
    at_head = ablate_groups(target, found, probe, "three", options=options)
    assert at_head.attrs["head"] == "5"
    shifted = nets.target(Shifted(target.module).eval(), "net.2")
    behind = ablate_groups(shifted, nets.dissection(shifted), probe, "three", options=AblationOptions(layer="net.2", **FEW))
    assert behind.attrs["head"] == ""
    pd.testing.assert_frame_equal(
        at_head.drop(columns="layer"), behind.drop(columns="layer"), rtol=0, atol=0.01, check_like=True
    )


class Shifted(nn.Module):
    """The logits of a network and 1: no linear layer gives them, and the probabilities are the same."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) + 1


@pytest.mark.parametrize("seed", range(8))
def test_the_neurons_that_a_network_uses_cost_more_than_random_ones(seed):
    target, found = seeing()
    options = AblationOptions(n_random=60, n_boot=100, seed=seed, run=nets.QUIET)
    table = ablate_groups(target, found, nets.probe(60, seed=seed), "bright", "category", options).set_index("group")
    used = table.loc["sides"]
    assert used.before > 0.95
    assert used.change < -0.2
    assert used.excess_high < 0
    assert used.p < 0.15  # of 15 pairs of neurons one is this one
    assert (table.loc[["things", "objects"]].change > -0.05).all()
    assert table.index[0] == "sides"
    assert (table.q >= table.p).all()


@pytest.mark.slow
def test_p_is_uniform_where_labels_say_nothing():
    """Labels shuffled over the neurons: small p-values are no more frequent than they claim."""
    found = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        target, dissection = seeing(3, labels=tuple(rng.permutation(["spot"] * 3 + ["ladder"] * 3)))
        options = AblationOptions(n_random=40, n_boot=1, seed=seed, run=nets.QUIET)
        found += ablate_groups(target, dissection, nets.probe(40, seed=seed), "bright", "category", options).p.tolist()
    assert len(found) == 48
    assert np.mean(np.array(found) <= 0.1) <= 0.3
    assert min(found) >= 1 / 41


def test_all_neurons_of_a_layer_have_no_other_set_beside_them():
    target, found = seeing()
    row = ablate(target, found, nets.probe(), "bright", neurons=range(6), options=AblationOptions(**FEW)).iloc[0]
    assert (row.p, row.excess) == (1.0, pytest.approx(0))
    assert row.after == pytest.approx(0.5)  # nothing is left to tell the images apart


@pytest.mark.parametrize("metric", ["auc", "accuracy", "macro_f1"])
def test_several_classes_and_every_metric(metric):
    target, found = toy(outputs=3)
    table = ablate_groups(target, found, nets.probe(), "three", options=AblationOptions(metric=metric, **FEW))
    assert set(table.metric) == {metric}
    assert table.change.between(-1, 1).all()
    assert ((table.low <= table.change + 0.2) & (table.high >= table.change - 0.2)).all()
    assert (table.attrs["n_images"], table.attrs["n_patients"]) == (40, 20)


def test_groups_by_task_leave_out_concepts_without_one():
    target, found = toy()
    table = ablate_groups(target, found, nets.probe(), "bright", "task", AblationOptions(**FEW)).set_index("group")
    assert table.neurons.to_dict() == {"left": 3, "right": 3}  # "spot" is evidence for both, "ladder" for none


@pytest.mark.parametrize("match", ["weight", "activation"])
def test_matched_random_sets_are_drawn_by_size(match):
    target, _ = seeing()
    target.module.head.weight.data[0, :2] = 100.0
    changed = nets.target(target.module, "neurons")
    options = AblationOptions(match=match, **FEW)
    row = ablate(
        changed, nets.dissection(changed, labels=("spot",) * 6), nets.probe(), "bright", neurons=[0, 1], options=options
    )
    assert row.attrs["match"] == match
    if match == "weight":  # of the two largest weights no others are as large
        assert row.p[0] > 0.2


def test_one_patient_has_no_interval_but_a_change():
    target, found = toy()
    row = ablate(target, found, nets.probe(12, per_patient=12), "bright", neurons=[0], options=AblationOptions(**FEW)).iloc[0]
    assert np.isnan([row.low, row.high, row.excess_low]).all()
    assert np.isfinite([row.change, row.random, row.p]).all()


def test_labels_of_another_rule_choose_the_neurons():
    target, found = toy()
    labels = pd.DataFrame({"layer": "2", "neuron": [5], "concept": ["spot"]})
    table = ablate_groups(target, found, nets.probe(), "bright", "category", AblationOptions(labels=labels, **FEW))
    assert table[["group", "neurons"]].to_numpy().tolist() == [["things", 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of category, concepts and neurons; found none"),
        ({"category": "sides", "neurons": [1]}, "found category and neurons"),
        ({"category": "Mass"}, "no neuron of layer '2' has a label of category 'Mass'; its labels are of sides"),
        ({"concepts": ["mass"]}, "has a label of concept 'mass'; its labels are of bright left"),
        ({"neurons": [6]}, "layer '2' has the neurons 0 to 5"),
        ({"neurons": []}, "neurons is empty"),
        ({"neurons": [1.5]}, r"neurons\[0\]=1.5 must be a whole number"),
        ({"neurons": [1], "task": "nothing"}, "no task 'nothing'"),
        ({"neurons": [1], "task": "three"}, r"target 'toy' has 1 outputs; a classifier of three \(0, 1, 2\) has 3"),
        ({"neurons": [1], "options": AblationOptions(layer="7", **FEW)}, "layer='7' is not one of '0', '2'"),
        ({"neurons": [1], "options": AblationOptions(layer="0", match="weight", **FEW)}, "does not feed a head"),
    ],
)
def test_what_means_nothing_is_refused(options, message):
    target, found = toy()
    options = {"task": "bright", "options": AblationOptions(**FEW)} | options
    with pytest.raises(ValueError, match=message):
        ablate(target, found, nets.probe(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "median"}, "to='median' is not one of 'mean', 'zero'"),
        ({"to": float("inf")}, "to=inf must be a finite number"),
        ({"metric": "kappa"}, "metric='kappa' is not one of 'auc', 'accuracy', 'macro_f1'"),
        ({"match": "size"}, "match='size' is not one of 'weight', 'activation'"),
        ({"n_random": 0}, "n_random=0 must be a whole number, 1 or more"),
        ({"level": 1.5}, "level=1.5"),
    ],
)
def test_options_are_checked_when_they_are_made(options, message):
    with pytest.raises(ValueError, match=message):
        AblationOptions(**options)


def test_a_layer_without_labels_has_no_groups():
    target, found = toy(labels=("",) * 6)
    with pytest.raises(ValueError, match="no neuron of layer '2' has a label"):
        ablate_groups(target, found, nets.probe(), "bright", options=AblationOptions(**FEW))
