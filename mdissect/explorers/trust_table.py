"""How far each label can be trusted: what it needs, q, p, stability and the report card's flag, where they are known."""

import pandas as pd

from mdissect.concepts import with_categories
from mdissect.dissection import Dissection
from mdissect.wording import which_label

NEEDED = ("layer", "neuron", "q")
COLUMNS = {"concept": "calibrated_concept", "p": "p", "q": "q", "stability": "stability", "flag": "flag"}


class Trust:
    """The trust table of a dissection, looked up by neuron.

    `table` (None: nothing is known) is what `Dissection.labels(q=..., stability=..., report_card=...)` returned: layer,
    neuron and q, and what else is known of p, stability, flag and concept (the calibrated label; "" for none). ValueError
    where a column is missing, a neuron is there twice, or a layer or neuron is not of the dissection.
    """

    def __init__(self, table: pd.DataFrame | None, dissection: Dissection):
        self._rows = {}
        known = with_categories(pd.DataFrame({"concept": dissection.concepts.names}), dissection.concepts)
        self._needs = dict(zip(known.concept, known.needs, strict=True))
        if table is None:
            return
        if missing := [name for name in NEEDED if name not in table]:
            raise ValueError(
                f"trust has no column {', '.join(missing)} (it has {', '.join(map(str, table.columns))}); give what "
                "dissection.labels(q=0.05) returns"
            )
        for row in table.to_dict(orient="records"):
            place = (row["layer"], int(row["neuron"]))
            if not 0 <= place[1] < len(dissection.similarity.get(place[0], ())):
                raise ValueError(f"trust has a row for neuron {place[1]} of {place[0]!r}, which this dissection does not have")
            if place in self._rows:
                raise ValueError(f"trust has two rows for neuron {place[1]} of {place[0]!r}; give one row per neuron")
            self._rows[place] = {name: row[name] for name in COLUMNS if name in row and not pd.isna(row[name])}

    def words(self, layer: str, neuron: int, label: str) -> str:
        """Such as "needs prior exam, q 0.002, p 0.0001, stability 0.91"; which label to trust, where they differ."""
        row = self._rows.get((layer, neuron), {})
        parts = [self.needs(label)] if self.needs(label) else []
        parts += [f"{name} {_probability(row[name])}" for name in ("q", "p") if name in row]
        parts += [f"stability {row['stability']:.2f}"] if "stability" in row else []
        if "concept" in row and row["concept"] != label:
            parts.append(which_label(label, row["concept"]))
        parts += [f"flag: {row['flag']}"] if row.get("flag") else []
        return ", ".join(parts)

    def needs(self, label: str) -> str:
        """What it takes beyond one mammogram to see a label, such as "needs prior exam"; "" for nothing."""
        return f"needs {self._needs[label]}" if self._needs.get(label) else ""

    def short(self, layer: str, neuron: int) -> str:
        """For a list of neurons: ", q 0.002, flag"."""
        row = self._rows.get((layer, neuron), {})
        return (f", q {_probability(row['q'])}" if "q" in row else "") + (", flag" if row.get("flag") else "")

    def columns(self, labels: pd.DataFrame) -> pd.DataFrame:
        """A table of labels (layer, neuron, ...) with what is known: calibrated_concept, p, q, stability, flag."""
        places = zip(labels.layer, labels.neuron, strict=True)
        rows = [self._rows.get((layer, int(neuron)), {}) for layer, neuron in places]
        known = {new: [row.get(name) for row in rows] for name, new in COLUMNS.items() if any(name in row for row in rows)}
        return labels.assign(**known)


def _probability(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}" if value > 0 else "0"
