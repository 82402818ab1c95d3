"""Plots: each draws a table on the Axes that it is given and returns it; nothing is computed here.

Counts and thresholds, coverage, single neurons, trust; one style for all; `save_figure`.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "counts": "draw_pair grouped_bars layer_lines precision_points word_cloud",
        "coverage": "against_chance coverage_bars margin_curves word_columns",
        "neurons": "caption concept_bars draw_case marked_image rate_histogram CAPTION_WIDTH HEAT",
        "saving": "save_figure saved_settings",
        "style": (
            "category_legend mammogram plain_texts CATEGORY_COLOURS CATEGORY_HATCHES DOMAIN_COLOURS DOMAIN_HATCHES "
            "SETUP_COLOURS SETUP_HATCHES SETUP_MARKERS UNGROUPED"
        ),
        "trust": (
            "baseline_bars card interval_bars paired_effects paired_outcomes rule_curves score_histogram settings_grid "
            "share_bars"
        ),
    },
)
