"""Worlds of known truth on which labelling rules are compared: planted neurons, and halves of the demo's patients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mdissect.dissection import Dissection
from mdissect.metrics import auc_matrix
from mdissect.trust.planted import ONE, Planted, few_images_per_class, plant
from mdissect.trust.presence import known_presence


@dataclass(frozen=True)
class Hard:
    """What makes planted neurons hard to label.

    Concepts come in families of a general one and three of its kinds, which leak into one another's similarities; gain and blur
    differ by concept, tails are Student's t, some factors of the images (nuisance) move similarities and neurons alike, half of
    the neurons are rectified, and two in five follow two concepts.
    """

    prevalence: float = 0.08
    nuisance: float = 0.25  # of the neurons, in units of their noise; that of the similarities is as large against their blur
    tails: float = 2.5  # degrees of freedom of the neurons' noise

    def plant(self, seed: int, n_images: int = 600, n_families: int = 30, n_neurons: int = 256) -> Planted:
        rng, n_concepts = np.random.default_rng([seed, 77]), 4 * n_families
        kinds = rng.random((n_images, n_families, 3)) < self.prevalence / 2
        general = kinds.any(axis=2) | (rng.random((n_images, n_families)) < self.prevalence / 4)
        family = np.concatenate([general[:, :, None], kinds], axis=2)
        family[rng.integers(0, n_images, n_concepts), np.arange(n_concepts) // 4, np.arange(n_concepts) % 4] = True
        relatives = (family.sum(axis=2, keepdims=True) > family).reshape(n_images, n_concepts)
        presence, factors = family.reshape(n_images, n_concepts), rng.standard_normal((n_images, 3))
        gain, blur = rng.uniform(0.5, 1.5, n_concepts), rng.uniform(0.5, 1.8, n_concepts)
        sims = 0.25 * gain * (presence + 0.35 * relatives) + 0.05 * blur * _t(rng, 5, presence.shape)
        sims += 0.08 * self.nuisance * factors @ rng.standard_normal((3, n_concepts))
        first, second = rng.integers(0, n_concepts, (2, n_neurons))
        two = rng.random(n_neurons) < 0.4
        activations = _t(rng, self.tails, (n_images, n_neurons)) + self.nuisance * factors @ rng.standard_normal((3, n_neurons))
        activations += 2 * (presence[:, first] | (two & presence[:, second]))
        above = np.maximum(activations - np.quantile(activations, 0.6, axis=0), 0)
        activations = np.where(rng.random(n_neurons) < 0.5, above, activations)
        return _planted(sims, activations, presence, [first, np.where(two, second, first)])


def _t(rng: np.random.Generator, df: float, shape: tuple) -> np.ndarray:
    """Student's t of unit variance."""
    return rng.standard_t(df, shape) / np.sqrt(df / (df - 2))


def mixed(seed: int, n_images: int = 600, n_concepts: int = 120, n_neurons: int = 256) -> Planted:
    """Concepts of 1 % to 40 % of the images side by side, neurons of SNR 2."""
    rng = np.random.default_rng([seed, 78])
    presence = rng.random((n_images, n_concepts)) < np.exp(rng.uniform(np.log(0.01), np.log(0.4), n_concepts))
    presence[rng.integers(0, n_images, n_concepts), np.arange(n_concepts)] = True
    sims, first = 0.25 * presence + 0.05 * rng.standard_normal(presence.shape), rng.integers(0, n_concepts, n_neurons)
    return _planted(sims, rng.standard_normal((n_images, n_neurons)) + 2 * presence[:, first], presence, [first])


def _planted(sims: np.ndarray, activations: np.ndarray, presence: np.ndarray, concepts: list[np.ndarray]) -> Planted:
    n_neurons, n_concepts = activations.shape[1], sims.shape[1]
    carries = np.zeros((n_neurons, n_concepts), dtype=bool)
    for one in concepts:
        carries[np.arange(n_neurons), one] = True
    tensors = (torch.tensor(x, dtype=torch.float32) for x in (sims, activations))
    return Planted(*tensors, presence, carries, np.full(n_neurons, ONE, dtype=object), np.arange(n_concepts) // 4)


# How each is planted from a seed, and the top_k at which rules that count top images see it.
PLANTED: dict[str, tuple[Callable[[int], Planted], int]] = {
    "SNR 1": (lambda seed: plant(1.0, seed=seed), 40),
    "rare, 1.5 %": (lambda seed: plant(2.0, prevalence=0.015, seed=seed), 40),
    "rare, SNR 3": (lambda seed: plant(3.0, prevalence=0.015, seed=seed), 40),
    "4 of 2,000 images": (lambda seed: plant(4.0, n_images=2000, prevalence=0.002, seed=seed), 10),
    "1 to 40 %": (mixed, 20),
    "hard": (Hard().plant, 40),
    "hard, rare": (Hard(prevalence=0.03).plant, 40),
    "hard, much nuisance": (Hard(nuisance=0.5, tails=4).plant, 40),
    "hard, much nuisance, rare": (Hard(prevalence=0.03, nuisance=0.5, tails=4).plant, 40),
    "few images a class, top 5": (lambda seed: few_images_per_class(seed=seed), 5),
    "few images a class, top 20": (lambda seed: few_images_per_class(seed=seed), 20),
}


@dataclass(frozen=True)
class Half:
    """A layer of the demo on half of the patients, and what each label would be worth on the other half.

    `known` are positions of the concepts whose presence is known and varies in both halves; `areas` (n_neurons, n_known) the
    AUC of the activations for their presence on the other half, `areas_here` on this one.
    """

    sims: Tensor
    activations: Tensor
    known: np.ndarray
    areas: np.ndarray
    areas_here: np.ndarray


def halves(found: Dissection, layer: str, n_splits: int) -> Iterator[list[Half]]:
    """For each split of the patients, both halves in turn."""
    presence = known_presence(found)
    position = {name: i for i, name in enumerate(found.concepts.names)}
    shown, known = presence.to_numpy(dtype=bool), np.array([position[name] for name in presence])
    patient, activations = np.array(found.patients), found.activations[layer]
    for split in range(n_splits):
        names = np.random.default_rng(split).permutation(np.unique(patient))
        first = np.isin(patient, names[: len(names) // 2])
        yield [_half(found.image_concept_sims, activations, shown, known, here) for here in (first, ~first)]


def _half(sims: np.ndarray, activations: np.ndarray, shown: np.ndarray, known: np.ndarray, here: np.ndarray) -> Half:
    varies = np.all([shown[part].any(axis=0) & ~shown[part].all(axis=0) for part in (here, ~here)], axis=0)
    alive = np.ptp(activations[here], axis=0) > 0
    areas = [auc_matrix(activations[part][:, alive].astype(float), shown[part][:, varies]) for part in (~here, here)]
    return Half(torch.from_numpy(sims[here]), torch.from_numpy(activations[here][:, alive]), known[varies], *areas)
