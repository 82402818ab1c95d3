"""Tasks of a classifier: the study's four, or any column of a probe's table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.arguments import counted
from mdissect.probes import Probe
from mdissect.probes.mammograms import birads, density

COLUMN_PREFIX = "column:"
MOST_CLASSES = 100
_YES = ("true", "1", "1.0", "yes", "y", "present", "positive")
_NO = ("false", "0", "0.0", "no", "n", "absent", "negative")


class OneClassError(ValueError):
    """A column of labels without two classes; the message says what it has."""


@dataclass(frozen=True)
class Task:
    """A classification of images."""

    name: str
    classes: tuple[str, ...]  # in the order of the outputs; of a binary task the absent one first
    columns: tuple[str, ...]  # the first of these that a table has holds the labels; "findings" holds names joined by "; "
    read: Callable[[str], str | None]  # a cell as text -> its class, None where it has none; ValueError: unreadable
    finding: str = ""  # what means yes in the column "findings"

    @property
    def binary(self) -> bool:
        return len(self.classes) == 2

    @property
    def n_outputs(self) -> int:
        """Outputs of a classifier: one for a binary task, else one per class."""
        return 1 if self.binary else len(self.classes)


@dataclass(frozen=True)
class Labels:
    """A probe's labels for a task."""

    task: Task
    column: str
    positions: np.ndarray  # (n,) the images of the probe that have a label
    y: np.ndarray  # (n,) their classes
    patients: np.ndarray  # (n,) str
    n_missing: int  # images without a label, which are left out

    def __len__(self) -> int:
        return len(self.y)

    def counts(self, rows: np.ndarray | slice = slice(None)) -> dict[str, int]:
        """How many of some labels (all by default) are of each class."""
        found = np.bincount(self.y[rows], minlength=len(self.task.classes))
        return dict(zip(self.task.classes, found.tolist(), strict=True))


def _yes_or_no(no: str, yes: str) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if cell.lower() not in _YES + _NO:
            raise ValueError("yes or no (True/False, 1/0, yes/no, present/absent)")
        return yes if cell.lower() in _YES else no

    return read


def _density(cell: str) -> str | None:
    return density(cell) or None


def _category(cell: str) -> str | None:
    category = birads(cell)
    return str(category) if category in range(1, 6) else None  # 0: not assessed yet; 6: known by biopsy


def _finding(name: str, classes: tuple[str, str], columns: tuple[str, ...], finding: str) -> Task:
    return Task(name, classes, columns, _yes_or_no(*classes), finding)


# Phantoms have columns of their own; then the findings of the readers of real data; then the flags of Mammo-CLIP's tables.
_MASS = ("mass", "findings", "Mass")
_SUSPICIOUS = ("calcification_suspicious", "findings", "Suspicious_Calcification")
TASKS: dict[str, Task] = {
    "density": Task("density", ("A", "B", "C", "D"), ("density",), _density),
    "birads": Task("birads", ("1", "2", "3", "4", "5"), ("birads",), _category),
    "mass": _finding("mass", ("no mass", "mass"), _MASS, "mass"),
    "calcification": _finding(
        "calcification", ("no suspicious calcification", "suspicious calcification"), _SUSPICIOUS, "suspicious calcification"
    ),
}
"""The study's C1 to C4."""


def task_of(classes: Sequence[str], column: str) -> Task:
    """The task of classes whose labels stand in a column: by the classes' names, as yes and no, or as for one of `TASKS`.

    In a column "findings" the second of two classes is the finding that is looked for.
    """
    classes = tuple(classes)
    known = next((task for task in TASKS.values() if task.classes == classes), None)
    named = {name.casefold(): name for name in classes}
    binary = len(classes) == 2
    finding = known.finding if known else classes[1].casefold() if binary else ""

    def read(cell: str) -> str | None:
        if cell in classes or cell.casefold() in named:
            return cell if cell in classes else named[cell.casefold()]
        if known and not binary:
            return known.read(cell)
        if not binary or cell.lower() not in _YES + _NO:
            raise ValueError(f"one of the classes {', '.join(classes)}{', or yes or no' if binary else ''}")
        return classes[cell.lower() in _YES]

    return Task(column, classes, (column,), read, finding)


