"""Two setups under one threshold per layer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mdissect import analysis
from mdissect.concepts import OTHER
from mdissect.dissection import Dissection
from mdissect.signatures import validated
from mdissect.study.counting import Counting
from mdissect.trust import recentred_interval

LEADING = ("Findings and characterizations", "Interpretations")
COUNTS = ("concepts", "neurons", "fraction")
PLAIN = Counting()


@dataclass(frozen=True)
class Pair:
    """Two setups under one threshold per layer, the larger of theirs. Made by `compare_pair`.

    Attributes
    ----------
    names : (str, str)
        Of the setups; keys of the tables below.
    rule, count : str
        Of the thresholds, and what is counted: the column of the tables that figures and claims go by.
    tau : mapping of setup to table
        Each setup's own thresholds, see `mdissect.analysis.thresholds`.
    domains, broad : mapping of setup to table
        What passes the shared thresholds by domain and by broad category, see `mdissect.analysis.count_concepts`.
    top : mapping of setup to table
        The top three broad categories of each layer.
    own_domains, own_top : mapping of setup to table
        The same under each setup's own thresholds.
    own_labels : mapping of setup to Series
        Per layer, all that counts under the setup's own thresholds.
    dissectors : (str, str)
        What the similarities of each come from.
    last_other : mapping of setup to (float, float)
        Where there are intervals: that of `last_share`.
    aligned : (bool, bool)
        Whether that dissector's two towers were trained together; else its labels mean nothing.
    """

    names: tuple[str, str]
    rule: str
    count: str
    tau: Mapping[str, pd.DataFrame]
    domains: Mapping[str, pd.DataFrame]
    broad: Mapping[str, pd.DataFrame]
    top: Mapping[str, pd.DataFrame]
    own_domains: Mapping[str, pd.DataFrame]
    own_top: Mapping[str, pd.DataFrame]
    own_labels: Mapping[str, pd.Series]
    dissectors: tuple[str, str]
    last_other: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    aligned: tuple[bool, bool] = (True, True)

    @property
    def layers(self) -> list[str]:
        return list(self.tau[self.names[0]].layer)

    @property
    def comparable(self) -> bool:
        """Whether both setups' similarities come from one dissector, so that one threshold means the same for both."""
        return self.dissectors[0] == self.dissectors[1]

    def total(self, name: str, domain: str, own: bool = False) -> pd.Series:
        """A domain's count summed over the layers, with the sums of its bounds where there are intervals."""
        table = (self.own_domains if own else self.domains)[name]
        return table[table.domain == domain].filter(regex=rf"^{self.count}(_low|_high)?$").sum()

    def leading_layers(self, name: str) -> list[str]:
        """The layers of a setup whose top three categories, under its own thresholds, contain both of `LEADING`."""
        return [layer for layer, top in self.tops(name).items() if set(LEADING) <= set(top)]

    def tops(self, name: str) -> dict[str, list[str]]:
        """The top categories of a setup's layers under its own thresholds, the largest first."""
        table = self.own_top[name]
        return {layer: list(table.broad_category[table.layer == layer]) for layer in self.layers}

    def last_row(self, name: str, category: str = OTHER) -> pd.Series:
        """What a setup has of a category in the last layer, under the shared thresholds."""
        table = self.broad[name]
        return table[(table.layer == self.layers[-1]) & (table.broad_category == category)].iloc[0]

    def last_total(self, name: str) -> float:
        """All that a setup has in the last layer, under the shared thresholds, by broad category."""
        table = self.broad[name]
        return float(table.loc[table.layer == self.layers[-1], self.count].sum())

    def last_share(self, name: str, category: str = OTHER) -> float:
        """The share of a category among a setup's counts in the last layer, under the shared thresholds; NaN for none."""
        total = self.last_total(name)
        return float(self.last_row(name, category)[self.count] / total) if total else float("nan")


@validated(rule=analysis.RULES, count=COUNTS)
def compare_pair(
    dissections: Mapping[str, Dissection],
    rule: str = "top",
    count: str = "concepts",
    tau: Mapping[str, pd.DataFrame] | None = None,
    counting: Counting = PLAIN,
) -> Pair:
    """Set two setups beside each other.

    Parameters
    ----------
    dissections : mapping of setup to Dissection
        Two of them, with the same layers.
    rule : {"top", "all"}
        Of the thresholds.
    count : {"concepts", "neurons", "fraction"}
        What is counted.
    tau : mapping of setup to table, optional
        Their own thresholds with intervals (`Study.thresholds`); made without them when None.
    counting : Counting
        `Study.counting` for counts with intervals.

    Raises
    ------
    ValueError
        Not two setups, different layers, or an unknown rule or count.
    """
    if len(dissections) != 2:
        raise ValueError(f"a pair has two setups, found {len(dissections)}: {', '.join(dissections)}")
    shared = analysis.thresholds(*dissections.values(), rule=rule)
    own = {name: analysis.thresholds(found, rule=rule) for name, found in dissections.items()}
    broad = {name: counting(found, shared, by="broad_category") for name, found in dissections.items()}
    own_broad = {name: analysis.count_concepts(found, own[name]) for name, found in dissections.items()}
    return Pair(
        names=tuple(dissections),
        rule=rule,
        count=count,
        tau=own if tau is None else {name: tau[name] for name in dissections},
        domains={name: counting(found, shared, by="domain") for name, found in dissections.items()},
        broad=broad,
        top={name: analysis.top_groups(table, count) for name, table in broad.items()},
        own_domains={name: counting(found, own[name], by="domain") for name, found in dissections.items()},
        own_top={name: analysis.top_groups(table, count) for name, table in own_broad.items()},
        own_labels={n: analysis.count_labels(d, own[n]).set_index("layer")[count] for n, d in dissections.items()},
        last_other=_last_other(dissections, shared, count, counting),
        dissectors=tuple(str(found.settings.get("dissector_weights", "")) for found in dissections.values()),
        aligned=tuple(bool(found.settings.get("dissector_aligned", True)) for found in dissections.values()),
    )


def _last_other(
    dissections: Mapping[str, Dissection], shared: pd.DataFrame, count: str, counting: Counting
) -> dict[str, tuple[float, float]]:
    """The intervals of the share of other concepts in each last layer, of setups that have resamples and that share."""
    found = {}
    for name, dissection in dissections.items():
        layer = dissection.layers[-1]
        own = analysis.with_verdict(dissection, shared).query("passes and layer == @layer").concept
        resampled = counting.labels(dissection, shared) if len(own) else None
        if resampled is None:
            continue
        groups = analysis.group_of(dissection.concepts, "broad_category").groupby("concept").broad_category.agg(list)
        total = np.array([len(groups[concept]) for concept in dissection.concepts.names])
        other = np.array([int(OTHER in groups[concept]) for concept in dissection.concepts.names])
        neurons = own.value_counts().reindex(dissection.concepts.names, fill_value=0).to_numpy()
        weight = (lambda n: (n > 0).astype(int)) if count == "concepts" else (lambda n: n)
        share, *drawn = ((weight(n) @ other) / max(weight(n) @ total, 1) for n in (neurons, *resampled[layer]))
        found[name] = tuple(float(bound) for bound in recentred_interval(share, np.array(drawn)).clip(0, 1))
    return found
