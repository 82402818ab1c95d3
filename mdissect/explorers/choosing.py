"""Which of a neuron's images are shown: the strongest, a strip over the range, those that its label does not fit, ..."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection

WHICH = ("strongest", "quantiles", "weakest", "random", "hard negatives", "misses")
OF_LABEL = ("hard negatives", "misses")
MOST_LISTED = 100  # images shown of a neuron
USUAL_TOP = 20  # where a result does not record how many images its labels rest on


def ordered(values: np.ndarray, which: str, k: int, shown: np.ndarray | None = None) -> np.ndarray:
    """Positions of at most k images of a neuron with activations `values` (n_images,); NaN is never among the strongest.

    "quantiles" are the images nearest to k values evenly between the largest and the smallest; "random" the same images for
    every neuron. "hard negatives" are the strongest of the images without the label's concept, "misses" the weakest of those
    with it: `shown` (n_images,) is 1 where an image shows it, 0 where not, NaN where that is not known.
    """
    if which == "random":
        sample = np.random.default_rng(0).permutation(len(values))[:k]
        return sample[np.argsort(-values[sample], kind="stable")]
    if which == "quantiles":
        return _spread(values, k)
    if which in OF_LABEL:
        known = np.full(len(values), np.nan) if shown is None else shown
        among = np.flatnonzero((known == (which == "misses")) & np.isfinite(values))
        keys = values[among] if which == "misses" else -values[among]
        return among[np.argsort(keys, kind="stable")[:k]]
    return np.argsort(values if which == "weakest" else -values, kind="stable")[:k]


def between(values: np.ndarray, low: float, high: float, k: int) -> np.ndarray:
    """Positions of at most k images with an activation from `low` to `high`, evenly among those, the strongest first."""
    inside = np.flatnonzero((values >= low) & (values <= high))
    inside = inside[np.argsort(-values[inside], kind="stable")]
    return inside[np.unique(np.linspace(0, len(inside) - 1, min(k, len(inside))).round().astype(int))]


def _spread(values: np.ndarray, k: int) -> np.ndarray:
    """The images nearest to k values evenly over the range, each once, the strongest first."""
    order = np.argsort(-values, kind="stable")
    order = order[np.isfinite(values[order])]
    if len(order) <= k:
        return order
    taken: list[int] = []
    free = np.ones(len(order), dtype=bool)
    for wanted in np.linspace(values[order[0]], values[order[-1]], k):
        distance = np.where(free, np.abs(values[order].astype(np.float64) - wanted), np.inf)
        taken.append(int(distance.argmin()))
        free[taken[-1]] = False
    return order[np.sort(taken)]


def one_of_each(values: np.ndarray, which: str, patients: Sequence, shown: np.ndarray | None = None) -> np.ndarray:
    """Positions of one image of each patient, from which `ordered` may choose: the strongest; the weakest for weak kinds.

    `patients` (n_images,) are missing or "" where an image's patient is not known: it counts as one of its own.
    """
    among = np.arange(len(values))
    if which in OF_LABEL:
        among = among[:0] if shown is None else np.flatnonzero(shown == (which == "misses"))
    among = among[np.isfinite(values[among])]
    weak = which in ("weakest", "misses")
    order = among[np.argsort(values[among] if weak else -values[among], kind="stable")]
    own = pd.Series(patients, dtype=object).replace("", None).iloc[order]
    return np.sort(order[~own.duplicated().to_numpy() | own.isna().to_numpy()])


def listed_images(dissection: Dissection) -> int:
    """How many images a neuron's label rests on, at most 100."""
    used = dissection.settings.get("top_k", USUAL_TOP)
    return min(used if isinstance(used, int) and used > 0 else USUAL_TOP, MOST_LISTED, len(dissection.probe_table))


def known_of(dissection: Dissection) -> pd.DataFrame:
    """Which concepts are known to be present in which images (`mdissect.trust.presence`); no columns where nothing is known."""
    from mdissect.trust.presence import known_presence

    try:
        return known_presence(dissection)
    except (LookupError, ValueError):  # a table in other words than those that the truth is told in
        return pd.DataFrame(index=dissection.probe_table.index)


def why_not(which: str, label: str, shown: np.ndarray | None) -> str:
    """Why a neuron has no such images; "" where it has some. `shown` is as for `ordered`, None: nothing is known."""
    if which not in OF_LABEL:
        return ""
    if not label:
        return "this neuron has no label"
    if shown is None or np.isnan(shown).all():
        return f"it is not known which images show “{label}”"
    if not (shown == (which == "misses")).any():
        return f"{'no' if which == 'misses' else 'every'} image shows “{label}”"
    return ""


def other_views(table: pd.DataFrame, image_id: str) -> np.ndarray:
    """Positions of the other images of an image's patient, the same side first; none without the column patient."""
    if "patient" not in table or image_id not in table.index:
        return np.array([], dtype=int)
    at = table.index.get_loc(image_id)
    patient = table.patient.iloc[at]
    if patient is None or patient != patient or patient == "":
        return np.array([], dtype=int)
    others = np.flatnonzero((table.patient == patient).to_numpy(dtype=bool, na_value=False))
    others = others[others != at]
    if "laterality" not in table:
        return others
    return others[np.argsort((table.laterality.iloc[others] != table.laterality.iloc[at]).to_numpy(), kind="stable")]
