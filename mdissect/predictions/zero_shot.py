"""Findings told by an image-text model from pairs of texts, without training."""

from collections.abc import Sequence

import numpy as np
import torch

from mdissect.embed import PassOptions, embed_images
from mdissect.models import Dissector
from mdissect.predictions.levels import Question, Truth, asked_truth, read_truth, some_truth
from mdissect.predictions.passes import as_images, as_probe
from mdissect.predictions.prompts import Prompts, as_prompts, sides
from mdissect.predictions.result import Predictions, collected, column_name
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.store import StoreLike
from mdissect.train.metrics import probabilities


@validated(probe=as_images, prompts=as_prompts, truth=some_truth)
def zero_shot(
    dissector: Dissector,
    probe: "Probe | np.ndarray | Sequence[np.ndarray]",
    prompts: Prompts = None,
    truth: Truth = None,
    store: StoreLike = None,
    device: str | torch.device = "auto",
    options: PassOptions | None = None,
) -> Predictions:
    """How much more each image resembles the text of a finding than that of its absence; also per breast and patient.

    >>> found = zero_shot(load_dissector("demo/mammo"), probe, {"mass": ("mass", "no mass")}, truth="mass")   # doctest: +SKIP
    >>> found.images[["difference_mass", "probability_mass"]]                                    # doctest: +SKIP

    As Mammo-CLIP's published evaluation (breastclip/evaluator.py): the softmax over the cosine similarities of an image with
    the two texts, without the model's logit scale, so that probabilities lie near a half. Their order, and the AUC, are those
    of difference_<finding>, cos(image, positive) - cos(image, negative). Of several texts a side the mean of their unit
    embeddings is brought to unit length.

    Parameters
    ----------
    dissector : Dissector
    probe : Probe, or images as arrays
    prompts : optional
        A mapping of findings to (positive, negative), each a text or several; texts such as "mass | no mass" (";" separates
        several a side, "tumour = mass | no mass" names the finding); or a table file with columns finding, positive, negative.
        By default Mammo-CLIP's published pairs: mass, suspicious calcification, malignancy.
    truth : str or mapping of findings to str, optional
        Columns of the probe's table with yes and no, or tasks, as for `predict`; one str where there is one finding.
    store : path, optional
        Where image embeddings are kept, the same as of `dissect`: other prompts run no model again, and a run that was killed
        resumes. With a store only a chunk of embeddings at a time is in memory.
    device, options
        As for `mdissect.embed.embed_probe`.

    Raises
    ------
    ValueError
        Prompts that are no pairs, or are the same to the dissector; truth that cannot be read.
    """
    probe = as_probe(probe)
    pairs = as_prompts("prompts", prompts)
    labels = {name: read_truth(probe, *asked) for name, asked in asked_truth({p.name: p.classes for p in pairs}, truth).items()}
    texts = sides(dissector, pairs, store)
    cosines = np.concatenate(
        [
            rows.astype(np.float64) @ texts.reshape(-1, texts.shape[2]).T
            for rows in embed_images(dissector, probe, store, device, options)
        ]
    ).reshape(len(probe), len(pairs), 2)
    if not np.isfinite(cosines).all():
        first = probe.ids[int(np.flatnonzero(~np.isfinite(cosines).all(axis=(1, 2)))[0])]
        raise ValueError(f"dissector {dissector.name!r} gives embeddings that are not finite, the first for image {first!r}")
    questions = [
        Question(
            pair.name, pair.classes, probabilities(cosines[:, i]), labels.get(pair.name),
            {f"difference_{column_name(pair.name)}": cosines[:, i, 1] - cosines[:, i, 0]},
        )
        for i, pair in enumerate(pairs)
    ]  # fmt: skip
    produced = {
        "command": "zeroshot",
        "model": dissector.name,
        "model_fingerprint": dissector.fingerprint,
        "text_fingerprint": dissector.text_fingerprint,
        "model_notes": list(dissector.notes),
        "prompts": {pair.name: {"positive": list(pair.positive), "negative": list(pair.negative)} for pair in pairs},
    }
    notes = [] if dissector.aligned else [f"the two towers of {dissector.name} were never aligned: the predictions are random"]
    return collected(probe, questions, produced, dissector.preprocess, notes)
