"""Split a probe's images into training, validation and test, by patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdissect.arguments import counted
from mdissect.probes import Probe
from mdissect.train.recipe import ContrastiveRecipe, Recipe
from mdissect.train.studies import Studies
from mdissect.train.tasks import Labels

SPLIT_COLUMN = "split"
SPLIT_NAMES = {
    "training": ("training", "train"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
TRIALS = 200
VALIDATION = 31  # stream of random numbers


@dataclass(frozen=True)
class Split:
    """Rows of the labels in each part; `test` may be empty."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_labels(probe: Probe, labels: Labels, recipe: Recipe) -> Split:
    """Split a probe's labelled images by patient.

    A column "split" of the probe's table ("training", "test", optionally "validation") decides. Without one, a share of the
    patients (`recipe.test_fraction`) is held out for the test. Validation is a share of the training patients. ValueError: a
    patient in two parts of the given split, an unknown part, or too few patients of a class.
    """
    rows = np.arange(len(labels))
    given = _given(probe, labels.positions, labels.patients)
    if given is None:
        training, test = _divide(labels, rows, recipe.test_fraction, recipe.seed, "test_fraction")
        validation = rows[:0]
    else:
        training, validation, test = (rows[given == part] for part in SPLIT_NAMES)
    if not len(validation):
        seed = recipe.seed + 1  # not the shuffle that chose the test patients
        training, validation = _divide(labels, training, recipe.validation_fraction, seed, "validation_fraction")
    split = Split(training, validation, test)
    for name in ("training", "validation"):
        _check_classes(labels, getattr(split, name), name)
    return split


def split_patients(probe: Probe, positions: np.ndarray, validation_fraction: float, test_fraction: float, seed: int) -> Split:
    """Split some images of a probe by patient, whatever they show; rows of `positions`.

    The column "split" decides, else shares of the patients, drawn by a seed, as for `split_labels`. ValueError: as there, or a
    part without patients.
    """
    rows, patients = np.arange(len(positions)), np.array(probe.patients, dtype=object)[positions]
    given = _given(probe, positions, patients)
    if given is None:
        training, test = _drawn_apart(rows, patients, test_fraction, seed, "test_fraction")
        validation = rows[:0]
    else:
        training, validation, test = (rows[given == part] for part in SPLIT_NAMES)
    if not len(validation):
        training, validation = _drawn_apart(training, patients, validation_fraction, seed + 1, "validation_fraction")
    if not (len(training) and len(validation)):
        raise ValueError(
            f"the split of probe {probe.name!r} leaves {len(training)} training and {len(validation)} validation images"
        )
    return Split(training, validation, test)


