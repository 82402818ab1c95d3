"""How top images spread over patients: against sums written out, and the cases without patients."""

import numpy as np
import pytest
import torch

from mdissect.clustering import clustering, shared


def literal(column: torch.Tensor, members: list[int], weights: torch.Tensor) -> tuple[float, int]:
    top = column.argsort(descending=True)[: len(weights)].tolist()
    sums, counts = {}, {}
    for rank, image in enumerate(top):
        sums[members[image]] = sums.get(members[image], 0) + float(weights[rank])
        counts[members[image]] = counts.get(members[image], 0) + 1
    return sum(x**2 for x in sums.values()) / float((weights.double() ** 2).sum()), max(counts.values())


def test_it_is_the_sums_over_patients_written_out():
    rng = np.random.default_rng(0)
    activations = torch.tensor(rng.standard_normal((60, 30)), dtype=torch.float32)
    members, weights = rng.integers(0, 12, 60), torch.linspace(2, 0.5, 17, dtype=torch.float64)
    found = clustering(activations, torch.tensor(members), weights)
    expected = [literal(activations[:, k], members.tolist(), weights) for k in range(30)]
    np.testing.assert_allclose(found.effect, [effect for effect, _ in expected], atol=1e-6)
    assert found.most.tolist() == [most for _, most in expected]


@pytest.mark.parametrize(
    ("members", "effect", "most"),
    [
        ([0, 1, 2, 3, 4, 5], 1, 1),
        ([0, 0, 0, 1, 1, 1], 3, 3),  # the three top images are the first
        ([0, 1, 2, 0, 1, 2], 1, 1),  # the other images of these patients are not among them
        ([0, 0, 1, 1, 2, 2], 5 / 3, 2),
    ],
)
def test_images_of_other_patients_count_in_full(members, effect, most):
    found = clustering(torch.arange(6.0, 0, -1)[:, None], torch.tensor(members), torch.ones(3))
    assert found.effect.item() == pytest.approx(effect, abs=1e-6)
    assert found.most.item() == most
    assert shared(torch.tensor(members)) == (len(set(members)) < 6)
