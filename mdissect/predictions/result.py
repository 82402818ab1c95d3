"""Predictions as tables of images, breasts and patients, with scores and what produced them; saved as CSV and JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect import __version__
from mdissect.arguments import some_path
from mdissect.dissection import pseudonyms_in, shown_id
from mdissect.entries import library_versions
from mdissect.files import without_folders, write_atomically
from mdissect.predictions.levels import JOINED_BY, METRICS, Question, identity_of, levels_of, scored
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe
from mdissect.signatures import validated
from mdissect.tables import write_table

PLURAL = {"breast": "breasts", "patient": "patients"}


@dataclass(frozen=True)
class Predictions:
    """What a model says of each image, breast and patient of a probe. Made by `predict` and `zero_shot`.

    Attributes
    ----------
    images : DataFrame
        A row per image in the order of the probe, indexed by image_id: patient, laterality, view as far as the table names
        them, then the predictions.
    breasts, patients : DataFrame or None
        A row per breast (patient and laterality) and per patient: images (their number), then each probability by mean and by
        max over these images. None where the table does not name them.
    scores : DataFrame
        A row per question, level (image, breast, patient) and way to join images (by): n, patients (their number), and auc,
        accuracy, macro_f1, each with its interval over resampled patients at 95 % (<name>_low, <name>_high). Without rows
        where no truth was given.
    settings : dict
        What produced them, as JSON values.
    notes, probe_notes : tuple of str
        What was left out or assumed here, and when the probe was made.
    """

    images: pd.DataFrame
    breasts: pd.DataFrame | None
    patients: pd.DataFrame | None
    scores: pd.DataFrame
    settings: dict
    notes: tuple[str, ...] = ()
    probe_notes: tuple[str, ...] = ()
    evaluations: list[dict] = field(default_factory=list, repr=False)

    def __repr__(self) -> str:
        return f"Predictions({self.settings.get('model', '?')} on {self.settings.get('probe', '?')}, {len(self.images)} images)"

    def summary(self) -> list[str]:
        """What was predicted, the scores and the notes, in lines of text."""
        parts = [f"{len(table)} {name}" for name in PLURAL.values() if (table := getattr(self, name)) is not None]
        lines = [f"{self.settings['model']} on {self.settings['probe']}: {', '.join([f'{len(self.images)} images', *parts])}"]
        for row in self.scores.itertuples():
            of = f"{row.level}s" + (f" by {row.by}" if row.by else "")
            values = [
                f"{name.replace('_', ' ').replace('auc', 'AUC')} {getattr(row, name):.3f} "
                f"(95 % {getattr(row, f'{name}_low'):.3f} to {getattr(row, f'{name}_high'):.3f})"
                for name in METRICS
            ]
            lines.append(f"{row.question or row.truth}, {row.n} {of}, {row.patients} patients: {'; '.join(values)}")
        return [*lines, *(f"note: {note}" for note in (*self.probe_notes, *self.notes))]

    @validated()
    def save(self, path: str | Path, keep_ids: bool = False) -> list[Path]:
        """Write the tables as CSV and, beside them, what produced them as JSON; returns the files.

        ``predictions.csv`` has the images, ``predictions_breasts.csv`` and ``predictions_patients.csv`` what they are joined
        to, ``predictions.json`` scores and settings. Patients get pseudonyms, "1", "2", ... in the order of the images, also
        within the images' ids (which stay as they are where the table names no patients); the column "index" is an image's
        position in the probe. `keep_ids`: the ids as they are, in files that only their owner can read.
        """
        path = csv_path("path", path)
        tables = {path: self._images(keep_ids)}
        for name in PLURAL.values():
            table = getattr(self, name)
            if table is not None:
                tables[path.with_name(f"{path.stem}_{name}.csv")] = table if keep_ids else self._with_pseudonyms(table)
        document = path.with_suffix(".json")
        for outdated in _files_of(document) - {table.name for table in tables}:
            (path.parent / outdated).unlink(missing_ok=True)
        for place, table in tables.items():
            write_table(place, table, private=keep_ids)
        write_atomically(document, self._document([place.name for place in tables], keep_ids), private=keep_ids)
        return [*tables, document]

    def _images(self, keep_ids: bool) -> pd.DataFrame:
        table = self.images.reset_index()
        table.insert(1, "index", np.arange(len(table)))
        if keep_ids or "patient" not in table:
            return table
        hidden = self._pseudonyms()
        table["image_id"] = [
            shown_id(image_id, patient or None, hidden.get(patient, "patient"))
            for image_id, patient in zip(table.image_id, table.patient, strict=True)
        ]
        return self._with_pseudonyms(table)

    def _pseudonyms(self) -> dict[str, str]:
        return pseudonyms_in(self.images)

    def _with_pseudonyms(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(patient=table.patient.map(self._pseudonyms()).fillna(""))

    def _document(self, names: Sequence[str], keep_ids: bool) -> bytes:
        notes = [*(self.probe_notes if keep_ids else ()), *self.notes]  # those of the probe may name images and patients
        document = {**self.settings, "notes": notes, "scores": self.evaluations, "files": list(names)}
        return (json.dumps(_plain(without_folders(document)), indent=1, ensure_ascii=False) + "\n").encode()


def csv_path(name: str, value: str | Path) -> Path:
    """The path of a CSV file to be written; ValueError for another suffix or a folder."""
    path = some_path(name, value)
    if path.suffix.lower() != ".csv":
        raise ValueError(f"{name}={str(value)!r} must end in .csv: predictions are written as CSV files")
    if path.is_dir():
        raise IsADirectoryError(f"{name}={str(value)!r} is a folder; give the name of a file in it, such as predictions.csv")
    return path


def collected(
    probe: Probe, questions: Sequence[Question], produced: dict, preprocess: Preprocess | None, notes: Sequence[str] = ()
) -> Predictions:
    """Predictions of a probe's images for some questions, joined and scored."""
    levels, said = levels_of(probe)
    images, joined = identity_of(probe)[0], {}
    for question in questions:
        of_classes = _columns(question, question.probability)
        images = images.assign(**question.values, **of_classes)
    for level in levels:
        table = level.groups.assign(images=level.sizes)
        for question in questions:
            for by in JOINED_BY:
                table = table.assign(**_columns(question, level.joined(question.probability, by), f"_{by}"))
        joined[level.name] = table
    evaluations, notes = [], [*notes, *said]
    notes += [f"{len(probe.skipped)} files could not be read and are left out"] if probe.skipped else []
    for question in questions:
        for what, found, note in scored(question, levels, probe) if question.labels else ():
            evaluations.append({"question": question.name, "truth": question.labels.column, **what, **found})
            notes += [note] if note else []
    settings = {
        **produced,
        "preprocess": None if preprocess is None else preprocess.key(),
        "probe": probe.name,
        "probe_key": produced.get("probe_key") or probe.key(),
        "n_images": len(probe),
        "n_skipped": len(probe.skipped),
        "versions": {"mdissect": __version__, **library_versions()},
    }
    return Predictions(
        images=images,
        breasts=joined.get("breast"),
        patients=joined.get("patient"),
        scores=_scores(evaluations),
        settings=without_folders(settings),
        notes=tuple(dict.fromkeys(without_folders(note) for note in notes)),
        probe_notes=tuple(without_folders(note) for note in probe.notes),
        evaluations=evaluations,
    )


