"""An evaluation beside the numbers that were published for Mammo-CLIP."""

from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import some_path
from mdissect.evaluate.options import FINE_TUNE, LINEAR_PROBE, ZERO_SHOT
from mdissect.evaluate.result import Evaluation
from mdissect.evaluate.zero_shot import BARE
from mdissect.signatures import validated
from mdissect.tables import read_text_table, with_numbers

PAPER = "arXiv 2405.12255"
NOT_GIVEN = f"not given here; see {PAPER}"
DISSECT = "arXiv 2509.21102, Table 2 (Mammo-CLIP fine-tuned)"
KEY = ["dataset", "part", "task", "fraction", "metric"]
TEST_IMAGES = {"vindr": 4000}  # of the published test; RSNA's are not among our facts
FRACTIONS = (0.1, 0.5, 1.0)


def _published() -> pd.DataFrame:
    """The numbers that we know, and room for those that we do not."""
    rows = [("vindr", ZERO_SHOT, task, np.nan, "auc", np.nan, NOT_GIVEN) for task in ("mass", "suspicious calcification")]
    rows += [("vindr", ZERO_SHOT, "density", np.nan, "accuracy", np.nan, NOT_GIVEN)]
    rows += [("rsna", ZERO_SHOT, "malignancy", np.nan, "auc", np.nan, NOT_GIVEN)]
    learnt = [("vindr", "mass", "auc"), ("vindr", "calcification", "auc"), ("vindr", "density", "accuracy")]
    learnt += [("rsna", "cancer", "auc")]
    for part in (LINEAR_PROBE, FINE_TUNE):
        for dataset, task, metric in learnt:
            rows += [(dataset, part, task, fraction, metric, np.nan, NOT_GIVEN) for fraction in FRACTIONS]
    known = {
        ("density", "accuracy"): 0.860, ("density", "macro_f1"): 0.576, ("birads", "accuracy"): 0.795,
        ("birads", "macro_f1"): 0.523, ("mass", "auc"): 0.874, ("calcification", "auc"): 0.975,
    }  # fmt: skip
    rows += [("vindr", FINE_TUNE, task, 1.0, metric, value, DISSECT) for (task, metric), value in known.items()]
    return pd.DataFrame(rows, columns=[*KEY, "published", "source"])


PUBLISHED = _published()
"""dataset, part, task, fraction, metric, published, source: Mammo-CLIP's tables; NaN where this project has not the number."""


@validated()
def against_published(found: Evaluation, numbers: pd.DataFrame | str | Path | None = None) -> pd.DataFrame:
    """An evaluation's scores beside the published ones.

    >>> against_published(found)[["part", "task", "fraction", "metric", "published", "ours", "note"]]      # doctest: +SKIP

    Parameters
    ----------
    found : Evaluation
    numbers : DataFrame or path of a table, optional
        Numbers that you read in the papers: columns dataset ("vindr", "rsna"), part, task, fraction (empty for zero-shot),
        metric, published, and source. They fill the room of `PUBLISHED`, or are added to it.

    Returns
    -------
    DataFrame
        The columns of `PUBLISHED`, then ours, low, high, and note: why the two cannot be compared, where they cannot. ours is
        empty unless the evaluation is of that data set.

    Raises
    ------
    ValueError
        A table without these columns, or with a number that is none.
    """
    table = PUBLISHED if numbers is None else _filled(numbers)
    dataset, own = found.settings.get("probe", ""), found.table
    own = own[(own.part != ZERO_SHOT) | (own.prompts == BARE)].drop_duplicates(["part", "task", "fraction", "metric"])
    own = own.assign(dataset=dataset, ours=own.value)[[*KEY, "ours", "low", "high", "n"]]
    joined = table.merge(own, on=KEY, how="left")
    return joined.assign(note=[_note(row, dataset) for row in joined.itertuples()]).drop(columns="n")


def _note(row: object, dataset: str) -> str:
    if row.dataset != dataset:
        return f"evaluated on {dataset}, not on {row.dataset}: not comparable"
    if pd.isna(row.ours):
        return "not evaluated"
    wanted = TEST_IMAGES.get(row.dataset)
    if wanted is not None and row.n != wanted:
        return f"evaluated on {row.n} of the {wanted} test images"
    return ""


def _filled(numbers: pd.DataFrame | str | Path) -> pd.DataFrame:
    """`PUBLISHED` with a user's numbers in it."""
    needed = [*KEY, "published"]
    if isinstance(numbers, pd.DataFrame):
        given = numbers.copy()
        if missing := [name for name in needed if name not in given]:
            raise ValueError(f"numbers has no column {', '.join(missing)}; it needs {', '.join(needed)}")
    else:
        given, _ = with_numbers(read_text_table(some_path("numbers", numbers), needed, ["source"]), keep=KEY[:3])
    for name in ("fraction", "published"):
        try:
            given[name] = pd.to_numeric(given[name]).astype(float)
        except (ValueError, TypeError) as error:
            advice = "write numbers such as 0.874, or leave the cell empty"
            raise ValueError(f"numbers, column {name!r}: {error}; {advice}") from None
    if "source" not in given:
        given = given.assign(source="given")
    given = given[[*KEY, "published", "source"]].dropna(subset="published")
    filled = PUBLISHED.merge(given[KEY].drop_duplicates().assign(filled=True), on=KEY, how="left").filled.notna()
    return pd.concat([PUBLISHED[PUBLISHED.published.notna() | ~filled], given], ignore_index=True)
