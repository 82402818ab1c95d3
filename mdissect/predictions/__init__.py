"""What networks predict, and what named neurons do.

Predictions for images, breasts and patients, by a classifier or by pairs of texts. What neurons do to a network's answer
(contributions to a linear head's logits, what a task loses without chosen neurons), and when one thing in the image changes and
all else stays (the causal test).
"""

# Not on first use, as in other folders: functions bear the names of their modules, which would take their place.
from mdissect.predictions.ablation import AblationOptions, NoLabelError, ablate, ablate_groups
from mdissect.predictions.causal import CausalEffects, causal_effects
from mdissect.predictions.changes import CHANGES, Change
from mdissect.predictions.contributions import Contributions, contributions
from mdissect.predictions.filling import fill_boxes
from mdissect.predictions.head import Head, NoHeadError, find_head
from mdissect.predictions.owned import compare_evidence, concept_factors, effect_matrix, own_factor_shares
from mdissect.predictions.pairs import NothingToChangeError
from mdissect.predictions.predict import predict
from mdissect.predictions.result import Predictions
from mdissect.predictions.zero_shot import zero_shot

__all__ = [
    "CHANGES", "AblationOptions", "CausalEffects", "Change", "Contributions", "Head", "NoHeadError", "NoLabelError",
    "NothingToChangeError", "Predictions", "ablate", "ablate_groups", "causal_effects", "compare_evidence", "concept_factors",
    "contributions", "effect_matrix", "fill_boxes", "find_head", "own_factor_shares", "predict", "zero_shot",
]  # fmt: skip
