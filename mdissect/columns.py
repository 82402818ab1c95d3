"""Columns attached to a dissection's labels: one table keyed by layer, neuron and, where it is about a label, concept."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from mdissect.signatures import validated

KEYS = ["layer", "neuron", "concept"]  # the last is "" for what holds of a neuron, whatever its label
ENDS = ("_low", "_high")
OWN = (
    "rank", "category", "broad_category", "similarity", "p", "p_label", "q", "stability", "flag", "needs", "note", "rule",
)  # fmt: skip


def ends_of(names: Iterable[str]) -> set[str]:
    """Those of some columns that are the ends of another's interval: "clarity_low" and "clarity_high" beside "clarity"."""
    names = list(map(str, names))
    return {f"{name}{end}" for name in names for end in ENDS if f"{name}{end}" in names}


@validated()
def checked_columns(table: pd.DataFrame, before: pd.DataFrame | None, n_neurons: Mapping[str, int]) -> pd.DataFrame:
    """`table`, checked as `mdissect.Dissection.with_columns` says, joined to the columns attached before.

    `n_neurons` by layer. The result has `KEYS` and one row for each of their combinations.
    """
    if missing := [name for name in KEYS[:2] if name not in table]:
        raise ValueError(f"table has no column {' and no '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    new = [name for name in table if name not in KEYS]
    if not new:
        raise ValueError("table has no column to attach beside layer and neuron")
    if not table.columns.is_unique:
        raise ValueError(f"table has several columns {table.columns[table.columns.duplicated()][0]!r}")
    if own := [name for name in new if name in OWN]:
        raise ValueError(f"labels() has the column {own[0]!r} already; give it another name")
    table = table.assign(concept=table.concept.fillna("") if "concept" in table else "")[[*KEYS, *new]]
    _check_neurons(table, n_neurons)
    table = table.set_index(KEYS)
    if before is not None:
        old = before.drop(columns=[name for name in new if name in before]).set_index(KEYS).dropna(how="all")
        table = old.join(table, how="outer") if len(old.columns) else table
    return table.reset_index()


def _check_neurons(table: pd.DataFrame, n_neurons: Mapping[str, int]) -> None:
    """ValueError where a row is about no neuron of the dissection, or is one of several for the same."""
    if unknown := [layer for layer in dict.fromkeys(table.layer) if layer not in n_neurons]:
        raise ValueError(f"table has layer {unknown[0]!r}; the dissection has {', '.join(n_neurons) or 'none'}")
    number = pd.to_numeric(table.neuron, errors="coerce")
    inside = (number >= 0) & (number < table.layer.map(n_neurons)) & (number % 1 == 0)
    if not inside.all():
        row = table[~inside].iloc[0]
        raise ValueError(
            f"table has neuron {row.neuron} of layer {row.layer!r}, whose neurons are 0 to {n_neurons[row.layer] - 1}"
        )
    if (twice := table.duplicated(KEYS)).any():
        row = table[twice].iloc[0]
        label = f" and concept {row.concept!r}" if row.concept else ""
        raise ValueError(f"table has several rows for neuron {row.neuron} of layer {row.layer!r}{label}; one is expected")


@validated()
def attached(labels: pd.DataFrame, columns: pd.DataFrame | None) -> pd.DataFrame:
    """Labels with the attached columns last: those of the neuron, and those of the label where the concept is the same."""
    if columns is None:
        return labels
    columns = columns.assign(neuron=columns.neuron.astype(np.int64)).set_index(KEYS)
    own = pd.MultiIndex.from_frame(labels[KEYS].assign(neuron=labels.neuron.astype(np.int64)))
    neuron = pd.MultiIndex.from_frame(labels[KEYS].assign(neuron=labels.neuron.astype(np.int64), concept=""))
    of_label, of_neuron = columns.reindex(own), columns.reindex(neuron)
    values = {
        name: of_label[name].where(of_label[name].notna().to_numpy(), of_neuron[name].to_numpy()).to_numpy() for name in columns
    }
    return labels.assign(**values)
