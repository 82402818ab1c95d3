"""Explorers: widgets that show a neuron, a concept across models, or a channel across models.

One view, search, gallery, bars, figures and verdicts, shared by the three.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "changes": "channels",
        "compare": "CompareExplorer",
        "concept": "ConceptExplorer",
        "explore": "explore explore_concepts explore_models",
        "neuron": "Explorer",
        "saving": "labels_table",
        "verdicts": "Notes",
    },
)
