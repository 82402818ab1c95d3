"""The paper's setups and questions.

Profiles and what one opens of them, single neurons, coverage, gaps, scores, and the paper's findings as criteria.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "answers": "Answer explained",
        "neuron_case": "NeuronCase",
        "checked": "by_dissector checked_labels label_numbers with_evidence",
        "claims": "Claim",
        "gaps": "GAPS against_texts gap_check missed_against_texts reached_by_group said_in_texts",
        "latents": "Latents other_patients with_latents",
        "locations": "locations_file with_local_paths",
        "opening": "chosen open_study store_dir",
        "pairs": "Pair compare_pair",
        "pretraining": "evaluated fine_tuned localised small_pretraining studies_shown",
        "profiles": "PAPER Profile ProbeSpec Setup",
        "scores": "classifier_scores in_words",
        "simulated": "made_up_readers true_verdicts",
        "study": "Study",
        "trainings": "by_training further_trainings recurring thresholds_by_training varied with_spread",
        "uses": "used_categories",
    },
    modules=(
        "cases",
        "causal_sentences",
        "claims",
        "coverage",
        "evaluation_sentences",
        "evidence_sentences",
        "findings",
        "marked",
        "neuron_sentences",
        "prediction_sentences",
        "pretraining_sentences",
        "reader_sentences",
        "rule_sentences",
        "rules",
        "sae_sentences",
        "sentences",
        "speed",
        "speed_sentences",
        "trust_sentences",
        "word_sentences",
    ),
)
