"""How much of a layer's activations an autoencoder keeps, on images that it was not trained on."""

import warnings

import numpy as np
import pandas as pd
import torch

from mdissect.arguments import AT_LEAST_ONE, RATE
from mdissect.embed import PassOptions
from mdissect.models import Target
from mdissect.probes import Probe
from mdissect.sae.autoencoder import PLACES, SparseAutoencoder
from mdissect.sae.inputs import Wanted, vectors_of
from mdissect.signatures import validated
from mdissect.store import StoreLike


@validated(n_boot=AT_LEAST_ONE, level=RATE)
def fidelity(
    sae: SparseAutoencoder,
    target: Target,
    probe: Probe,
    n_boot: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    store: StoreLike = None,
    device: str | torch.device = "auto",
    passing: PassOptions | None = None,
) -> pd.DataFrame:
    """Explained variance, active and dead latents of an autoencoder on a probe.

    >>> fidelity(sae, load_target("demo/mammo"), load_probe("phantom", n_images=300, seed=8))    # doctest: +SKIP

    Parameters
    ----------
    target : Target
        The one that the autoencoder was trained on, or another with such a layer.
    probe : Probe
        Of other patients than the training's: the same probe is a warning.
    n_boot, seed, level
        Resamples of patients with all their images.

    Returns
    -------
    DataFrame
        measure, value, low, high. "explained variance": 1 - squared error / squared distance from the mean vector. "active
        latents": the mean number per input (L0). "dead latents": the share of latents that are 0 on all of the probe, without
        an interval, since a resample holds fewer patients.

    Raises
    ------
    ValueError
        An autoencoder made by hand, unknown layer or another width, or activations that are not finite.

    Warns
    -----
    UserWarning
        The probe is the one that was trained on.
    """
    settings = sae.settings
    if "layer" not in settings:
        raise ValueError("sae= does not say of which layer it is: it was made by hand; mdissect.sae.train makes one")
    if probe.key() == settings.get("probe_key"):
        warnings.warn(
            "the autoencoder was trained on this very probe, so that its explained variance flatters it; give other patients",
            stacklevel=3,
        )
    inputs, places = settings.get("inputs", PLACES), settings.get("places", 16)
    wanted = Wanted(target, settings["layer"], inputs, places, settings.get("seed", 0), passing or PassOptions())
    values = vectors_of(wanted, probe, store, device).values
    if values.shape[2] != sae.width:
        raise ValueError(f"layer {wanted.layer!r} has {values.shape[2]} neurons, the autoencoder was made for {sae.width}")
    sums, active = _by_image(sae, values)
    _, patient = np.unique(np.array(probe.patients), return_inverse=True)
    of_patient = np.stack([np.bincount(patient, weights=column) for column in sums.T], axis=1)
    n = len(of_patient)
    rng = np.random.default_rng(seed)
    drawn = np.stack([of_patient[rng.integers(0, n, n)].sum(axis=0) for _ in range(n_boot)])
    rows = []
    for measure, figure in (("explained variance", _explained), ("active latents", _active)):
        low, high = np.quantile(figure(drawn), [(1 - level) / 2, (1 + level) / 2]) if n > 1 else (np.nan, np.nan)
        rows.append({"measure": measure, "value": float(figure(sums.sum(axis=0))), "low": low, "high": high})
    dead = float((~active.any(axis=0)).mean())
    rows.append({"measure": "dead latents", "value": dead, "low": np.nan, "high": np.nan})
    return pd.DataFrame(rows)


@torch.inference_mode()
def _by_image(sae: SparseAutoencoder, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per image: squared error, squared distance from the mean, active latents, inputs (n, 4); and which are active."""
    centre, device = values.mean(axis=(0, 1), dtype=np.float64), sae.decoder.device
    sums, active = np.zeros((len(values), 4)), np.zeros((len(values), sae.n_latents), dtype=bool)
    for i, own in enumerate(values):
        latents = sae.encode(torch.from_numpy(own.copy()).to(device))
        error = own - sae.decode(latents).cpu().numpy()
        on = (latents > 0).cpu().numpy()
        sums[i] = np.square(error).sum(), np.square(own - centre).sum(), on.sum(), len(own)
        active[i] = on.any(axis=0)
    return sums, active


def _explained(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - sums[..., 0] / sums[..., 1]


def _active(sums: np.ndarray) -> np.ndarray:
    return sums[..., 2] / sums[..., 3]
