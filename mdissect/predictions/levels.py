"""Predictions of images, joined to those of breasts and patients, and their scores where the truth is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect.arguments import counted, kind_of, listed
from mdissect.probes import Probe
from mdissect.probes.mammograms import laterality
from mdissect.train.metrics import evaluation
from mdissect.train.tasks import TASKS, Labels, read_labels, task_of

LEVELS = {"breast": ["patient", "laterality"], "patient": ["patient"]}
JOINED_BY = ("mean", "max")
SIDES = ("laterality", "image_laterality", "imagelaterality", "side")
METRICS = ("auc", "accuracy", "macro_f1")

Truth = str | Mapping[str, str] | None


@dataclass(frozen=True)
class Question:
    """Classes and their probabilities (n_images, n_classes); `values` are further numbers by column, each (n_images,)."""

    name: str
    classes: tuple[str, ...]
    probability: np.ndarray
    labels: Labels | None = None
    values: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """Images joined to breasts or patients.

    `member` (n_images,) int is the number of each image's group, -1 for none; `groups` names them, `of_patient` (n_groups,)
    is the patient of each.
    """

    name: str
    member: np.ndarray
    groups: pd.DataFrame

    @property
    def sizes(self) -> np.ndarray:
        return np.bincount(self.member[self.member >= 0], minlength=len(self.groups))

    def joined(self, probability: np.ndarray, by: str) -> np.ndarray:
        """Probabilities (n_groups, n_classes) by mean or by max over a group's images.

        Of two classes the maximum is that of the second, and the first is what is left; of several, each class has its own.
        """
        used = self.member >= 0
        member, probability = self.member[used], probability[used]
        if by == "mean":
            total = np.zeros((len(self.groups), probability.shape[1]))
            np.add.at(total, member, probability)
            return total / self.sizes[:, None]
        most = np.full((len(self.groups), probability.shape[1]), -np.inf)
        np.maximum.at(most, member, probability)
        return np.stack([1 - most[:, 1], most[:, 1]], axis=1) if probability.shape[1] == 2 else most

    def truth(self, labels: Labels) -> tuple[np.ndarray, np.ndarray, int]:
        """Groups whose class is known, their classes, and how many are left out because their images differ.

        Of two classes a group has the second where one of its images has; of several all of its images must agree.
        """
        member, y = self.member[labels.positions], labels.y
        known = member >= 0
        low, high = np.full(len(self.groups), np.iinfo(int).max), np.full(len(self.groups), -1)
        np.minimum.at(low, member[known], y[known])
        np.maximum.at(high, member[known], y[known])
        agree = (high >= 0) & (labels.task.binary | (low == high))
        return np.flatnonzero(agree), high[agree], int(((high >= 0) & ~agree).sum())


def read_truth(probe: Probe, classes: Sequence[str], truth: str) -> Labels:
    """The true classes of a probe's images, from a column of its table or for one of the study's tasks."""
    if truth in probe.table:
        return read_labels(probe, task_of(classes, truth))
    if truth not in TASKS:
        known = listed(list(probe.table.columns), 30) or "it has none"
        raise ValueError(f"truth={truth!r} is no column of probe {probe.name!r} ({known}), nor one of {', '.join(TASKS)}")
    task = TASKS[truth]
    if len(task.classes) != len(classes) or (not task.binary and task.classes != tuple(classes)):
        raise ValueError(
            f"truth={truth!r} has the classes {', '.join(task.classes)}, but the predictions {', '.join(classes)}: give "
            "another column, or name the outputs with classes="
        )
    return read_labels(probe, task)


def some_truth(name: str, value: object) -> object:
    """The check of a truth: a column, a mapping of findings to columns, or None."""
    if value is not None:
        kind_of(name, value, (str, Mapping), "a column's name, or {finding: column},")
    return value


def asked_truth(findings: Mapping[str, tuple[str, str]], truth: Truth) -> dict[str, tuple[tuple[str, str], str]]:
    """Classes and column of each finding, given by its name and classes, whose truth is asked for."""
    if truth is None:
        return {}
    if isinstance(truth, str):
        if len(findings) > 1:
            raise ValueError(
                f"truth={truth!r} is one column for {len(findings)} findings; give a mapping of findings to columns, with "
                f"{listed(list(findings), 12)}"
            )
        truth = dict.fromkeys(findings, truth)
    kind_of("truth", truth, Mapping, "{finding: column}")
    for finding, column in truth.items():
        kind_of(f"truth[{finding!r}]", column, str)
    if unknown := [finding for finding in truth if finding not in findings]:
        raise ValueError(f"truth names {listed(list(map(repr, unknown)))}, but the findings are {listed(list(findings), 12)}")
    return {finding: (findings[finding], column) for finding, column in truth.items()}


def levels_of(probe: Probe) -> tuple[list[Level], list[str]]:
    """Breasts and patients of a probe as far as its table names them, and notes on what it does not."""
    table, notes = identity_of(probe)
    if "patient" not in table:
        return [], [
            "the table names no patients: no results per breast and per patient, and each image counts as its own patient"
        ]
    levels = []
    for name, columns in LEVELS.items():
        if missing := [column for column in columns if column not in table]:
            notes.append(f"the table has no {', '.join(missing)}: no results per {name}")
            continue
        known = (table[columns].notna() & (table[columns] != "")).all(axis=1).to_numpy()
        if not known.all():
            notes.append(f"{(~known).sum()} of {len(table)} images without {' or '.join(columns)} are in no {name}")
        if known.any():
            member = np.full(len(table), -1)
            keys = table.loc[known, columns].astype(str)
            member[known] = keys.groupby(columns, sort=False).ngroup().to_numpy()
            levels.append(Level(name, member, keys.drop_duplicates().reset_index(drop=True)))
    return levels, notes


def identity_of(probe: Probe) -> tuple[pd.DataFrame, list[str]]:
    """What a probe's table says of whose image each one is: patient, laterality (L, R), view, where it has them; and notes."""
    table, found, notes = probe.table, {}, []
    by_name = {str(column).casefold(): column for column in reversed(table.columns)}
    if "patient" in table:
        found["patient"] = table.patient.map(lambda value: "" if pd.isna(value) else str(value))
    if side := next((by_name[name] for name in SIDES if name in by_name), None):
        cells = ["" if pd.isna(cell) else str(cell).strip() for cell in table[side]]
        sides, wrong = {}, []
        for cell in dict.fromkeys(cells):
            try:
                sides[cell] = laterality(cell)
            except ValueError:
                sides[cell] = ""
                wrong.append(repr(cell))
        found["laterality"] = [sides[cell] for cell in cells]
        notes += [f"column {side!r}: {counted(wrong, 'value')} of no side (L or R)"] if wrong else []
    if "view" in by_name:
        found["view"] = ["" if pd.isna(cell) else str(cell) for cell in table[by_name["view"]]]
    return pd.DataFrame(found, index=pd.Index(probe.ids, name="image_id")), notes


def scored(question: Question, levels: Sequence[Level], probe: Probe) -> Iterator[tuple[dict, dict, str]]:
    """For images, breasts and patients: what is scored, its `evaluation`, and a note ("" for none)."""
    labels = question.labels
    yield (
        {"level": "image", "by": ""},
        evaluation(labels.y, question.probability[labels.positions], question.classes, labels.patients),
        f"{labels.n_missing} of {len(probe)} images have no truth in column {labels.column!r}" if labels.n_missing else "",
    )
    for level in levels:
        groups, y, differing = level.truth(labels)
        note = (
            f"{differing} {level.name}{'s' * (differing > 1)} not scored, whose images differ in their truth"
            if differing
            else ""
        )
        if not len(groups):
            continue
        patients = level.groups.patient.to_numpy(dtype=object)[groups]
        for by in JOINED_BY:
            probability = level.joined(question.probability, by)[groups]
            yield {"level": level.name, "by": by}, evaluation(y, probability, question.classes, patients), note
            note = ""