def _columns(question: Question, probability: np.ndarray, end: str = "") -> dict[str, np.ndarray]:
    """Columns of probabilities (n, n_classes); of a question with a name of its own that of the second class alone."""
    chosen = {question.name: 1} if question.name else {name: i for i, name in enumerate(question.classes)}
    return {f"probability_{column_name(name)}{end}": probability[:, i] for name, i in chosen.items()}


def column_name(name: str) -> str:
    """The name of a class or finding within that of a column: "no mass" as "no_mass"."""
    return "_".join(name.split())


def _scores(evaluations: Sequence[dict]) -> pd.DataFrame:
    rows = []
    for one in evaluations:
        row = {name: one[name] for name in ("question", "truth", "level", "by")}
        row |= {"n": one["n_images"], "patients": one["n_patients"]}
        for name in METRICS:
            low, high = one[f"{name}_interval"]
            row |= {name: one[name], f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    ends = [f"{name}{end}" for name in METRICS for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["question", "truth", "level", "by", "n", "patients", *ends])


def _files_of(document: Path) -> set[str]:
    """The tables that an earlier run wrote beside its JSON; none where that is no such file."""
    try:
        names = json.loads(document.read_bytes()).get("files", [])
        return {name for name in names if isinstance(name, str) and name.startswith(document.stem) and Path(name).name == name}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return set()


def _plain(value: object) -> object:
    """A value with None in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
