"""How well a model in training matches held-out images and reports: its loss, and the rank of the right report."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdissect.train.contrastive import Batch, Contrastive
from mdissect.train.embedding import embedded_images, embedded_texts
from mdissect.train.images import in_groups
from mdissect.train.studies import content

VIEWS, TEXTS, ORDER = 21, 22, 23  # streams of random numbers
AT_ONCE = 32  # images or texts that are embedded together
WITHIN = (1, 5, 10)


@torch.no_grad()
def matching(training: Contrastive, studies: np.ndarray) -> dict[str, float]:
    """The scores of a model on some studies, in eval mode: "loss", and shares "image to report R@1", "report to image R@1", ...

    The loss is that of the recipe on batches drawn from a fixed seed, images as they are, without further texts. Retrieval is
    among all of these studies' images and whole reports, see `retrieval`.
    """
    training.module.eval()
    found = _losses(training, studies)
    images, reports, owners = _embeddings(training, studies)
    texts = [content(training.material.studies.whole_text(int(study))) for study in studies]
    numbers = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    report_ids = np.array([numbers[text] for text in texts])
    return found | retrieval((images @ reports.T).cpu().numpy(), report_ids[owners], report_ids)


def _losses(training: Contrastive, studies: np.ndarray) -> dict[str, float]:
    """The mean loss of the recipe over batches of these studies; each process computes its share of the batches."""
    recipe, all_studies = training.recipe, training.material.studies
    size = min(recipe.batch_size, len(set(all_studies.patients[studies])))
    groups = all_studies.groups(size, np.random.default_rng([recipe.seed, ORDER]), studies)
    sums: dict[str, float] = {"loss": 0.0}
    for number, group in enumerate(groups):
        if number % training.processes.count != training.processes.rank:
            continue
        rng = np.random.default_rng([recipe.seed, VIEWS, number])
        positions = np.stack([all_studies.views(int(study), recipe.n_views, rng) for study in group], axis=1)
        texts = [all_studies.texts(int(study), recipe.n_texts, rng) for study in group]
        batch = Batch(group, positions, None, [list(slot) for slot in zip(*texts, strict=True)])
        views = [_images(training, view) for view in positions]
        words = [_texts(training, [text.text for text in slot]) for slot in batch.texts]
        parts: dict[str, float] = {}
        sums["loss"] += training.loss(batch, [*views, *words], parts).item()
    means = training.processes.mean(sums)
    return {name: value * training.processes.count / len(groups) for name, value in means.items()}


def _embeddings(training: Contrastive, studies: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray]:
    """Unit embeddings of all images and whole reports of these studies, and the place of each image's study among them."""
    all_studies, processes = training.material.studies, training.processes
    positions = np.concatenate([all_studies.images[study] for study in studies])
    owners = np.repeat(np.arange(len(studies)), [len(all_studies.images[study]) for study in studies])
    images = _images(training, processes.share(positions))
    texts = [all_studies.whole_text(int(study)) for study in processes.share(studies)]
    return processes.joined(images)[0], processes.joined(_texts(training, texts))[0], owners


def _images(training: Contrastive, positions: np.ndarray) -> Tensor:
    """Unit embeddings of images as they are."""
    parts = [training.model.image_projection.weight.new_zeros(0, training.model.image_projection.out_features)]
    keys = [[(int(position), None) for position in group] for group in in_groups(positions, AT_ONCE)]
    for x, _ in training.material.images.batches(keys, training.running.workers):
        parts.append(embedded_images(training.model, x.to(training.device), training.precision)[0])
    return torch.cat(parts)


def _texts(training: Contrastive, texts: Sequence[str]) -> Tensor:
    """Unit embeddings of texts."""
    parts = [training.model.text_projection.weight.new_zeros(0, training.model.text_projection.out_features)]
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        parts.append(embedded_texts(training.model, training.material.tokens, some, training.precision))
    return torch.cat(parts)


def retrieval(similarity: np.ndarray, image_reports: np.ndarray, reports: np.ndarray) -> dict[str, float]:
    """The shares of images that find their report, and of reports that find an image of theirs, among the first 1, 5 and 10.

    >>> retrieval(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), np.array([0, 1]))["image to report R@1"]
    0.5

    Reports that say the same count as one. Before the right one stand those that are more similar, and of those that are as
    similar (within 1e-6) half.

    Parameters
    ----------
    similarity : (n_images, n_reports) array
    image_reports : (n_images,) array
        What each image's report says, as a number.
    reports : (n_reports,) array
        What each report says, as a number.
    """
    right = image_reports[:, None] == reports
    found = {}
    for name, sims, own in (("image to report", similarity, right), ("report to image", similarity.T, right.T)):
        wrong = np.where(own, -np.inf, sims)
        best = np.where(own, sims, -np.inf).max(axis=1, keepdims=True)
        before = (wrong > best + 1e-6).sum(axis=1) + 0.5 * (np.abs(wrong - best) <= 1e-6).sum(axis=1)
        found |= {f"{name} R@{k}": float((before < k).mean()) for k in WITHIN}
    return found
