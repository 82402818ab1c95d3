"""How well a model in training matches held-out images and reports: its loss, and the rank of the right report."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mdissect.metrics import found_within
from mdissect.train.contrastive import Batch, Contrastive
from mdissect.train.embedding import embedded_images, embedded_texts
from mdissect.train.images import in_groups
from mdissect.train.studies import content

VIEWS, ORDER = 21, 22  # streams of random numbers
AT_ONCE = 32  # images or texts that are embedded together
WITHIN = (1, 5, 10)


@torch.no_grad()
def matching(training: Contrastive, studies: np.ndarray) -> dict[str, float]:
    """The scores of a model on some studies, in eval mode: "loss", and shares "image to report R@1", "report to image R@1", ...

    The loss is that of the recipe on batches drawn from a fixed seed, images as they are, without further texts. Retrieval is
    among all of these studies' images and whole reports, see `retrieval`. Of several processes each embeds its share.
    """
    training.module.eval()
    all_studies, processes = training.material.studies, training.processes
    positions = np.concatenate([all_studies.images[study] for study in studies])
    images = processes.joined(_images(training, processes.share(positions)))[0]
    reports = [all_studies.whole_text(int(study)) for study in studies]
    embedded = processes.joined(_texts(training, processes.share(reports)))[0]
    numbers = {text: i for i, text in enumerate(dict.fromkeys(map(content, reports)))}
    said = np.array([numbers[content(text)] for text in reports])
    owners = np.repeat(np.arange(len(studies)), [len(all_studies.images[study]) for study in studies])
    found = retrieval((images @ embedded.T).cpu().numpy(), said[owners], said)
    return {"loss": _loss(training, studies, dict(zip(positions.tolist(), images, strict=True))), **found}


def _loss(training: Contrastive, studies: np.ndarray, images: dict[int, Tensor]) -> float:
    """The mean loss of the recipe over batches of these studies, given the embeddings of their images by position."""
    recipe, all_studies, processes = training.recipe, training.material.studies, training.processes
    size = min(recipe.batch_size, len(set(all_studies.patients[studies])))
    batches = []
    for number, group in enumerate(all_studies.groups(size, np.random.default_rng([recipe.seed, ORDER]), studies)):
        rng = np.random.default_rng([recipe.seed, VIEWS, number])
        positions = np.stack([all_studies.views(int(study), recipe.n_views, rng) for study in group], axis=1)
        shown = zip(group, positions.T, strict=True)
        texts = [all_studies.texts(int(study), recipe.n_texts, rng, views) for study, views in shown]
        batches.append(Batch(group, positions, None, [list(slot) for slot in zip(*texts, strict=True)]))
    texts = [text.text for batch in batches for slot in batch.texts for text in slot]
    words = iter(processes.joined(_texts(training, processes.share(texts)))[0].split(size))
    losses = []
    for batch in batches:
        views = [torch.stack([images[int(position)] for position in view]) for view in batch.positions]
        losses.append(training.loss(batch, [*views, *(next(words) for _ in batch.texts)], {}).item())
    return float(np.mean(losses))


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

    Reports that say the same count as one; ties count as `metrics.found_within` says.

    Parameters
    ----------
    similarity : (n_images, n_reports) array
    image_reports : (n_images,) array
        What each image's report says, as a number.
    reports : (n_reports,) array
        What each report says, as a number.
    """
    right = image_reports[:, None] == reports
    directions = {"image to report": (similarity, right), "report to image": (similarity.T, right.T)}
    return {f"{name} R@{k}": float(found_within(*pair, k).mean()) for name, pair in directions.items() for k in WITHIN}
