"""The result of an evaluation: one table, and what produced it; saved as CSV and JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mdissect.files import without_folders, write_atomically
from mdissect.predictions.result import csv_path
from mdissect.signatures import validated
from mdissect.tables import write_table

COLUMNS = (
    "part", "task", "prompts", "fraction", "metric", "value", "low", "high", "seeds", "seeds_low", "seeds_high", "chance",
    "level", "n", "patients", "training_images", "training_patients",
)  # fmt: skip
TEXTS, COUNTS = (
    ("part", "task", "prompts", "metric", "level"),
    ("seeds", "n", "patients", "training_images", "training_patients"),
)
WORDS = {"auc": "AUC", "accuracy": "accuracy", "macro_f1": "macro F1"}


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_dissector` found.

    Attributes
    ----------
    table : DataFrame
        A row per score: part ("zero-shot", "retrieval", "linear probe", "fine-tune"), task, prompts (which sentences), fraction
        (share of the training patients), metric ("auc", "accuracy", "macro_f1", "R@1", ...), value, low and high (the interval
        over resampled patients of the test), seeds (draws of the training patients, of which value is the mean), seeds_low and
        seeds_high (their least and greatest), chance (what is reached without looking), level (image, breast), n and patients
        (scored), training_images and training_patients (those that the model is chosen by included).
    settings : dict
        What produced it, as JSON values.
    notes : tuple of str
        What was left out or assumed.
    """

    table: pd.DataFrame
    settings: dict
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = ", ".join(dict.fromkeys(self.table.part))
        return f"Evaluation({self.settings.get('dissector', '?')} on {self.settings.get('probe', '?')}: {parts})"

    def summary(self) -> list[str]:
        """The scores and the notes, in lines of text."""
        lines = [f"{self.settings['dissector']} on {self.settings['probe']}: {self.settings['n_images']} images"]
        for part, rows in self.table.groupby("part", sort=False):
            lines.append(f"{part}:")
            for name, scores in rows.groupby(rows.apply(_named, axis=1), sort=False):
                lines.append(f"  {name}: {'; '.join(value_in_words(row) for _, row in scores.iterrows())}")
        return [*lines, *(f"note: {note}" for note in self.notes)]

    @validated()
    def save(self, path: str | Path) -> list[Path]:
        """Write the table as CSV and, beside it, what produced it with the same numbers as JSON; returns the two files."""
        path = csv_path("path", path)
        rows = [{name: value for name, value in row.items() if not _missing(value)} for row in self.table.to_dict("records")]
        document = without_folders({**self.settings, "notes": list(self.notes), "scores": rows})
        write_table(path, self.table)
        text = json.dumps(document, indent=1, ensure_ascii=False, default=_plain, allow_nan=False)
        write_atomically(path.with_suffix(".json"), f"{text}\n".encode())
        return [path, path.with_suffix(".json")]


def as_table(rows: Sequence[dict]) -> pd.DataFrame:
    """Rows of all parts as one table; seeds, counts of training images and the like are empty where there are none."""
    table = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    for name in COLUMNS:
        if name in TEXTS:
            table[name] = [one if isinstance(one, str) else "" for one in table[name]]
        else:
            table[name] = table[name].astype("Int64" if name in COUNTS else float)
    return table


def value_in_words(row: pd.Series) -> str:
    """A score with its interval: "AUC 0.897 (0.861 to 0.927)"."""
    interval = f" ({row.low:.3f} to {row.high:.3f})" if math.isfinite(row.low) else ""
    return f"{WORDS.get(row.metric, row.metric)} {row.value:.3f}{interval}"


def _named(row: pd.Series) -> str:
    said = [row.task, row.prompts, "" if pd.isna(row.fraction) else f"{100 * row.fraction:g} % of the training patients"]
    return ", ".join(filter(None, said))


def _missing(value: object) -> bool:
    return value is pd.NA or value == "" or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: object) -> object:
    """Numbers of numpy as those of Python."""
    return value.item() if hasattr(value, "item") else str(value)
