"""Calibrated labels of a dissection whose arrays are on disk: the same as `mdissect.calibrate.judge_neurons`."""

from collections.abc import Sequence

import pandas as pd

from mdissect.arguments import RATE
from mdissect.calibrate import FDRS, Found, judge_found
from mdissect.chance import Null, in_any_order
from mdissect.choice import RULE, rule_options
from mdissect.signatures import validated
from mdissect.similarity import SIMILARITIES
from mdissect.streaming.nulls import clustered, mixed_places
from mdissect.streaming.rows import Rows
from mdissect.streaming.rules import Streamed, likelihoods, survey
from mdissect.streaming.sims import Sims


@validated(level=RATE, fdr=FDRS, rule=SIMILARITIES)
def judge_large(
    sims: Sims, activations: Rows, nulls: Sequence[Null], level: float = 0.05, fdr: str = "bh", rule: str = RULE
) -> pd.DataFrame:
    """The table of `judge_neurons`, by nulls of `large_null`; activations (n_images, n_neurons) are read in blocks."""
    top_k = max(null.top_k for null in nulls)
    own = top_k if "top_k" in rule_options(rule, top_k) else 0
    layer = survey(activations, sims.rows_at_once(activations.shape[1]), own, top_k, mixed_places(len(sims)))

    def find() -> Found:
        order = in_any_order(len(sims))[layer.mixed.order(layer.neurons, top_k)]
        return Found(
            likelihoods=[likelihoods(sims, order[:, : null.top_k], null.options) for null in nulls],
            spread=[clustered(null, order[:, : null.top_k]) for null in nulls],
            scores=lambda null: Streamed(sims).of_layer(layer, rule, rule_options(rule, null.top_k, null.options)),
        )

    return judge_found((layer.finite, layer.constant), find, nulls, level, fdr, rule)
