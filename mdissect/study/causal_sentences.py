"""The findings of the causal test in sentences: tables in, Markdown out; every number comes from the tables."""

import pandas as pd

from mdissect.arguments import listed, table_with
from mdissect.predictions import CausalEffects
from mdissect.signatures import validated
from mdissect.study.sentences import Tables, bullets, percent
from mdissect.wording import spelt

STRONG = 0.5  # a correlation below it is named


@validated()
def changed_images(effects: CausalEffects) -> str:
    """How many images were changed, of which factors, and which factors were seen in few patients (`causal_effects`)."""
    table = effects.table.drop_duplicates("factor")
    fewest = table.loc[table.n_patients.idxmin()]
    how = "drawn again with one factor changed" if effects.evidence == "phantom redrawn" else (
        "shown with the boxes of one finding filled from their surrounding (weaker evidence: what lies under it is guessed)"
    )  # fmt: skip
    return (
        f"**{len(effects.pairs)}** pairs of images of {effects.pairs.patient.nunique()} patients are {how}: {len(table)} "
        f"factors, {table.n_pairs.min()} to {table.n_pairs.max()} pairs each. Fewest patients, {fewest.n_patients}, show "
        f"“{fewest.factor}”."
    )


@validated()
def own_factors(shares: Tables) -> str:
    """Of how many labels the own factor is the strongest (`predictions.own_factor_shares`, one layer per network)."""
    lines = []
    for setup, table in shares.items():
        said = []
        for row in table.itertuples():
            if pd.isna(row.share):
                said.append(
                    f"{spelt(row.rule)}: no label names a factor that was changed ({row.n_without_factor} name another thing)"
                )
                continue
            beyond = "" if row.above_low > 0 else ", not clearly below it"
            said.append(
                f"{spelt(row.rule)} **{percent(row.share)}** ({percent(row.low)} to {percent(row.high)}; shuffled labels "
                f"{percent(row.chance)}{beyond}) of {row.n_labels} labels, {row.n_without_factor} more name no such factor"
            )
        lines.append(f"{setup}, {table.layer.iloc[0]}: {'; '.join(said)}.")
    return f"The factor that the label names moves the neuron more than any other factor does:\n\n{bullets(lines)}"


@validated()
def rules_compared(shares: Tables) -> str:
    """In how many networks each rule is further above shuffled labels than the first one (`predictions.own_factor_shares`)."""
    rows = pd.concat([table.assign(setup=setup) for setup, table in shares.items()])
    first = rows.rule.iloc[0]
    rows = rows[rows.rule != first].dropna(subset=["difference"])
    lines = []
    for rule, table in rows.groupby("rule", sort=False):
        better, worse = table.setup[table.difference_low > 0], table.setup[table.difference_high < 0]
        names = [f" ({listed(list(some), 8)})" if len(some) else "" for some in (better, worse)]
        lines.append(
            f"{spelt(rule)}: better in **{len(better)} of {len(table)}** networks{names[0]}, worse in {len(worse)}{names[1]}; "
            f"mean difference {100 * table.difference.mean():+.0f} points"
        )
    return (
        f"How far above shuffled labels, beside the {spelt(first)} rule (better or worse: the 95 % interval of the difference "
        f"excludes 0):\n\n{bullets(lines)}"
    )


@validated(matrix=table_with(made_by="predictions.effect_matrix(...)"))
def strongest_factors(matrix: pd.DataFrame) -> str:
    """Which groups of neurons respond most to what their labels name, and which to another factor (`effect_matrix`)."""
    own, other = [], []
    for column in matrix.columns:
        values, name = matrix[column].dropna(), column.rpartition(" (")[0]
        if values.empty:
            continue
        best = values.idxmax()
        said = f"{column} {values[best]:.1f}"
        (own if best == name else other).append(said if best == name else f"{column}: {best} {values[best]:.1f}")
    others = f"; others with another factor ({'; '.join(other)})" if other else ""
    return (
        f"On average the neurons of **{len(own)} of {len(own) + len(other)}** groups of labels rise most with what their "
        f"labels name (in spreads: {', '.join(own) or 'none'}){others}."
    )


@validated(agreement=table_with("layer", "factor", "correlation", "low", "high", made_by="predictions.compare_evidence(...)"))
def filled_or_redrawn(agreement: pd.DataFrame) -> str:
    """How far filling the boxes of phantoms tells the same as drawing them again (`predictions.compare_evidence`)."""
    lines = []
    for layer, table in agreement.groupby("layer", sort=False):
        whole, each = table[table.factor == "all"].iloc[0], table[table.factor != "all"].dropna(subset=["correlation"])
        apart = each[each.correlation < STRONG].sort_values("correlation")
        less = f"; below {STRONG} for {listed([f'{r.factor} ({r.correlation:.2f})' for r in apart.itertuples()], 8)}"
        lines.append(
            f"{layer}: correlation **{whole.correlation:.2f}** ({whole.low:.2f} to {whole.high:.2f}), slope {whole.slope:.2f}, "
            f"the same direction for {percent(whole.same_sign)} of the clear effects{less if len(apart) else ''}"
        )
    return f"Effects of filled boxes beside those of redrawn phantoms, over neurons and findings:\n\n{bullets(lines)}"
