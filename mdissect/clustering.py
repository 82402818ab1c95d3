"""How far the top images of a neuron come from the same patients.

Two images of a patient show much the same, so that forty top images of ten patients say less than forty of forty. Which
patients are meant is a matter of chance where a neuron follows nothing; how its top images spread over patients is not, and
differs from neuron to neuron. `mdissect.pvalues` therefore compares each neuron with random rankings that are clustered alike.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mdissect.signatures import validated
from mdissect.similarity import top_images

DIGITS = 6  # of the effect: what rounding alone tells apart is equal


@dataclass(frozen=True)
class Clustering:
    """`effect` (n_neurons,) float64, `most` (n_neurons,) int64. Made by `clustering`.

    The effect is Kish's design effect of the top images: by how much the variance of a weighted sum over them grows if all
    images of a patient say the same, 1 where every image is of another patient. `most` is the largest number of top images
    of one patient.
    """

    effect: Tensor
    most: Tensor


@validated()
def clustering(activations: Tensor, members: Tensor, weights: Tensor) -> Clustering:
    """The clustering of activations (n_images, n_neurons) by patient.

    >>> found = clustering(torch.tensor([[4.0], [3.0], [2.0], [1.0]]), torch.tensor([0, 0, 1, 1]), torch.ones(3))
    >>> found.effect.tolist(), found.most.tolist()        # (2^2 + 1^2) / 3
    ([1.666667], [2])

    `members` (n_images,) int64 are the patients' numbers, `weights` (top_k,) float how much each rank counts.
    """
    n_neurons = activations.shape[1]
    if not shared(members):
        return unshared(n_neurons, activations.device)
    return clustering_of(members[top_images(activations, len(weights))], weights)


@validated()
def unshared(n_neurons: int, device: str | torch.device = "cpu") -> Clustering:
    """The clustering where every image is of another patient."""
    ones = torch.ones(n_neurons, dtype=torch.int64, device=device)
    return Clustering(ones.double(), ones)


@validated()
def clustering_of(patients: Tensor, weights: Tensor) -> Clustering:
    """The clustering of neurons by the patients of their top images, (n_neurons, top_k) int64, the strongest first."""
    n_neurons, top_k = patients.shape
    patient, rank = patients.sort(dim=1, stable=True)
    number = torch.nn.functional.pad(patient.diff(dim=1) != 0, (1, 0)).cumsum(dim=1)  # 0, 1, ... for the patients of a neuron
    sums = weights.new_zeros(n_neurons, top_k, dtype=torch.float64).scatter_add_(1, number, weights.double()[rank])
    counts = torch.zeros_like(number).scatter_add_(1, number, torch.ones_like(number))
    return Clustering(((sums**2).sum(dim=1) / (weights.double() ** 2).sum()).round(decimals=DIGITS), counts.amax(dim=1))


@validated()
def shared(members: Tensor) -> bool:
    """Whether two of the images are of one patient."""
    return len(members.unique()) < len(members)
