"""The columns attached to a dissection (`Dissection.with_columns`), looked up by neuron and told in words."""

from collections.abc import Sequence

import pandas as pd

from mdissect.columns import KEYS

ONE_WORD = "one word explains clearly less"


class Attached:
    """What is attached to each neuron, and to a label of it; `names` are the columns.

    `columns` as `Dissection.columns`, None where nothing is attached.
    """

    def __init__(self, columns: pd.DataFrame | None):
        self.names = [] if columns is None else [name for name in columns if name not in KEYS]
        self._rows: dict[tuple[str, int], dict[str, dict]] = {}
        for row in [] if columns is None else columns.to_dict(orient="records"):
            place = (row["layer"], int(row["neuron"]))
            known = {name: row[name] for name in self.names if not pd.isna(row[name])}
            self._rows.setdefault(place, {})[row["concept"]] = known

    def of(self, layer: str, neuron: int, labels: Sequence[str]) -> dict[str, tuple[object, str]]:
        """Each known column's value and the label it belongs to, "" for one of the neuron; of several `labels`, the first."""
        rows, found = self._rows.get((layer, neuron), {}), {}
        for label in ("", *reversed(labels)):
            found |= {name: (value, label) for name, value in rows.get(label, {}).items()}
        return found

    def words(self, layer: str, neuron: int, labels: Sequence[str]) -> str:
        """Such as "predicts unseen patients: r 0.58 (0.51 to 0.64); corrected 0.60; clarity 0.71".

        What belongs to another label than the last of `labels`, the one shown, names it.
        """
        found = self.of(layer, neuron, labels)
        values = {name: value for name, (value, _) in found.items()}
        parts = []
        if "predicts" in values:
            of = found["predicts"][1]
            whose = f" (as {of})" if of not in ("", labels[-1]) else ""
            parts.append(f"predicts unseen patients{whose}: r {_with_interval(values, 'predicts')}")
        if "corrected" in values and found["corrected"][1] in ("", labels[-1]):
            parts.append(f"corrected {values['corrected']:.2f}")
        if values.get("explained_by"):
            less = "" if values.get("one_word_enough", True) else f" ({ONE_WORD})"
            parts.append(f"explained by {values['explained_by']}{less}")
        if "clarity" in values:
            parts.append(f"clarity {_with_interval(values, 'clarity')}")
        return "; ".join(parts)


def _with_interval(values: dict, name: str) -> str:
    """ "0.58 (0.51 to 0.64)", without the interval where it is not attached."""
    ends = [values.get(f"{name}_{end}") for end in ("low", "high")]
    return f"{values[name]:.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if None not in ends else "")
