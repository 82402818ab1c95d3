"""Zero-shot classification by pairs of texts and by ensembles of sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mdissect.concepts import Prompts
from mdissect.embed import embed_concepts
from mdissect.evaluate.scoring import METRICS, Resamples, Score, chance_of, mean_of
from mdissect.metrics import TIE_DECIMALS
from mdissect.models import Dissector
from mdissect.store import StoreLike
from mdissect.train.metrics import probabilities

BARE = "bare phrase"
NOTHING_LEFT = 1e-4  # of unit length: texts whose embeddings cancel out


@dataclass(frozen=True)
class ZeroShotTask:
    """What is told from texts alone.

    Attributes
    ----------
    texts : tuple of tuples of str
        Of each class; without any the class has a cosine of 0: the AUC is that of the other's similarity.
    positions, y, patients : (n,) arrays
        The images whose class is known, their classes and patients.
    means : tuple of str
        The means over several tasks that its AUC goes into.
    """

    name: str
    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    positions: np.ndarray
    y: np.ndarray
    patients: np.ndarray
    means: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The scores that mean something: of one text there is no threshold, and so only the AUC."""
        return METRICS if all(self.texts) else ("auc",)


def zero_shot_rows(
    dissector: Dissector,
    images: np.ndarray,
    tasks: Sequence[ZeroShotTask],
    ensembles: Mapping[str, Prompts],
    resamples: Resamples,
    coverage: float,
    store: StoreLike = None,
) -> Iterator[dict]:
    """A row for each task, ensemble and score, then those of the means over tasks; `images` (n_images, d) are of unit norm."""
    check_texts(dissector, tasks)
    for name, prompts in ensembles.items():
        aucs: dict[str, list[Score]] = {}
        texts = _embedded(dissector, tasks, prompts, store)
        for task in tasks:
            probability = probabilities(_cosines(images[task.positions], task, texts))
            scores = resamples.scores(task.y, [probability], task.patients)
            about = {"task": task.name, "prompts": name, "n": len(task.y), "patients": len(set(task.patients))}
            chance = chance_of(task.y)
            for metric in task.metrics:
                yield about | {"chance": chance[metric]} | scores[metric].row(metric, coverage)
            for mean in task.means:
                aucs.setdefault(mean, []).append(scores["auc"])
        for mean, several in aucs.items():
            about = {"task": mean, "prompts": name, "n": len(images), "patients": len(resamples.patients), "chance": 0.5}
            yield about | mean_of(several).row("auc", coverage)


def check_texts(dissector: Dissector, tasks: Sequence[ZeroShotTask]) -> None:
    """Raise ValueError for a task of which texts of two classes are the same to the dissector."""
    every = list(dict.fromkeys(text for task in tasks for side in task.texts for text in side))
    for group in map(set, dissector.alike(every)):
        for task in tasks:
            if sum(bool(group & set(side)) for side in task.texts) > 1:
                raise ValueError(
                    f"prompts of {task.name!r}: {' and '.join(map(repr, sorted(group)))} are the same to dissector "
                    f"{dissector.name!r}; reword one of them"
                )


def _embedded(dissector: Dissector, tasks: Sequence[ZeroShotTask], prompts: Prompts, store: StoreLike) -> dict[str, np.ndarray]:
    """Embeddings (d,) of all texts of the tasks in an ensemble's sentences."""
    every = list(dict.fromkeys(text for task in tasks for side in task.texts for text in side))
    if not prompts.templates:
        total = embed_concepts(dissector, every, store).astype(np.float64)
    else:
        sentences = zip(*map(prompts.filled, every), strict=True)
        total = sum(embed_concepts(dissector, list(one), store).astype(np.float64) for one in sentences)
        if prompts.subtract_empty:
            total = total - embed_concepts(dissector, prompts.empty(), store).astype(np.float64).sum(axis=0)
    return dict(zip(every, total, strict=True))


def _cosines(images: np.ndarray, task: ZeroShotTask, texts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Cosines (n, n_classes) of images with the mean direction of each class's texts, rounded so that ties are ties."""
    sides = np.stack([_mean(task, [texts[text] for text in side], images.shape[1]) for side in task.texts])
    cosines = images.astype(np.float64) @ sides.T
    return np.round(cosines - cosines[:, :1], TIE_DECIMALS)  # a softmax sees differences alone


def _mean(task: ZeroShotTask, rows: Sequence[np.ndarray], width: int) -> np.ndarray:
    if not rows:
        return np.zeros(width)
    mean = np.mean([row / max(np.linalg.norm(row), 1e-12) for row in rows], axis=0)
    length = np.linalg.norm(mean)
    if not length > NOTHING_LEFT:
        raise ValueError(f"prompts of {task.name!r}: the embeddings of one side cancel out; leave some of its texts out")
    return mean / length
