"""Training, validation and test images, and nested parts of the training patients."""

import numpy as np

from mdissect.arguments import same_length
from mdissect.evaluate.options import EvaluationOptions, as_fractions
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.train.splits import SPLIT_COLUMN, SPLIT_NAMES, Split, split_labels
from mdissect.train.tasks import Labels

TEST_FOLD, TRAINING_FOLDS = 0, (1, 2)  # of RSNA, as Mammo-CLIP divides it
ROUNDING = 1e-9  # of a share of a number of patients


def published_split(probe: Probe) -> tuple[Probe, list[str]]:
    """A probe with RSNA's folds as its column "split": 0 to test, 1 and 2 to train; other probes as they are. And notes."""
    if probe.name != "rsna" or "fold" not in probe.table or probe.table.fold.isna().all():
        return probe, []
    fold = probe.table.fold.astype(float).to_numpy()
    used = np.isin(fold, (TEST_FOLD, *TRAINING_FOLDS))
    if not used.any():
        raise ValueError(f"probe {probe.name!r} has no image of the folds 0, 1 and 2, by which it is divided")
    part = probe.subset(used)
    part.table[SPLIT_COLUMN] = np.where(fold[used] == TEST_FOLD, "test", "training")  # the subset's table is its own
    said = "fold 0 is the test, folds 1 and 2 the training images, as Mammo-CLIP divides them"
    others = (~used).sum()
    return part, [f"{said}; {others} images of other folds are not used" if others else said]


def positions_of_test(probe: Probe) -> np.ndarray:
    """Positions of the test images of a probe that has a column "split" with such; else of all images."""
    if SPLIT_COLUMN in probe.table:
        cells = probe.table[SPLIT_COLUMN].astype(str).str.strip().str.lower().isin(SPLIT_NAMES["test"]).to_numpy()
        if cells.any():
            return np.flatnonzero(cells)
    return np.arange(len(probe))


def divided(probe: Probe, labels: Labels, options: EvaluationOptions) -> Split:
    """The labels' rows for training, validation and test; ValueError where one of them is empty or has one class alone."""
    if SPLIT_COLUMN in probe.table:
        cells = set(probe.table[SPLIT_COLUMN].iloc[labels.positions].dropna().astype(str).str.strip().str.lower())
        for part in ("training", "test"):
            if cells and not cells & set(SPLIT_NAMES[part]):
                raise ValueError(
                    f"the column {SPLIT_COLUMN!r} of probe {probe.name!r} has no {part} images (it has "
                    f"{', '.join(sorted(cells))}): classifiers need both parts; load the probe with split='all', or all folds"
                )
    split = split_labels(probe, labels, options.recipe)
    if len(present := [name for name, n in labels.counts(split.test).items() if n]) < 2:
        raise ValueError(
            f"the test part of probe {probe.name!r} has {len(split.test)} images of {labels.task.name} with one class alone "
            f"({', '.join(present) or 'none'}); two are needed"
        )
    return split


def _shares(name: str, value: object) -> tuple[float, ...]:
    return as_fractions(value, name)


@validated(fractions=_shares)
def nested_subsets(y: np.ndarray, patients: np.ndarray, fractions: tuple[float, ...], seed: int = 0) -> list[np.ndarray]:
    """For each share of the patients the rows (positions in `y`) of all of their images; smaller sets are parts of larger ones.

    >>> [len(rows) for rows in nested_subsets(np.array([0, 1] * 10), np.arange(20) // 2, (0.2, 0.5, 1.0))]
    [4, 10, 20]

    Patients are drawn class by class (a patient's is the rarest that one of the images has), so that every set has about the
    same share of each. The first patients have all classes between them: no set is smaller, whatever its share.

    Parameters
    ----------
    y : int array (n,)
        The class of each image.
    patients : array (n,)
    fractions : tuple of float
        In rising order.
    seed : int

    Raises
    ------
    ValueError
        No images, arrays of different lengths, or shares that are not above 0 and at most 1.
    """
    same_length(y=y, patients=patients)
    if not len(y):
        raise ValueError("y is empty: there is nothing to choose from")
    names, member = np.unique(np.asarray(patients, dtype=object).astype(str), return_inverse=True)
    counts = np.bincount(y)
    rarity = np.empty(len(counts), dtype=int)
    rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))  # 0: the rarest
    stratum = np.full(len(names), len(counts))
    np.minimum.at(stratum, member, rarity[y])
    rng, place = np.random.default_rng(seed), np.empty(len(names))
    for one in np.unique(stratum):
        of_class = rng.permutation(np.flatnonzero(stratum == one))
        place[of_class] = np.arange(len(of_class)) / len(of_class)
    order = np.lexsort((rng.permutation(len(names)), place))
    rank = np.empty(len(names), dtype=int)
    rank[order] = np.arange(len(names))
    first = list(dict.fromkeys(int(member[y == c][rank[member[y == c]].argmin()]) for c in np.unique(y)))
    order = np.array([*first, *(one for one in order if one not in first)])
    rank[order] = np.arange(len(names))
    sizes = [max(len(first), int(np.ceil(fraction * len(names) - ROUNDING))) for fraction in fractions]
    return [np.flatnonzero(rank[member] < size) for size in sizes]
