"""How far each label can be trusted: what it needs, its rule, q, p, stability, flag and attached columns, where known."""

import numpy as np
import pandas as pd

from mdissect.concepts import with_categories
from mdissect.dissection import Dissection
from mdissect.explorers.attached import Attached
from mdissect.wording import which_label

NEEDED = ("layer", "neuron", "q")
COLUMNS = {"concept": "calibrated_concept"} | {name: name for name in ("p", "q", "p_label", "stability", "flag", "rule")}


class Trust:
    """The trust table of a dissection, looked up by neuron.

    `table` (None: nothing is known) is what `Dissection.labels(q=..., stability=..., report_card=...)` returned: layer,
    neuron and q, and what else is known of p, stability, flag and concept (the calibrated label; "" for none). ValueError
    where a column is missing, a neuron is there twice, or a layer or neuron is not of the dissection. `draws` has n_null and
    n_boot, as far as they are known.
    """

    def __init__(self, table: pd.DataFrame | None, dissection: Dissection):
        self._rows, self._attached = {}, Attached(dissection.columns)
        self.draws = _draws(table, dissection)
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
        """Such as "needs prior exam, q 0.002, p 1e-4, p of the label 0.003, rule rising, stability 0.91".

        Where the calibrated label is another, which one to trust, with the numbers, which are that one's; on a second line what
        is attached (`Attached.words`).
        """
        row, needs = self._rows.get((layer, neuron), {}), self.needs(label)
        known = ", ".join(filter(None, [self.chances(layer, neuron), f"flag: {row['flag']}" if row.get("flag") else ""]))
        if "concept" in row and row["concept"] != label:
            known = which_label(label, row["concept"], known=known)
        first = ", ".join(filter(None, [needs, known]))
        return "\n".join(filter(None, [first, self.measured(layer, neuron, label)]))

    def chances(self, layer: str, neuron: int) -> str:
        """What chance reaches, the rule and the stability: "q 0.002, p 1e-4, p of the label 0.003, rule rising"."""
        row = self._rows.get((layer, neuron), {})
        parts = [f"{name} {_probability(row[name])}" for name in ("q", "p") if name in row]
        parts += [f"p of the label {_probability(row['p_label'])}"] if "p_label" in row else []
        parts += [f"rule {row['rule']}"] if row.get("rule") and row.get("concept") else []
        parts += [f"stability {row['stability']:.2f}"] if "stability" in row else []
        return ", ".join(parts)

    def measured(self, layer: str, neuron: int, label: str) -> str:
        """What is attached to a neuron and its label, the calibrated one if there is one: `Attached.words`."""
        return self._attached.words(layer, neuron, self._labels(layer, neuron, label))

    def number(self, name: str, layer: str, neuron: int, label: str) -> float | None:
        """An attached number of a neuron and its label; None where it is not known."""
        value = self._attached.of(layer, neuron, self._labels(layer, neuron, label)).get(name, (None,))[0]
        return float(value) if isinstance(value, (int, float, np.number)) else None

    def needs(self, label: str) -> str:
        """What it takes beyond one mammogram to see a label, such as "needs prior exam"; "" for nothing."""
        return f"needs {self._needs[label]}" if self._needs.get(label) else ""

    def short(self, layer: str, neuron: int, label: str) -> str:
        """For a list of neurons by a concept: ", q 0.002, flag" where it is the calibrated label, or where none is known."""
        row = self._rows.get((layer, neuron), {})
        if row.get("concept", label) != label:
            return ""
        return (f", q {_probability(row['q'])}" if "q" in row else "") + (", flag" if row.get("flag") else "")

    def columns(self, labels: pd.DataFrame) -> pd.DataFrame:
        """A table of labels (layer, neuron, concept, ...) with what is known: calibrated_concept, p, q, ..., and attached."""
        places = [(row.layer, int(row.neuron), row.concept) for row in labels.itertuples()]
        rows = [self._rows.get(place[:2], {}) for place in places]
        known = {new: [row.get(name) for row in rows] for name, new in COLUMNS.items() if any(name in row for row in rows)}
        attached = [self._attached.of(*place[:2], self._labels(*place)) for place in places]
        known |= {name: [found.get(name, (None,))[0] for found in attached] for name in self._attached.names}
        return labels.assign(**known)

    def _labels(self, layer: str, neuron: int, label: str) -> list[str]:
        """The labels whose attached columns count: the calibrated one first, and the one shown."""
        calibrated = self._rows.get((layer, neuron), {}).get("concept")
        return [*([calibrated] if calibrated else []), label]


def _draws(table: pd.DataFrame | None, dissection: Dissection) -> dict[str, int]:
    """How many random rankings (n_null) and resamples (n_boot) the table rests on, as far as it is known."""
    if table is None:
        return {}
    made = dissection.settings.get("calibrated", {}) if table is dissection.trusted else {}
    return {name: int(known[name]) for known in (made, table.attrs) for name in ("n_null", "n_boot") if name in known}


def _probability(value: float) -> str:
    small = f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.3f}" if value >= 0.0005 else small if value > 0 else "0"
