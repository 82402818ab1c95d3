"""Which concept labels a neuron: competition in layers that are one to one, and ties."""

import numpy as np
import pandas as pd
import pytest
import torch

from mdissect.calibrate import calibrate
from mdissect.choice import RULE, choose, concept_scores, rank_concepts, sharing
from mdissect.similarity import SIMILARITIES, SoftWPMIOptions, soft_wpmi
from mdissect.trust.planted import NOISE, TWO, few_images_per_class, plant, score_rules


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1] * 60, 0.0),  # one to a concept: no pair, 29.5 expected
        ([1] * 20, 1.0),  # too few to tell: 3.2 expected
        ([2] * 30, (30 + 1) / (29.5 + 1)),  # as by chance
        ([60], (1770 + 1) / (29.5 + 1)),  # all the same
    ],
)
def test_sharing_counts_pairs_of_the_same_name(counts, expected):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert sharing(labels, torch.ones(len(labels)), n_concepts=60) == pytest.approx(expected)


def test_sharing_is_judged_by_the_surest_neurons():
    labels = torch.cat([torch.arange(100), torch.zeros(100, dtype=torch.int64)])  # the doubtful half are all called the same
    assert sharing(labels, torch.arange(200, 0, -1.0), n_concepts=150) == 0
    assert sharing(labels, torch.arange(200.0), n_concepts=150) > 100


def test_neurons_of_two_concepts_are_not_taken_for_one_to_one():
    """Competition parts them, so that they make fewer pairs than independent names would: 0.65 to 0.98 of them."""
    scores = [score_rules(plant(seed=seed, kinds={TWO: 0.5, NOISE: 0.5}), 40, similarities=[]) for seed in (70, 71)]
    assert (pd.concat(scores).right >= 0.98).all()


def test_labels_follow_how_far_the_layer_shares_concepts():
    """A neuron that rises at a class that another neuron shows too, and less at one that nobody else shows."""
    sims = torch.eye(150).repeat_interleave(3, dim=0)  # 3 images of each of 150 classes
    alone = sims @ torch.eye(150) + 0.01 * torch.rand(450, 150, generator=torch.Generator().manual_seed(0))
    unsure = alone[:, 149].clone()
    unsure[[0, 1, 2]] += 3  # of class 0
    one_to_one = torch.cat([alone[:, :149], unsure[:, None]], dim=1)
    assert calibrate(sims, one_to_one, 5).label.tolist() == list(range(150))
    shared = torch.cat([alone[:, :1].repeat(1, 149), unsure[:, None]], dim=1)
    assert calibrate(sims, shared, 5).label.tolist() == [0] * 150


def test_classes_of_one_image_are_told_apart_where_nobody_passes():
    """Every ranking starts with the only image of some class, so that no neuron is better than chance."""
    n = 120
    sims = torch.eye(n)
    noise = torch.randn(n, n, generator=torch.Generator().manual_seed(1))
    alike = torch.randn(n, 12, generator=torch.Generator().manual_seed(2))
    activations = 5 * torch.eye(n) + noise + 2 * alike @ alike.T / 12**0.5
    table = calibrate(sims, activations, 5)
    assert (table.label == -1).all()
    assert (table.candidate == np.arange(n)).mean() >= 0.95


def test_concepts_are_ranked_by_their_scores():
    planted = plant(snr=3, n_neurons=32, kinds={TWO: 1.0})
    scores = concept_scores(planted.image_concept_sims, planted.activations)
    ranked = rank_concepts(scores, torch.ones(32), torch.ones(32, dtype=torch.bool), top=120)
    assert ranked.sort(dim=1).values.equal(torch.arange(120).expand(32, 120))
    assert (scores.gather(1, ranked).diff(dim=1) <= 1e-5).all()
    carried = torch.from_numpy(planted.carries).gather(1, ranked[:, :2])
    assert carried.sum().item() >= 0.95 * planted.carries.sum()  # the first two are the two
    assert rank_concepts(scores, torch.ones(32), torch.zeros(32, dtype=torch.bool), top=1).equal(ranked[:, :1])


def test_of_equal_concepts_the_first_is_taken():
    scores = torch.tensor(
        [[0.2, 0.5, 0.5 + 1e-6, 0.1], [0.0, 0.0, 0.0, 0.0], [-torch.inf] * 4, [-torch.inf, 1.0, 2.0, torch.nan]]
    )
    ranked = rank_concepts(scores.double(), torch.ones(4), torch.ones(4, dtype=torch.bool), top=4, rule="rank_reorder")
    assert ranked.tolist() == [[1, 2, 0, 3], [0, 1, 2, 3], [0, 1, 2, 3], [2, 1, 0, 3]]


@pytest.mark.parametrize("rule", SIMILARITIES)
def test_calibrate_labels_by_any_rule(rule):
    planted = plant(snr=3, n_neurons=40)
    table = calibrate(planted.image_concept_sims, planted.activations, 40, n_null=200, rule=rule)
    scores = concept_scores(planted.image_concept_sims, planted.activations, rule, 40)
    np.testing.assert_array_equal(table.candidate, scores.argmax(dim=1))
    by_default = calibrate(planted.image_concept_sims, planted.activations, 40, n_null=200)
    of_label = ["label", "candidate", "p_label"]
    pd.testing.assert_frame_equal(table.drop(columns=of_label), by_default.drop(columns=of_label))
    assert ((table.label >= 0) == (by_default.label >= 0)).all()  # the rule changes no p and no q


def test_the_options_of_the_published_score_count_for_it():
    planted = plant(n_neurons=16)
    sims, activations = planted.image_concept_sims, planted.activations
    options = SoftWPMIOptions(a=5.0, lam=0.5)
    found = concept_scores(sims, activations, "soft_wpmi", 20, options)
    assert torch.equal(found.float(), soft_wpmi(sims, activations, 20, a=5.0, lam=0.5))


def test_the_published_score_is_not_made_to_compete():
    few = few_images_per_class(n_classes=60, n_families=6)
    scores = concept_scores(few.image_concept_sims, few.activations, "soft_wpmi", 5)
    label = choose(scores, torch.ones(60), torch.ones(60, dtype=torch.bool), "soft_wpmi")
    assert label.equal(scores.argmax(dim=1))
    assert RULE in SIMILARITIES
