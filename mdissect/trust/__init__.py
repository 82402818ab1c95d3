"""How far labels can be trusted.

What is known of the images, the dissector's cards, prediction of unseen patients, stability, intervals, paired comparisons,
neurons of two trainings, control baselines, planted neurons, agreement with what is known, readers' verdicts, labels of several
words, clarity, and prompts.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "agreement": "agreement class_accuracy",
        "baselines": "compare_baselines constant_label passing_share",
        "clarity": "clarity clarity_by_layer",
        "dissector_card": "against_random_axes dissector_card",
        "evidence": "evidence",
        "held_out": "held_out_auc",
        "indicators": "indicators",
        "intervals": (
            "count_interval count_intervals recentred_interval resampled_labels resampled_margins resampled_neuron "
            "tau_intervals with_count_intervals"
        ),
        "linear": "linear_by_layer linear_labels",
        "matched": "matched_neurons recurrence",
        "paired": "paired paired_summary",
        "planted": "dissect_digits",
        "predicts": "predicts",
        "presence": "TooLittleKnownError concept_presence is_phantom known_presence label_precision mapped_presence",
        "prompts": "prompt_cards",
        "readers": "Agreement names_label reader_agreement share_interval",
        "report_card": "report_card unknown_concepts without_concepts",
        "stability": "fewer_patients sensitivity stability",
    },
)
