"""Halves of the patients: labels are chosen on one and measured on the other."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from mdissect.calibrate import judge_neurons
from mdissect.dissection import Dissection
from mdissect.labels import check_calibratable, check_in_memory, nulls_of, own_options, own_rule, top_k_of, why_none
from mdissect.similarity import SIMILARITIES, nameable

NULL = 200  # random rankings of a half: enough to see which neurons compete
CALIBRATED, PUBLISHED = "calibrated", "published"
RULES = (CALIBRATED, PUBLISHED, *SIMILARITIES)
Naming = Callable[[str, np.ndarray], np.ndarray]  # of a layer on chosen images: (n_neurons,) concepts, -1 without one


@dataclass(frozen=True)
class Halves:
    """Random halves of the patients, each patient with all images.

    `splits` holds pairs of positions of images, one for each half; `patient` (n_images,) int says whose each image is.
    """

    splits: list[tuple[np.ndarray, np.ndarray]]
    patient: np.ndarray

    @property
    def n_patients(self) -> int:
        return int(self.patient.max()) + 1

    @property
    def both_ways(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The images to choose on and those to measure on; every half serves as either."""
        return [pair for first, second in self.splits for pair in ((first, second), (second, first))]


def halves_of(dissection: Dissection, n_splits: int, seed: int) -> Halves:
    """Halves of a dissection's patients (of its images, if the probe names no patients); ValueError for a single one."""
    patient, rng = patients_of(dissection), np.random.default_rng(seed)
    n_patients, splits = patient.max() + 1, []
    for _ in range(n_splits):
        first = np.isin(patient, rng.permutation(n_patients)[: n_patients // 2])
        splits.append((np.flatnonzero(first), np.flatnonzero(~first)))
    return Halves(splits, patient)


def patients_of(dissection: Dissection) -> np.ndarray:
    """(n_images,) int: whose each image is; an image's own where the probe names no patients; ValueError for a single one."""
    n_images = len(dissection.probe_table)
    patient = pd.factorize(np.array(dissection.patients or range(n_images), dtype=object))[0]
    if n_images == 0 or patient.max() == 0:
        of_one = f"there is {n_images or 'no'} image" if n_images < 2 else f"all {n_images} images are of one patient"
        raise ValueError(f"{of_one}, so that none are left to measure on; use a probe of more patients")
    return patient


def naming(dissection: Dissection, rule: str) -> Naming:
    """What names a layer's neurons on chosen images by a rule: "calibrated", "published" or the name of a similarity.

    By the calibrated rule every neuron gets its candidate, whatever q is. "published" is the dissection's own similarity.
    """
    if rule == CALIBRATED:
        check_calibratable(dissection)
        return lambda layer, images: _candidates(_on(dissection, layer, images), layer)
    own = own_rule(dissection)
    similarity = SIMILARITIES[own if rule == PUBLISHED else rule]
    options = own_options(dissection) if similarity is SIMILARITIES[own] else {}
    if not options and "top_k" in inspect.signature(similarity).parameters:
        options = {"top_k": top_k_of(dissection)}

    def name(layer: str, images: np.ndarray) -> np.ndarray:
        activations = torch.from_numpy(dissection.activations[layer][images])
        sims = torch.from_numpy(dissection.image_concept_sims[images])
        usable, label = _usable(activations), np.full(activations.shape[1], -1)
        if usable.any():
            scores = similarity(sims, activations[:, usable], **options).numpy()
            label[usable] = np.where(np.isfinite(scores).any(axis=1), np.nan_to_num(scores, nan=-np.inf).argmax(axis=1), -1)
        return label

    return name


def given_labels(dissection: Dissection, labels: pd.DataFrame) -> Naming:
    """The same labels for all images, from a table as `Dissection.labels` returns it; ValueError for an unknown concept."""
    position = {name: i for i, name in enumerate(dissection.concepts.names)} | {"": -1}
    rows = labels if "rank" not in labels else labels[labels["rank"] == 0]
    if unknown := sorted(set(rows.concept) - set(position)):
        raise ValueError(f"{len(unknown)} labels are no concepts of the dissection, such as {', '.join(unknown[:3])}")
    if (twice := rows.duplicated(["layer", "neuron"])).any():
        one = rows[twice].iloc[0]
        raise ValueError(f"labels names neuron {one.neuron} of layer {one.layer} twice; give one label per neuron")
    known = {}
    for layer, activations in dissection.activations.items():
        own = rows[rows.layer == layer]
        if len(own) and not own.neuron.between(0, activations.shape[1] - 1).all():
            raise ValueError(f"labels names neurons up to {own.neuron.max()}, layer {layer} has {activations.shape[1]}")
        known[layer] = np.full(activations.shape[1], -1)
        known[layer][own.neuron.to_numpy(dtype=int)] = own.concept.map(position).to_numpy(dtype=int)
    return lambda layer, images: known[layer]


def chosen_layers(dissection: Dissection, layers: Sequence[str] | None) -> list[str]:
    """The layers asked for, all when None; ValueError for an unknown one, or where there are no activations."""
    if not dissection.activations or dissection.image_concept_sims is None:
        raise ValueError(f"the dissection has no activations or image_concept_sims ({why_none(dissection)}")
    check_in_memory(dissection, "a comparison of halves of the patients")
    layers = list(dissection.activations) if layers is None else list(layers)
    if unknown := sorted(set(layers) - set(dissection.activations)):
        raise ValueError(f"no layer {', '.join(unknown)}; there are {', '.join(dissection.activations)}")
    return layers


def _on(dissection: Dissection, layer: str, images: np.ndarray) -> Dissection:
    """A layer of the dissection on chosen images."""
    return replace(
        dissection.published,
        similarity={layer: dissection.similarity[layer]},
        activations={layer: dissection.activations[layer][images]},
        image_concept_sims=dissection.image_concept_sims[images],
        probe_table=dissection.probe_table.iloc[images],
        notes={},
        image_embeddings=None,
        columns=None,
    )


def _candidates(part: Dissection, layer: str) -> np.ndarray:
    """The label that each neuron would have on these images by the calibrated rule."""
    several = part.patients is None or len(set(part.patients)) > 1
    nulls = nulls_of(part, n_null=NULL, by_patient=several)
    activations, sims = torch.from_numpy(part.activations[layer]), torch.from_numpy(part.image_concept_sims)
    return judge_neurons(sims, activations, nulls).candidate.to_numpy(copy=True)


def _usable(activations: torch.Tensor) -> np.ndarray:
    finite, constant = nameable(activations)
    return (finite & ~constant).numpy()