def read_labels(probe: Probe, task: str | Task, missing: str = "drop") -> Labels:
    """The labels of a probe's images for one of `TASKS`, or for a column of its table.

    Two values of a column make a binary task, whose positive class is yes, or the later in order. "column:mass" is the column
    even where a task has its name. `missing` ("drop" or "error"): empty cells, and categories that are no class of the task
    (BI-RADS 0 and 6). ValueError: no such column, an unreadable cell, fewer than two classes, or missing labels as an error.
    """
    task = task if isinstance(task, Task) else _resolve(task, probe)
    column, cells = _cells(task, probe)
    found = _read_all(task, column, cells, probe)
    unlabelled = [image_id for image_id, name in zip(probe.ids, found, strict=True) if name is None]
    if unlabelled and missing == "error":
        raise ValueError(
            f"{len(unlabelled)} of {len(probe)} images of probe {probe.name!r} have no label in column {column!r} "
            f"({counted(unlabelled, 'image')}); complete the table, or pass missing='drop'"
        )
    positions = np.array([i for i, name in enumerate(found) if name is not None], dtype=int)
    number = {name: i for i, name in enumerate(task.classes)}
    y = np.array([number[found[i]] for i in positions], dtype=int)
    labels = Labels(task, column, positions, y, np.array(probe.patients, dtype=object)[positions], len(unlabelled))
    present = {name: n for name, n in labels.counts().items() if n}
    if len(present) < 2:
        only = f"one class only: {next(iter(present))} ({len(labels)} images)" if present else "no label at all"
        raise OneClassError(f"column {column!r} of probe {probe.name!r} has {only}; a classifier needs two classes or more")
    return labels


def _resolve(name: str, probe: Probe) -> Task:
    """The task of a name: one of the four, or made of a column."""
    if name in TASKS:
        return TASKS[name]
    column = name.removeprefix(COLUMN_PREFIX)
    if column not in probe.table:
        known = ", ".join(map(str, probe.table.columns)) or "none"
        raise ValueError(f"no task {name!r}: tasks are {', '.join(TASKS)}, or a column of probe {probe.name!r} ({known})")
    values = {_text(value) for value in probe.table[column]} - {""}
    if values and all(value.lower() in _YES + _NO for value in values):
        return Task(name, ("no", "yes"), (column,), _yes_or_no("no", "yes"))
    classes = _in_order(values)
    if len(classes) > MOST_CLASSES:
        raise ValueError(
            f"column {column!r} of probe {probe.name!r} has {len(classes)} different values, such as {', '.join(classes[:3])}: "
            f"no classes (at most {MOST_CLASSES}); group them first"
        )
    return Task(name, classes, (column,), lambda cell: cell)


def _in_order(values: set[str]) -> tuple[str, ...]:
    """Numbers by size, other texts by letters."""
    try:
        return tuple(sorted(values, key=float))
    except ValueError:
        return tuple(sorted(values))


def _cells(task: Task, probe: Probe) -> tuple[str, list[str]]:
    """The column that holds a task's labels, and its cells as text; "" where a label is missing."""
    column = next((column for column in task.columns if column in probe.table), None)
    if column is None:
        raise ValueError(
            f"task {task.name!r} needs one of the columns {', '.join(task.columns)}; probe {probe.name!r} has "
            f"{', '.join(map(str, probe.table.columns)) or 'none'}"
        )
    values = probe.table[column]
    if column == "findings" and task.finding:
        return column, ["" if pd.isna(value) else str(task.finding in str(value).split("; ")) for value in values]
    return column, [_text(value) for value in values]


def _text(value: object) -> str:
    """A cell as text; whole numbers without a fraction, empty cells and NaN as ""."""
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _read_all(task: Task, column: str, cells: Sequence[str], probe: Probe) -> list[str | None]:
    """The class of each cell."""
    names = {"": None}
    for image_id, cell in zip(probe.ids, cells, strict=True):
        if cell not in names:
            try:
                names[cell] = task.read(cell)
            except ValueError as error:
                raise ValueError(
                    f"probe {probe.name!r}, image {image_id}, column {column!r}: {cell!r} is not {error}"
                ) from None
    return [names[cell] for cell in cells]
