"""How good an image-text model is: zero-shot classification, retrieval, and what few labels make of its image tower.

By the protocol of Mammo-CLIP's evaluation, with intervals over patients, beside the numbers that were published.
"""

# At once, not on first use: functions bear the names of their modules, which would take their place.
from mdissect.evaluate.dissector import evaluate_dissector
from mdissect.evaluate.options import PARTS, EvaluationOptions
from mdissect.evaluate.published import PUBLISHED, against_published
from mdissect.evaluate.result import Evaluation
from mdissect.evaluate.subsets import nested_subsets
from mdissect.metrics import found_within

__all__ = [
    "PARTS", "PUBLISHED", "Evaluation", "EvaluationOptions", "against_published", "evaluate_dissector", "found_within",
    "nested_subsets",
]  # fmt: skip
