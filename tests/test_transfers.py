"""What is fetched from the device while labels are computed: nothing in a loop over blocks of neurons or of rankings.

Counted on the processor, with the code that a GPU runs: values that Python asks for (each waits for the GPU), sizes that hang
on values, and tensors handed to numpy or to the processor.
"""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mdissect import chance, rankings, similarity
from mdissect.calibrate import calibrate
from mdissect.chance import random_rankings
from mdissect.choice import concept_scores
from mdissect.rankings import top_images
from mdissect.similarity import SIMILARITIES

WAITING = ("_local_scalar_dense", "nonzero", "_unique2", "masked_select", "is_nonzero", "equal")
N_IMAGES, N_CONCEPTS, TOP_K = 64, 9, 7


class Waits(TorchDispatchMode):
    """Counts operations that wait for the device."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if name in WAITING or (name == "index" and any(one is not None and one.dtype == torch.bool for one in args[1])):
            self.found[name] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch):
    """A function that counts what a call fetches, in the code for a GPU and small blocks."""
    monkeypatch.setattr(rankings, "_partition", rankings._select)
    monkeypatch.setattr(rankings, "NEURONS_AT_A_TIME", 16)
    monkeypatch.setattr(similarity, "BLOCK_BYTES", 16 * 4 * TOP_K * N_CONCEPTS)
    monkeypatch.setattr("mdissect.following.NEURONS_AT_A_TIME", 16)
    monkeypatch.setattr("mdissect.pvalues.NEURONS_AT_A_TIME", 16)
    monkeypatch.setattr(chance, "NULL_AT_A_TIME", 10)

    def counted(call):
        mode = Waits()
        with pytest.MonkeyPatch.context() as patch, mode:
            for name in ("numpy", "tolist", "cpu"):
                own = getattr(torch.Tensor, name)

                def told(tensor, *args, _own=own, _name=name, **options):
                    mode.found[_name] += 1
                    return _own(tensor, *args, **options)

                patch.setattr(torch.Tensor, name, told)
            call()
        return mode.found

    return counted


def drawn(n_neurons):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N_IMAGES, N_CONCEPTS, generator=generator), torch.randn(N_IMAGES, n_neurons, generator=generator)


@pytest.mark.parametrize("rule", [rule for rule in SIMILARITIES if rule not in ("following", "top_auc")])
def test_a_similarity_fetches_no_more_for_more_neurons(waits, rule):
    few, many = (waits(lambda n=n: concept_scores(*drawn(n), rule, TOP_K)) for n in (16, 160))
    assert few == many
    assert sum(few.values()) <= 12


@pytest.mark.parametrize("rule", ["following", "top_auc"])
def test_rules_of_ranks_fetch_but_the_processor_s_own_order(waits, rule):
    """mean_ranks sorts by numpy on the processor, by torch on a GPU: once a block, and for nothing else."""
    few, many = (waits(lambda n=n: concept_scores(*drawn(n), rule, TOP_K)) for n in (16, 160))
    assert many - few == Counter({"numpy": (many - few)["numpy"]})


def test_random_rankings_fetch_once_whatever_their_number(waits):
    sims, _ = drawn(1)
    patients = np.arange(N_IMAGES) // 2
    few, many = (waits(lambda n=n: random_rankings(sims, TOP_K, n_null=n, patients=patients)) for n in (10, 50))
    added = many - few
    blocks = 6 * (50 - 10) // 10
    assert set(added) <= {"_local_scalar_dense", "_unique2", "numpy"}
    assert sum(added.values()) <= 8 * blocks  # the checks of each block's values and whether patients share images


def test_calibration_fetches_no_more_for_more_neurons(waits):
    few, many = (waits(lambda n=n: calibrate(*drawn(n), top_k=TOP_K, n_null=20)) for n in (16, 160))
    assert few == many


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_the_choice_on_a_gpu_is_that_of_a_stable_sort(seed, levels):
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randint(levels, (50, 30), generator=generator).float()
    activations[:, 0] = 1
    for top_k in (1, 7, 50):
        found = rankings._select(activations.T.contiguous(), top_k)
        assert torch.equal(found, rankings._sort(activations.T, top_k))
        assert torch.equal(found, top_images(activations, top_k))
