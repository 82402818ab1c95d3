"""A folder of prepared images: what ``python -m mdissect prepare`` writes, and the folder probe reads.

prepared.json       what it is: how it was made, whether it is complete, the types of the table's columns
table.csv           a row per image: its id, its file, and the table of the original probe
boxes.json          boxes of the findings by image id, where the original has some
images/...png       each with a checksum of what it was made from
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from mdissect.files import DamagedFileError, checksum, regular_file, write_atomically
from mdissect.probes.png import encoded_png
from mdissect.probes.probe import ImageSource
from mdissect.probes.typed_table import as_texts, from_texts, plain
from mdissect.tables import read_text_table, write_table

MANIFEST, TABLE, BOXES, IMAGES = "prepared.json", "table.csv", "boxes.json", "images"
FORMAT = "mdissect prepared images"
_VERSION = 1
_RECORD = "mdissect-prepared"
_ID, _FILE = "image_id", "file"
_ENDING = re.compile(r"\.(?:png|jpe?g|tiff?|p[gpn]m|dcm|dicom|dic)$", re.IGNORECASE)
_AGAIN = "run `python -m mdissect prepare` again: it keeps what is there"


# By image id; None: of this image they are not known.
Boxes = Mapping[str, list[dict] | None]


class PreparedFolder(NamedTuple):
    """What a prepared folder holds: images by id and file, their table and boxes (None: not known), and notes."""

    name: str
    ids: list[str]
    files: list[str]
    table: pd.DataFrame
    boxes: Boxes | None
    skipped: list[tuple[str, str]]
    notes: list[str]


class Written(NamedTuple):
    """What became of an image: "made", "kept" from an earlier run or "failed"; why it failed; its boxes."""

    became: str
    problem: str = ""
    boxes: list[dict] | None = None


def is_prepared(root: Path) -> bool:
    """Whether a folder was written by ``prepare``."""
    return (root / MANIFEST).is_file()


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a prepared folder; DamagedFileError for a file that is none."""
    path = regular_file(root / MANIFEST)
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it, and {_AGAIN}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != _VERSION:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise DamagedFileError(f"{path} is not what `prepare` writes (format {FORMAT!r}, version {_VERSION}; found {found!r})")
    return document


def write_manifest(root: Path, document: Mapping[str, Any]) -> None:
    """Write the manifest; "complete" says whether table and images are all there."""
    text = json.dumps({"format": FORMAT, "version": _VERSION, **document}, indent=1)
    write_atomically(root / MANIFEST, text.encode(), private=True)


def file_names(ids: Sequence[str]) -> list[str]:
    """The file of each image below the folder: its id with the ending .png, each another one, also where case is ignored."""
    names, taken = [], set()
    for image_id in ids:
        parts = [_safe(part) for part in PurePosixPath(_ENDING.sub("", image_id)).parts if part.strip("/")]
        name = plain = "/".join([IMAGES, *parts]) if parts else f"{IMAGES}/image"
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{plain}~{count}"
        taken.add(name.casefold())
        names.append(f"{name}.png")
    return names


def _safe(part: str) -> str:
    """A part of a path without letters that a file system, or a hidden file, gives a meaning; short enough for any."""
    return re.sub(r"^[.~]|[^\w.~ ()+,=@-]", "_", part)[:120].rstrip(". ") or "_"


def write_image(source: ImageSource, position: int, target: Path, how: str) -> Written:
    """Read an image of a source and write it as a PNG file, completely or not at all, unless it was made before.

    `how` and the image's fingerprint say what it is made from. FileExistsError where the file is another program's.
    """
    record = _record_of(target)
    if record is None and target.exists():
        raise FileExistsError(f"{target} was not written by this command and would be replaced; name another output folder")
    try:
        made_from = checksum(f"{how} {source.fingerprint(position)}".encode())
        if record is not None and record.get("made_from") == made_from:
            return Written("kept", boxes=record.get("boxes"))
        image = source.read(position)
        boxes = _boxes(source, position)
        data = encoded_png(image, {_RECORD: json.dumps({"made_from": made_from, "boxes": boxes})})
    except ValueError as error:  # an ImageFileError is one
        return Written("failed", str(error))
    write_atomically(target, data)
    return Written("made", boxes=boxes)


def _boxes(source: ImageSource, position: int) -> list[dict] | None:
    try:
        return json.loads(json.dumps(source.boxes(position), default=plain))
    except LookupError:
        return None


def _record_of(path: Path) -> dict | None:
    """The record in a PNG file that `write_image` wrote; None for others, and for none."""
    try:
        with Image.open(regular_file(path), formats=["PNG"]) as image:
            record = json.loads(image.info[_RECORD])
        return record if isinstance(record, dict) else None
    except (OSError, KeyError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError):
        return None


def write_contents(
    root: Path,
    document: Mapping[str, Any],
    files: Sequence[str],
    table: pd.DataFrame,
    boxes: Boxes | None,
) -> None:
    """Write table and boxes of a folder whose images are there, and then the manifest that says so.

    `table` is indexed by image id, a row per file.
    """
    texts, columns = as_texts(table)
    texts.columns = [f"{name} of the table" if name in (_ID, _FILE) else name for name in map(str, table)]
    texts.insert(0, _ID, list(table.index))
    texts.insert(1, _FILE, list(files))
    write_table(root / TABLE, texts, private=True)
    if boxes is not None:
        write_atomically(root / BOXES, json.dumps(boxes, indent=1).encode(), private=True)
    write_manifest(root, {**document, "complete": True, "columns": columns, "boxes": boxes is not None})


def read_prepared(root: Path) -> PreparedFolder:
    """What a prepared folder holds.

    ValueError: it is not complete. DamagedFileError, FileNotFoundError: a file is changed or missing.
    """
    document = read_manifest(root)
    if not document.get("complete"):
        raise ValueError(f"{root} is not complete ({document.get('n_images', '?')} images were to be prepared): {_AGAIN}")
    try:
        texts = read_text_table(root / TABLE, [_ID, _FILE], own=True)
        table = from_texts(texts.iloc[:, 2:], document["columns"])
        boxes = json.loads((root / BOXES).read_bytes()) if document["boxes"] else None
        ids, files = texts[_ID].tolist(), texts[_FILE].tolist()
        held = PreparedFolder(
            document["name"], ids, files, table.set_axis(pd.Index(ids, name="image_id"), axis=0), boxes,
            [tuple(one) for one in document["skipped"]], list(document["notes"]),
        )  # fmt: skip
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{root}: {TABLE}, {BOXES} and {MANIFEST} do not fit each other ({error}); {_AGAIN}") from error
    if outside := [name for name in files if not _inside(name)]:
        raise DamagedFileError(f"{root / TABLE} names the file {outside[0]!r}, which is not below {IMAGES}/; {_AGAIN}")
    if missing := [name for name in files if not (root / name).is_file()]:
        raise FileNotFoundError(f"{root}: {len(missing)} of {len(files)} prepared images are missing ({missing[0]}); {_AGAIN}")
    return held


def _inside(name: str) -> bool:
    return name.startswith(f"{IMAGES}/") and ".." not in PurePosixPath(name).parts
