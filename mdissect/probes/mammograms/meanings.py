"""What the cells of mammogram tables mean.

The probes of mammograms share their first columns, whatever their source calls them: patient, laterality (L, R), view (CC,
MLO, ...), density (A to D), birads (a whole number) and findings (joined by "; "). What is not known is empty, or NaN.

Further columns mean the same wherever they stand: cancer (True, False; NaN), pathology ("malignant", "benign", "benign without
callback", "normal"), age in years, implant ("implant", "": none; NaN), machine, site, split, and annotated: the findings that
the source looks for, joined by "; ". Of all others, nothing is known of its images, whatever stands in findings.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

Parsed = TypeVar("Parsed")

SHARED = ("patient", "laterality", "view", "density", "birads", "findings")
NO_FINDING = "no finding"
IMPLANT = "implant"
# What `annotated` says of a data set without a table of findings.
NOTHING = "nothing"
# BI-RADS categories from the least to the most abnormal (the order of the BI-RADS atlas for a whole exam).
ABNORMALITY = (1, 2, 3, 6, 0, 4, 5)

_SIDES = {"": "", "L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
# Views in words, and their SNOMED codes in a DICOM header.
_VIEWS = {"CRANIOCAUDAL": "CC", "399162004": "CC", "MEDIOLATERALOBLIQUE": "MLO", "399368009": "MLO"}
_PATHOLOGIES = {
    "": "", "m": "malignant", "malignant": "malignant", "b": "benign", "benign": "benign",
    "benign without callback": "benign without callback", "n": "normal", "normal": "normal",
}  # fmt: skip
_CANCER = {"": None, "malignant": True, "benign": False, "benign without callback": False, "normal": False}
_FLAGS = {"": None, "0": False, "0.0": False, "false": False, "no": False, "1": True, "1.0": True, "true": True, "yes": True}


def laterality(cell: str) -> str:
    """ "L" or "R" from any spelling; "" if unknown.

    >>> laterality("left"), laterality("R"), laterality("")
    ('L', 'R', '')
    """
    return _looked_up(cell.upper(), _SIDES, "a side (L or R)")


def view(cell: str) -> str:
    """A view's code in capitals, such as "CC" or "MLO", also from its words or SNOMED code.

    >>> view("mlo"), view("cranio-caudal"), view("399368009")
    ('MLO', 'CC', 'MLO')
    """
    return _VIEWS.get(re.sub(r"[\s-]", "", cell.upper()), cell.upper())


def density(cell: str) -> str:
    """ "A" to "D" from "DENSITY C", "Density c", "C", "ACR 3", "3" or "3.0"; "" where it is not known.

    >>> density("DENSITY C"), density("b"), density("ACR 4"), density("")
    ('C', 'B', 'D', '')
    """
    match = re.fullmatch(r"(?:.*\s|)(?:([A-D])|([1-4])(?:\.0)?)", cell.upper()) if cell else None
    if cell and not match:
        raise ValueError("a density (A to D, or 1 to 4)")
    return "" if not match else match[1] or "ABCD"[int(match[2]) - 1]


def birads(cell: str) -> int | None:
    """The category's number from "BI-RADS 4", "BIRADS 4", "Bi-Rads 4A", "4" or "4.0"; None where it is not known.

    >>> birads("BI-RADS 4"), birads("bi rads 4b"), birads("2.0"), birads("")
    (4, 4, 2, None)
    """
    match = re.fullmatch(r"(?:BI[- ]?RADS[ :]*)?(?:([0-6])(?:\.0)?|4[ABC])", cell.upper()) if cell else None
    if cell and not match:
        raise ValueError("a BI-RADS category (0 to 6)")
    return None if not match else int(match[1] or 4)


def most_abnormal(categories: Iterable[int | None]) -> int | None:
    """The most abnormal of several BI-RADS categories, in the order of `ABNORMALITY`; None where none is known.

    >>> most_abnormal([2, None, 0]), most_abnormal([0, 4]), most_abnormal([])
    (0, 4, None)
    """
    return max((category for category in categories if category is not None), key=ABNORMALITY.index, default=None)


def pathology(cell: str) -> str:
    """ "malignant", "benign", "benign without callback" or "normal" from any spelling, or from M, B, N; "" if unknown.

    >>> pathology("BENIGN_WITHOUT_CALLBACK"), pathology("M"), pathology("")
    ('benign without callback', 'malignant', '')
    """
    words = " ".join(cell.lower().replace("_", " ").split())
    return _looked_up(words, _PATHOLOGIES, "a pathology (malignant, benign, benign without callback or normal)")


def cancer(cell: str) -> bool | None:
    """Whether a pathology is a cancer; None where it is not known.

    >>> cancer("Malignant"), cancer("BENIGN_WITHOUT_CALLBACK"), cancer("")
    (True, False, None)
    """
    return _CANCER[pathology(cell)]


def any_of(flags: Iterable[bool | None]) -> bool | None:
    """Whether one of several is true; None where none is and one is not known, or there are none.

    >>> any_of([False, True, None]), any_of([False, False]), any_of([False, None])
    (True, False, None)
    """
    held = set(flags)
    return True if True in held else None if None in held or not held else False


def flag(cell: str) -> bool | None:
    """True or False from 1, 0, True, False, yes, no; None for an empty cell.

    >>> flag("1"), flag("False"), flag("")
    (True, False, None)
    """
    return _looked_up(cell.lower(), _FLAGS, "yes or no (1 or 0, True or False)")


def implant(cell: str) -> str | float:
    """ "implant", or "" for none, from yes and no; NaN where it is not known.

    >>> implant("1"), implant("NO")
    ('implant', '')
    """
    return {True: IMPLANT, False: "", None: np.nan}[flag(cell)]


def years(cell: str) -> int | None:
    """An age in whole years from "52", "52.0" or DICOM's "052Y"; None for an empty cell.

    >>> years("61.0"), years("052Y"), years("")
    (61, 52, None)
    """
    match = re.fullmatch(r"0*(\d{1,3})(?:\.0)?Y?", cell.upper()) if cell else None
    if cell and (not match or int(match[1]) > 120):
        raise ValueError("an age in years")
    return None if not match else int(match[1])


def joined(names: Iterable[str]) -> str:
    """Several texts as one cell: each once, in their order, joined by "; "; empty ones do not count.

    >>> joined(["mass", "", "calcification", "mass"])
    'mass; calcification'
    """
    return "; ".join(dict.fromkeys(filter(None, names)))


def finding_names(cell: str) -> tuple[str, ...]:
    """Findings in lower case, in order, from a list as text; none for "no finding".

    >>> finding_names("['Suspicious Calcification', 'Mass']"), finding_names("['No Finding']"), finding_names("Mass")
    (('suspicious calcification', 'mass'), (), ('mass',))
    """
    parts = (part.strip(" \t'\"").lower() for part in cell.strip("[]() ").split(","))
    return tuple(dict.fromkeys(part for part in parts if part not in ("", NO_FINDING)))


def parse_column(column: pd.Series, parse: Callable[[str], Parsed], place: str) -> list[Parsed]:
    """What each cell of a text column means; ValueError with file, line, column and cell where `parse` raises one.

    `column` is indexed by the line of its file; `parse` raises ValueError with what was expected.
    """
    parsed = {}
    for line, cell in column.drop_duplicates().items():
        try:
            parsed[cell] = parse(cell)
        except ValueError as error:
            raise ValueError(f"{place}, line {line}, column {column.name!r}: {cell!r} is not {error}") from None
    return [parsed[cell] for cell in column]


def as_integers(values: Sequence[int | None]) -> np.ndarray:
    """int64 where all are known, else float64 with NaN for the others."""
    known = all(value is not None for value in values)
    return np.array([np.nan if value is None else value for value in values], dtype=np.int64 if known else np.float64)


def as_flags(values: Sequence[bool | None]) -> np.ndarray:
    """bool where all are known, else object with NaN for the others."""
    known = all(value is not None for value in values)
    return np.array([np.nan if value is None else value for value in values], dtype=bool if known else object)


def shared_first(table: pd.DataFrame) -> pd.DataFrame:
    """A probe's table with the columns of `SHARED` first, empty or NaN where the source does not have them.

    A data set without findings has "nothing" in annotated, or `trust.mapped_presence` would say that none is present.
    """
    unknown = dict(zip(SHARED, (np.nan, "", "", "", np.nan, ""), strict=True))
    table = table.assign(**{column: value for column, value in unknown.items() if column not in table})
    return table[[*SHARED, *(column for column in table if column not in SHARED)]]


def number(cell: str) -> float:
    """A finite number; NaN for an empty cell."""
    try:
        value = float(cell or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        raise ValueError("a number")
    return value


def _looked_up(cell: str, known: Mapping[str, Parsed], expected: str) -> Parsed:
    if cell not in known:
        raise ValueError(expected)
    return known[cell]
