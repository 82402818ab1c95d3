"""Prepares the images of any probe once: decoded, and written into a folder of PNG files and a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mdissect.arguments import whole_number
from mdissect.files import without_folders
from mdissect.paths import check_writable
from mdissect.probes.prepared import (
    MANIFEST,
    Written,
    file_names,
    is_prepared,
    read_manifest,
    write_contents,
    write_image,
    write_manifest,
)
from mdissect.probes.probe import Probe
from mdissect.probes.pseudonyms import PATIENT, Pseudonyms, each_its_own, key_file, own_pseudonyms

_MOST_TOGETHER = 8  # images of one task: the source travels to a process once for all of them


@dataclass
class Outcome:
    """Counts of images made now and kept from an earlier run, and those that failed, with the reason.

    `output` is the folder that `load_probe` takes.
    """

    output: Path
    made: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)

    def count(self, became: str, problem: str = "") -> None:
        """Count one image."""
        if became == "failed":
            self.failed.append(problem)
        self.made += became == "made"
        self.kept += became == "kept"


def prepare_probe(
    probe: Probe,
    output: Path,
    how: Mapping[str, Any],
    keep_ids: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Outcome:
    """Write the images of a probe into a folder that ``load_probe("folder", path=output)`` reads as the same probe.

    Images are the same bit for bit, ids and table too. Unless `keep_ids`, what is written calls patients by pseudonyms
    (`mdissect.probes.pseudonyms`): the column patient, and in ids and texts the patient's id. Each file is written completely
    or not at all, and those made before from the same original are kept, so that a run that was stopped goes on. `how`
    (JSON values) says which probe this is and with which options; `workers` are processes, by default one per core.

    FileExistsError: the folder was made from another probe, with other options or another key of pseudonyms, or has a file
    of that name that is not prepare's. Images that cannot be read are in `Outcome.failed`, and no part of the folder's table.
    """
    if workers is not None:
        whole_number("workers", workers, 1)
    check_writable(output, "output (--output) names another folder")
    with _alone(output):
        return _prepare(probe, output, how, keep_ids, workers, progress)


def _prepare(
    probe: Probe, output: Path, how: Mapping[str, Any], keep_ids: bool, workers: int | None, progress: bool
) -> Outcome:
    pseudonyms = None if keep_ids else own_pseudonyms()
    table = probe.table if pseudonyms is None else hidden_table(probe.table, pseudonyms)
    document = {
        "name": probe.name,
        "how": without_folders(dict(how)),
        "ids": "kept" if pseudonyms is None else f"pseudonyms of the key {pseudonyms.check()}",
        "n_images": len(probe),
    }
    _check_same(output, document)
    write_manifest(output, {**document, "complete": False})
    files, outcome, written = file_names(table.index), Outcome(output), {}
    for position, one in _written(probe, [output / name for name in files], str(document["how"]), workers, progress):
        outcome.count(one.became, one.problem)
        written[position] = one
    outcome.failed.sort()
    good = [position for position in range(len(probe)) if written[position].became != "failed"]
    if not good:
        raise ValueError(f"none of the {len(probe)} images can be prepared; the first: {outcome.failed[0]}")
    boxes = {table.index[i]: written[i].boxes for i in good}
    marked = any(one is not None for one in boxes.values())
    notes = _notes(probe, keep_ids, len(outcome.failed))
    left_out = ["not in the original probe"] * len(probe.skipped) + ["not prepared"] * len(outcome.failed)
    document |= {"skipped": [[f"image {i}", reason] for i, reason in enumerate(left_out, start=1)], "notes": notes}
    write_contents(output, document, [files[i] for i in good], table.iloc[good], boxes if marked else None)
    return outcome


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """One process at a time writes a folder, and begins by deleting what killed ones left half written."""
    from filelock import FileLock, Timeout

    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / ".prepare.lock", timeout=0):
            for litter in output.rglob(".*.part"):
                litter.unlink(missing_ok=True)
            yield
    except Timeout:
        raise FileExistsError(f"another process is preparing images into {output}; wait for it, or stop it") from None


def hidden_table(table: pd.DataFrame, pseudonyms: Pseudonyms) -> pd.DataFrame:
    """A probe's table with pseudonyms for its patients: in the column patient, in ids, and wherever a text names them."""
    if "patient" not in table:
        return table
    texts = [None if pd.isna(patient) or patient == "" else str(patient) for patient in table["patient"]]
    ids = [{} if text is None else {text: (PATIENT, text)} for text in texts]
    hidden = table.copy()
    for name, column in table.items():
        numeric = pd.api.types.is_numeric_dtype(column)
        said = [None if text is None else str(cell) for cell, text in zip(column.tolist(), texts, strict=True)]
        if said == texts:  # whole numbers too
            new = [cell if text is None else pseudonyms.of(PATIENT, text) for cell, text in zip(column, texts, strict=True)]
        elif not numeric:
            new = [
                pseudonyms.hidden(cell, own) if isinstance(cell, str) else cell for cell, own in zip(column, ids, strict=True)
            ]
        else:
            continue
        hidden[name] = pd.Series(new, index=table.index, dtype=object if numeric else column.dtype)
    index = each_its_own(pseudonyms.hidden(str(image_id), own) for image_id, own in zip(table.index, ids, strict=True))
    return hidden.set_axis(pd.Index(index, name="image_id"), axis=0)


def _check_same(output: Path, document: Mapping[str, Any]) -> None:
    """Raise FileExistsError for a folder that was prepared in another way."""
    if not is_prepared(output):
        return
    known = read_manifest(output)
    if known.get("how") != document["how"]:
        raise FileExistsError(
            f"{output} was prepared in another way ({known.get('how')}; now {document['how']}); name another output folder"
        )
    if known.get("ids") != document["ids"]:
        raise FileExistsError(
            f"{output / MANIFEST} says of its ids: {known.get('ids')}, now they would be: {document['ids']} ({key_file()}). "
            "Name another output folder, or restore the key"
        )


def _notes(probe: Probe, keep_ids: bool, n_failed: int) -> list[str]:
    """Notes for the folder's probe: those of the original, unless they may name patients or files."""
    notes = list(probe.notes) if keep_ids else []
    if n_failed:
        notes.append(f"{n_failed} of {len(probe)} images could not be prepared")
    with suppress(LookupError, ValueError):
        if probe.masks(0) is not None:
            notes.append("masks of the findings are those of the original probe; prepared images come without them")
    return [without_folders(note) for note in notes]


def _written(probe: Probe, targets: list[Path], how: str, workers: int | None, progress: bool) -> Iterator[tuple[int, Written]]:
    """What became of each image, in the order in which they finish."""
    import joblib
    from tqdm.auto import tqdm

    workers = workers or joblib.cpu_count()
    together = min(max(1, len(probe) // (4 * workers)), _MOST_TOGETHER)
    tasks = [slice(start, start + together) for start in range(0, len(probe), together)]
    pool = joblib.Parallel(n_jobs=min(workers, len(tasks)), return_as="generator_unordered")
    jobs = (joblib.delayed(_write_some)(probe.subset(task), task.start, targets[task], how) for task in tasks)
    with tqdm(desc="preparing", total=len(probe), unit="image", disable=not progress) as bar:
        for done in pool(jobs):
            yield from done
            bar.update(len(done))


def _write_some(part: Probe, first: int, targets: list[Path], how: str) -> list[tuple[int, Written]]:
    """Write the images of a part of a probe, which begins at position `first` of the whole."""
    return [(first + i, write_image(*part.source(i), target, how)) for i, target in enumerate(targets)]
