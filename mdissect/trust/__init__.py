"""How far labels can be trusted.

What is known of the images, the dissector's cards, prediction of unseen patients, stability, intervals, paired comparisons,
control baselines, planted neurons, agreement with what is known, readers' verdicts, labels of several words, clarity, and
prompts.
"""

# Not on first use, as in other folders: functions bear the names of their modules, which would take their place.
from mdissect.trust.agreement import agreement, class_accuracy
from mdissect.trust.baselines import compare_baselines, constant_label, passing_share
from mdissect.trust.clarity import clarity, clarity_by_layer
from mdissect.trust.dissector_card import against_random_axes, dissector_card
from mdissect.trust.held_out import held_out_auc
from mdissect.trust.indicators import indicators
from mdissect.trust.intervals import (
    count_interval,
    count_intervals,
    recentred_interval,
    resampled_labels,
    resampled_margins,
    resampled_neuron,
    tau_intervals,
    with_count_intervals,
)
from mdissect.trust.linear import linear_by_layer, linear_labels
from mdissect.trust.paired import paired, paired_summary
from mdissect.trust.planted import dissect_digits
from mdissect.trust.predicts import predicts
from mdissect.trust.presence import (
    TooLittleKnownError,
    concept_presence,
    is_phantom,
    known_presence,
    label_precision,
    mapped_presence,
)
from mdissect.trust.prompts import prompt_cards
from mdissect.trust.readers import Agreement, names_label, reader_agreement, share_interval
from mdissect.trust.report_card import report_card, unknown_concepts, without_concepts
from mdissect.trust.stability import fewer_patients, sensitivity, stability

__all__ = [
    "Agreement", "TooLittleKnownError", "against_random_axes", "agreement", "clarity", "clarity_by_layer", "class_accuracy",
    "compare_baselines",
    "concept_presence", "constant_label", "count_interval", "count_intervals", "dissect_digits", "dissector_card",
    "fewer_patients", "held_out_auc", "indicators", "is_phantom", "known_presence", "label_precision", "linear_by_layer",
    "linear_labels", "mapped_presence", "names_label", "paired", "paired_summary", "passing_share", "predicts", "prompt_cards",
    "reader_agreement", "recentred_interval", "report_card", "resampled_labels", "resampled_margins", "resampled_neuron",
    "sensitivity", "share_interval", "stability", "tau_intervals", "unknown_concepts", "with_count_intervals",
    "without_concepts",
]  # fmt: skip