def _drawn_apart(
    rows: np.ndarray, patients: np.ndarray, fraction: float, seed: int, setting: str
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows, and those of a share of their patients, one patient at least."""
    if not fraction:
        return rows, rows[:0]
    known = np.unique(patients[rows].astype(str))
    n_held_out = max(round(fraction * len(known)), 1)
    if n_held_out >= len(known):
        raise ValueError(f"{setting}={fraction} of {len(known)} patients leaves none to train on; lower it, or add patients")
    held_out = np.random.default_rng(seed).choice(known, n_held_out, replace=False)
    apart = np.isin(patients[rows].astype(str), held_out)
    return rows[~apart], rows[apart]


@dataclass(frozen=True)
class StudySplit:
    """Numbers of the studies in each part; `validation` and `test` may be empty."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_studies(probe: Probe, studies: Studies, recipe: ContrastiveRecipe) -> StudySplit:
    """Split the studies of a pretraining by patient.

    A column "split" of the probe's table ("training", "test", optionally "validation") decides; without one all are for
    training. Where it names no validation, a share of the training patients is validated on (`recipe.validation_fraction`; 0:
    none). ValueError: a patient in two parts, an unknown part, or too few patients for a batch or for validation.
    """
    positions = np.concatenate(studies.images)
    sizes = [len(own) for own in studies.images]
    given = _given(probe, positions, np.repeat(studies.patients, sizes))
    rows, first = np.arange(len(studies)), np.cumsum([0, *sizes[:-1]])
    part = np.full(len(studies), "training", dtype=object) if given is None else given[first]
    training, validation, test = (rows[part == name] for name in SPLIT_NAMES)
    if not len(validation) and recipe.validation_fraction:
        patients = np.array(sorted(set(studies.patients[training])))
        n = max(2, round(recipe.validation_fraction * len(patients)))
        chosen = np.random.default_rng([recipe.seed, VALIDATION]).permutation(patients)[:n]
        held_out = np.isin(studies.patients[training], chosen)
        training, validation = training[~held_out], training[held_out]
    n_patients = {name: len(set(studies.patients[own])) for name, own in (("training", training), ("validation", validation))}
    if n_patients["training"] < recipe.batch_size:
        raise ValueError(
            f"batch_size={recipe.batch_size} studies of different patients, but the training part has {n_patients['training']} "
            f"patients ({n_patients['validation']} are for validation); lower batch_size"
        )
    if n_patients["validation"] == 1:
        raise ValueError("the validation part has 1 patient; it needs 2 or more, or none with validation_fraction=0")
    return StudySplit(training, validation, test)


def _given(probe: Probe, positions: np.ndarray, patients: Sequence[str]) -> np.ndarray | None:
    """The part of each image as the table has it, checked; None without the column or with an empty one."""
    if SPLIT_COLUMN not in probe.table:
        return None
    cells = probe.table[SPLIT_COLUMN].iloc[positions]
    if cells.isna().all():
        return None
    parts = {alias: part for part, aliases in SPLIT_NAMES.items() for alias in aliases}
    given = np.array([parts.get(str(cell).strip().lower(), "") for cell in cells])
    if (given == "").any():
        position = int(np.flatnonzero(given == "")[0])
        raise ValueError(
            f"probe {probe.name!r}, image {cells.index[position]}, column {SPLIT_COLUMN!r}: {cells.iloc[position]!r} "
            f"is not one of {', '.join(parts)}"
        )
    _check_patients(probe, patients, given)
    return given


def _check_patients(probe: Probe, patients: Sequence[str], given: np.ndarray) -> None:
    """Raise when a patient is in two parts."""
    seen: dict[str, str] = {}
    both = {patient for patient, part in zip(patients, given, strict=True) if seen.setdefault(patient, part) != part}
    if both:
        raise ValueError(
            f"the column {SPLIT_COLUMN!r} of probe {probe.name!r} puts images of one patient into two parts "
            f"({counted(sorted(both), 'patient')}): a model would be tested on patients that it was trained on; correct "
            "the column"
        )


def _divide(labels: Labels, rows: np.ndarray, fraction: float, seed: int, setting: str) -> tuple[np.ndarray, np.ndarray]:
    """Some rows, and about a fraction of their patients held out, so that every class is in both parts."""
    from sklearn.model_selection import GroupShuffleSplit

    if not fraction:
        return rows, rows[:0]
    y, patients = labels.y[rows], labels.patients[rows]
    n_patients = len(set(patients))
    if n_patients < 2:
        raise ValueError(f"{n_patients} patient with labels cannot be split into two parts; more patients are needed")
    classes = set(y.tolist())
    shuffles = GroupShuffleSplit(TRIALS, test_size=fraction, random_state=seed)
    try:
        for kept, held_out in shuffles.split(rows, y, patients):
            if set(y[kept].tolist()) == set(y[held_out].tolist()) == classes:
                return rows[kept], rows[held_out]
    except ValueError as error:  # so few patients that a part is empty
        raise ValueError(f"{setting}={fraction} of {n_patients} patients leaves one part empty ({error}); change it") from error
    by_class = {labels.task.classes[c]: len(set(patients[y == c])) for c in sorted(classes)}
    patients_of = ", ".join(f"{name}: {n}" for name, n in by_class.items())
    raise ValueError(
        f"no split by patient with {setting}={fraction} has every class of {labels.task.name} in both parts (patients of each "
        f"class: {patients_of}); raise {setting}, or add patients of the rare class"
    )


def _check_classes(labels: Labels, rows: np.ndarray, part: str) -> None:
    """Raise when a part has fewer than two classes."""
    present = [name for name, n in labels.counts(rows).items() if n]
    if len(present) < 2:
        raise ValueError(
            f"the {part} part has {len(rows)} images of {len(present)} {'class' if len(present) == 1 else 'classes'} "
            f"({', '.join(present) or 'none'}); {labels.task.name} needs two or more in it"
        )
