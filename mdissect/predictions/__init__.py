"""What named neurons do.

The causal test: how neurons change when one thing in the image changes and all else stays.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "causal": "CausalEffects causal_effects",
        "changes": "CHANGES Change",
        "filling": "fill_boxes",
        "owned": "compare_evidence concept_factors effect_matrix own_factor_shares",
    },
)
