"""Train a sparse autoencoder on a layer of a target."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch

from mdissect.arguments import AT_LEAST_ONE, known_option
from mdissect.axes import Layout
from mdissect.files import without_folders
from mdissect.models import Target, resolve_device
from mdissect.probes import Probe
from mdissect.sae.autoencoder import SparseAutoencoder, as_inputs
from mdissect.sae.fit import Fit
from mdissect.sae.inputs import Wanted, vectors_of
from mdissect.sae.options import SAEOptions
from mdissect.sae.saving import MANIFEST, drop_state, load_sae, save_sae
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.train.base import check_same

HELD_OUT = 4  # stream of random numbers


@validated(n_latents=AT_LEAST_ONE)
def train(
    target: Target,
    layer: str,
    probe: Probe,
    n_latents: int | None = None,
    folder: str | Path | None = None,
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: SAEOptions | None = None,
    **settings,
) -> SparseAutoencoder:
    """Train a sparse autoencoder on a layer's activations over a probe.

    >>> sae = train(load_target("demo/mammo"), "bn2", load_probe("phantom", n_images=2000, seed=7), 1024, k=16)
    >>> target = attach(load_target("demo/mammo"), "bn2", sae)    # a target with the layer "bn2:sae"

    Take other patients' images than those that are dissected afterwards.

    Parameters
    ----------
    layer : str
        A module path.
    n_latents : int, optional
        By default as many as the layer has neurons. More of them need more images, else many follow nothing:
        `mdissect.sae.compare` tells.
    folder : path, optional
        Where the autoencoder is kept, and until then the state from which the same call resumes, bit by bit on a CPU. A
        finished one is read, not trained again.
    store : path, optional
        Where the layer's vectors are kept.
    options : SAEOptions
    **settings
        Options by their names, such as ``kind="relu", l1=0.1`` or ``k=8, steps=1000, seed=3``.

    Returns
    -------
    SparseAutoencoder
        In eval mode, on the CPU, with `dead`, `settings` and `history`.

    Raises
    ------
    ValueError
        Unknown layer or option; activations that are not finite or do not vary; a folder of another training.
    TrainingError
        The loss is no longer finite.
    SavingError
        The disk is full, or the folder read-only.
    DamagedFileError
        A file of an earlier or interrupted call is not what was written.
    """
    known_option("train", settings, [one.name for one in fields(SAEOptions)])
    options = replace(options or SAEOptions(), **settings)
    wanted = Wanted(target, layer, options.inputs, options.places, options.seed, options.passing)
    folder = None if folder is None else Path(folder)
    vectors = vectors_of(wanted, probe, store, device)
    width = vectors.values.shape[2]
    n_latents = n_latents or width
    what = _what(wanted, probe, width, n_latents, options, vectors.layout)
    if folder is not None and (folder / MANIFEST).is_file():
        sae = load_sae(folder)
        check_same(sae.settings, what, folder / MANIFEST)
        return sae
    held = _held_out(probe, options)
    x, others = (as_inputs(vectors.values[which].reshape(-1, width)) for which in (~held, held))
    sae = SparseAutoencoder(width, n_latents, options.kind, min(options.k, n_latents) if options.kind == "relu" else options.k)
    fit = Fit(sae.to(resolve_device(device)), x, others, what, options)
    fit.run(folder)
    sae.settings = what
    sae.cpu().eval().requires_grad_(False)
    if folder is not None:
        with fit.explained(folder / MANIFEST):
            save_sae(sae, folder)
        drop_state(folder)
    return sae


def _what(wanted: Wanted, probe: Probe, width: int, n_latents: int, options: SAEOptions, layout: Layout) -> dict:
    """All that the weights depend on, as plain JSON values without the folders of this machine."""
    what = {
        "target": wanted.target.name,
        "target_weights": wanted.target.fingerprint,
        "target_preprocess": wanted.target.preprocess.key(),
        "layer": wanted.layer,
        "axes": layout.letters,
        "prefix": layout.prefix,
        "width": width,
        "n_latents": n_latents,
        "probe": probe.name,
        "probe_key": probe.key(),
        "n_images": len(probe),
        **options.stated(),
    }
    return json.loads(json.dumps(without_folders(what)))


def _held_out(probe: Probe, options: SAEOptions) -> np.ndarray:
    """(n_images,) bool: the images of the patients that are not trained on; at least one patient is."""
    patients = np.array(probe.patients)
    names = np.unique(patients)
    order = np.random.default_rng([options.seed, HELD_OUT]).permutation(len(names))
    n = min(round(options.held_out * len(names)), len(names) - 1)
    return np.isin(patients, names[order[:n]])
