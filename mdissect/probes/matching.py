"""Matches entries of a table to the images of a folder, and finds near misses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from mdissect.arguments import counted, listed

# How a table may call an image, the most exact form first.
_FORMS = (
    lambda path: str(path),
    lambda path: str(path.with_suffix("")),
    lambda path: path.name,
    lambda path: path.stem,
)
_ENDINGS = re.compile(r"(?:\.(?:png|jpe?g|tiff?|p[gpn]m|dcm|dicom|bmp|gif|webp|jp2|nii|mha|npy|gz))+$")
_WHOLE = re.compile(r"[+-]?[0-9]+\.0*|[+-]?[0-9]+(?:\.[0-9]+)?e\+?[0-9]+")


def match_rows(entries: pd.Series, ids: Sequence[str], place: Callable[[object], str]) -> list[str | None]:
    """The image that each entry names, or None; ValueError for an entry that is empty or fits several images.

    `place` says where the row with a label of the index stands.
    """
    forms = [_by_key(ids, lambda image_id, form=form: plain(form(PurePosixPath(image_id)))) for form in _FORMS]
    found: list[str | None] = []
    for row, entry in entries.items():
        if pd.isna(entry) or not str(entry).strip():
            raise ValueError(f"{place(row)} is empty; every row must name its image")
        wanted = plain(str(entry))
        fitting = next((form[wanted] for form in forms if wanted in form), [None])
        if len(fitting) > 1:
            raise ValueError(f"{place(row)}, {str(entry)!r}, fits {counted(fitting, 'image')}; give their paths")
        found.append(fitting[0])
    return found


def near_misses(entries: Iterable[str], ids: Sequence[str]) -> dict[str, list[str]]:
    """The images that entries nearly name, by entry: but for case, folders, suffix, blanks, leading zeros, or 9.0 for 9."""
    forms = [(key, _by_key(ids, key)) for key in (_loosely, lambda path: _loosely(path.replace("\\", "/").rsplit("/", 1)[-1]))]
    missed = {entry: next((named[key(entry)] for key, named in forms if key(entry) in named), None) for entry in entries}
    return {entry: images for entry, images in missed.items() if images}


def hints(missed: dict[str, list[str]]) -> str:
    """Near misses in words."""
    return listed([f"{entry!r} for {' or '.join(map(repr, images[:3]))}" for entry, images in missed.items()], 3)


def _by_key(ids: Sequence[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for image_id in ids:
        named.setdefault(key(image_id), []).append(image_id)
    return named


def plain(entry: str) -> str:
    """A path as it is compared: "/" between its parts, no "./" before it, composed accents."""
    return unicodedata.normalize("NFC", entry.strip().replace("\\", "/").removeprefix("./"))


def _loosely(entry: str) -> str:
    """A key of a path, equal for other ways to write it, by hand or by a spreadsheet."""
    name = _ENDINGS.sub("", unicodedata.normalize("NFKC", plain(entry)).casefold().strip("\"' /"))
    if _WHOLE.fullmatch(name):
        name = f"{float(name):.0f}"
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\s_\u200b-\u200f\u2060\ufeff-]+", "", name))
