"""How well a demo model tells what its texts speak of: zero-shot AUC on held-out images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

MAMMOGRAM_PROMPTS: dict[str, tuple[str, str]] = {
    "mass": ("mass", "no mass"),
    "calcification": ("calcification", "no calcification"),
    "implant": ("breast implant", "no implant"),
    "density D vs A": ("extremely dense breast", "almost entirely fatty breast"),
    "clip or marker": ("metallic density", "normal mammogram"),
    "skin thickening": ("skin thickening", "no skin thickening"),
}
"""Finding: what is said of an image that shows it, and of one that does not."""


def auc(present: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve of scores (n,) for presence (n,) bool; NaN where one class is missing."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(present, score)) if 0 < present.sum() < len(present) else float("nan")


def zero_shot(
    image_embeddings: np.ndarray,
    embed_texts,
    prompts: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    truth: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, float]:
    """AUC of (mean similarity to the first texts) - (mean similarity to the second) for each finding.

    Parameters
    ----------
    image_embeddings : (n_images, d), unit norm
    embed_texts : callable, list of str -> (n, d) tensor
    prompts : finding -> (texts of presence, texts of absence; the latter may be empty)
    truth : finding -> (present (n_images,) bool, counted (n_images,) bool)
    """
    result = {}
    for finding, (yes, no) in prompts.items():
        direction = _mean(embed_texts, yes) - (_mean(embed_texts, no) if no else 0)
        present, counted = truth[finding]
        result[finding] = auc(present[counted], (image_embeddings @ direction)[counted])
    return result


def _mean(embed_texts, texts: Sequence[str]) -> np.ndarray:
    with torch.inference_mode():
        return embed_texts(list(texts)).float().mean(dim=0).cpu().numpy()
