"""Groups of concepts: which concept stands in which, and which groups a layer has more often than by chance."""

import pandas as pd

from mdissect.arguments import table_with
from mdissect.concepts import ConceptSet
from mdissect.signatures import validated

UNGROUPED = "ungrouped"
GROUPINGS = ("category", "broad_category", "domain", "task")


@validated(by=GROUPINGS)
def group_of(concepts: ConceptSet, by: str) -> pd.DataFrame:
    """concept and its group, one row per pair; concepts without one are "ungrouped" (without a task: left out)."""
    if by != "task":
        pairs = concepts.table.replace({by: {"": UNGROUPED}})
        return pairs[["concept", by]].drop_duplicates().reset_index(drop=True)
    pairs = concepts.table.assign(task=concepts.table.tasks.str.split(";")).explode("task")
    pairs = pairs.assign(task=pairs.task.str.strip()).query("task != ''")
    if pairs.empty:
        raise ValueError("the concept set names no tasks; use a table with that column, or another grouping")
    return pairs[["concept", "task"]].drop_duplicates().reset_index(drop=True)


@validated(labels=table_with("layer", "concept", made_by="Dissection.labels(...)"), by=GROUPINGS)
def enrichment(labels: pd.DataFrame, concepts: ConceptSet, by: str = "broad_category") -> pd.DataFrame:
    """Groups of concepts that are over-represented in a layer, compared with the concept set.

    A layer's distinct concepts are compared with as many concepts drawn from the set without replacement (hypergeometric, upper
    tail); q-values are Benjamini and Hochberg's over all rows.

    Parameters
    ----------
    labels : DataFrame
        layer and concept, "" for none: `Dissection.labels` with or without q, or what passes of it.
    by : {"category", "broad_category", "domain", "task"}

    Returns
    -------
    DataFrame
        A row per layer and group: layer, the group, concepts (distinct ones of the layer in the group), of (all of the layer's
        distinct ones), base_rate (the group's share of the concept set), ratio (observed over expected share), p, q.

    Raises
    ------
    ValueError
        Unknown grouping, or labels that are not in the concept set.
    """
    from scipy.stats import false_discovery_control, hypergeom

    groups = group_of(concepts, by)
    if unknown := sorted(set(labels.concept) - set(concepts.names) - {""}):
        raise ValueError(f"{len(unknown)} labels are not in the concept set, such as {', '.join(unknown[:3])}")
    sizes, rows = groups.groupby(by, sort=False).concept.nunique(), []
    for layer, table in labels.groupby("layer", sort=False):
        carried = set(table.concept) - {""}
        found = groups[groups.concept.isin(carried)].groupby(by).concept.nunique().reindex(sizes.index, fill_value=0)
        p = hypergeom.sf(found - 1, len(concepts), sizes, len(carried))
        base = sizes / len(concepts)
        ratio = found / max(len(carried), 1) / base
        counts = {"layer": layer, by: sizes.index, "concepts": found.to_numpy(), "of": len(carried)}
        rows.append(pd.DataFrame({**counts, "base_rate": base.to_numpy(), "ratio": ratio.to_numpy(), "p": p}))
    result = pd.concat(rows, ignore_index=True)
    return result.assign(q=false_discovery_control(result.p))
