"""What sparse autoencoders change, in sentences: tables in, Markdown out; every number comes from the tables."""

import pandas as pd

from mdissect.arguments import table_with
from mdissect.signatures import validated
from mdissect.study.sentences import bullets, percent

FIDELITY = table_with("measure", "value", "low", "high", made_by="sae.fidelity(...)")
COMPARED = table_with("measure", "channels", "latents", "difference", "low", "high", made_by="sae.compare(...)")
WHAT = {
    "named": "share named (better than chance)",
    "predicts": "correlation with the own label on patients it was not chosen on",
    "predicts_named": "the same, named ones alone",
    "auc": "AUC for the truth of the own label, other patients",
    "auc_named": "the same, named ones alone",
    "best_auc": "AUC of the best one for each concept, other patients",
}


@validated(table=FIDELITY)
def kept_by_autoencoder(table: pd.DataFrame, name: str) -> str:
    """How much of a layer an autoencoder keeps on other patients, and how many latents are dead (`sae.fidelity`)."""
    row = table.set_index("measure")
    explained, active, dead = (row.loc[measure] for measure in ("explained variance", "active latents", "dead latents"))
    return (
        f"The autoencoder of {name} explains **{percent(explained.value, 1)}** of the variance on patients that it was not "
        f"trained on (95 % interval {percent(explained.low, 1)} to {percent(explained.high, 1)}), with {active.value:.1f} "
        f"active latents per input; {percent(dead.value, 1)} of its latents are 0 on all of these images."
    )


@validated(table=COMPARED)
def latents_against_channels(table: pd.DataFrame, name: str) -> str:
    """Whether a layer's latents are cleaner than its channels, measure by measure, and in one sentence (`sae.compare`)."""
    known = table[table.difference.notna()]
    lines = [
        f"{WHAT.get(row.measure, row.measure)}: channels {row.channels:.3f}, latents {row.latents:.3f}, difference "
        f"**{row.difference:+.3f}** ({row.low:+.3f} to {row.high:+.3f})"
        for row in known.itertuples()
    ]
    above, below = (known[known.low > 0], known[known.high < 0])
    open_ones = len(known) - len(above) - len(below)
    verdict = (
        f"Of {len(known)} measures the latents of {name} are better in **{len(above)}** ({_measures(above)}), worse in "
        f"**{len(below)}** ({_measures(below)}); in the other {open_ones} the interval of the paired difference "
        "holds 0."
    )
    return f"{verdict}\n\n{bullets(lines)}"


def _measures(rows: pd.DataFrame) -> str:
    return ", ".join(rows.measure) or "none"
