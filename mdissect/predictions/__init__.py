"""What networks predict, and what named neurons do.

Predictions for images, breasts and patients, by a classifier or by pairs of texts. What neurons do to a network's answer
(contributions to a linear head's logits, what a task loses without chosen neurons), and when one thing in the image changes and
all else stays (the causal test).
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "ablation": "AblationOptions NoLabelError ablate ablate_groups",
        "causal": "CausalEffects causal_effects",
        "changes": "CHANGES Change",
        "contributions": "Contributions contributions",
        "filling": "fill_boxes",
        "head": "Head NoHeadError find_head",
        "owned": "compare_evidence concept_factors effect_matrix own_factor_shares",
        "pairs": "NothingToChangeError",
        "predict": "predict",
        "result": "Predictions",
        "zero_shot": "zero_shot",
    },
)
