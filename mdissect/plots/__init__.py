"""Plots: each draws a table on the Axes that it is given and returns it; nothing is computed here.

Counts and thresholds, coverage, single neurons, trust, labels of several words; one style for all; `save_figure`.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "bars": "grouped_bars interval_bars mark_incomparable shown_groups",
        "causal": "effect_grid own_factor_bars",
        "coverage": "against_chance learned_shares margin_curves missed_bars",
        "efficiency": "data_efficiency efficiency_panels",
        "evidence": "dissector_cards held_out_points indicator_points predicted_ranges",
        "lines": "layer_lines",
        "neurons": "caption concept_bars draw_case marked_image rate_histogram CAPTION_WIDTH HEAT",
        "overprint": "overprints",
        "palette": "CATEGORY_COLOURS UNGROUPED",
        "panels": "coverage_panels draw_pair precision_panels task_panels text_panels",
        "paired": "paired_effects paired_outcomes",
        "picture": "Picture png_of shown",
        "predictions": "ablation_forest answer_panels waterfall",
        "pretraining": "loss_lines pointing_points recurring_points score_points",
        "rules": "latent_points rule_points",
        "saving": "plain_settings save_figure saved_settings",
        "several_words": "prompt_points word_count_bars",
        "schematic": "draw_concepts draw_method",
        "speed": "growth_panels stage_bars",
        "style": (
            "category_legend mammogram percent plain_texts CATEGORY_HATCHES DOMAIN_COLOURS DOMAIN_HATCHES "
            "SETUP_COLOURS SETUPS SETUP_HATCHES SETUP_MARKERS contrast setup_styles text_colour"
        ),
        "trust": ("baseline_bars card patients_curve precision_points rule_curves score_histogram settings_grid share_bars"),
        "trust_panels": "baseline_panels card_panels planted_panels score_panels settings_panels",
        "words": "word_cloud word_clouds",
    },
)
