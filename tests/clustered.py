"""Probes of patients with several images, and neurons that vary from patient to patient, for measuring p-values."""

import numpy as np
import torch
from torch import Tensor

FOURS = {"150 x 4": [4] * 150, "50 x 4": [4] * 50, "15 x 4": [4] * 15}
UNEQUAL = {
    "1 to 15, mean 4": np.minimum(np.random.default_rng(0).geometric(0.25, 150), 15).tolist(),
    "300 x 1, 20 x 15": [1] * 300 + [15] * 20,
}
KINDS = ("normal", "rectified", "heavy tails", "few patients", "tails together")


def probe_of(
    sizes: list[int], seed: int, n_concepts: int = 60, by_patient: bool = True
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Similarities (n_images, n_concepts) float32, patients (n_images,) in any order, presence: 1 in 10 patients (images)."""
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    presence = rng.random((len(sizes) if by_patient else len(patients), n_concepts)) < 0.1
    presence = presence[patients] if by_patient else presence
    sims = 0.25 * presence + 0.05 * rng.standard_normal(presence.shape)
    return torch.tensor(sims, dtype=torch.float32), patients, presence


def neurons_of(
    patients: np.ndarray, icc: float, kind: str, n_neurons: int, seed: int, signal: np.ndarray | float = 0.0
) -> Tensor:
    """Activations (n_images, n_neurons) float32: `signal` and noise, `icc` of whose variance is from patient to patient.

    "rectified": nineteen of twenty are 0, so that the choice of the last top images is arbitrary; "heavy tails": Student's t
    with 1.5 and 3 degrees of freedom; "few patients": one in twenty stands out from independent noise by 5 icc; "tails
    together": all images of a patient are extreme at once, even at icc 0.
    """
    rng = np.random.default_rng(seed)
    shape, n_patients = (len(patients), n_neurons), patients.max() + 1
    if kind == "few patients":
        stand_out = rng.random((n_patients, n_neurons)) < 0.05
        return torch.tensor(signal + rng.standard_normal(shape) + 5 * icc * stand_out[patients], dtype=torch.float32)
    if kind == "heavy tails":
        of_patient, of_image = rng.standard_t(1.5, (n_patients, n_neurons)), rng.standard_t(3, shape)
    else:
        of_patient, of_image = rng.standard_normal((n_patients, n_neurons)), rng.standard_normal(shape)
    x = np.sqrt(icc) * of_patient[patients] + np.sqrt(1 - icc) * of_image
    if kind == "tails together":
        x /= np.sqrt(rng.chisquare(2, (n_patients, n_neurons)) / 2)[patients]
    return torch.tensor(np.maximum(signal + x - 1.65, 0) if kind == "rectified" else signal + x, dtype=torch.float32)
