"""What has this network learnt? Concept labels for the neurons of mammography models.

The names below are the whole public surface that a notebook needs; each is imported on first use, so that
``import mdissect`` stays quick.
"""

from mdissect.registry import hand_on

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "concepts": "ConceptSet load_concepts",
        "dissection": "Dissection",
        "embed": "PassOptions",
        "explorers": "explore explore_concepts explore_models",
        "method": "dissect",
        "models": "Dissector Target load_dissector load_target",
        "preprocess": "Preprocess",
        "probes": "Probe load_probe",
    },
    modules=("analysis", "calibrate", "hooks", "localize", "plots", "similarity", "study"),
)
