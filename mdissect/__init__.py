"""What has this network learnt? Concept labels for the neurons of mammography models.

The names below are the whole public surface that a notebook needs; each is imported on first use, so that
``import mdissect`` stays quick.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {
    "ConceptSet": "concepts",
    "load_concepts": "concepts",
    "Probe": "probes",
    "load_probe": "probes",
    "Preprocess": "preprocess",
    "Target": "models",
    "load_target": "models",
    "Dissector": "models",
    "load_dissector": "models",
    "Dissection": "dissection",
    "dissect": "method",
    "explore": "explorer",
    "explore_concepts": "concept_explorer",
    "explore_models": "compare_explorer",
    "PassOptions": "embed",
}
_MODULES = ("analysis", "calibrate", "hooks", "localize", "plots", "similarity", "study")
__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str):
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"mdissect.{_HOMES[name]}"), name)
        return value
    if name in _MODULES:
        return import_module(f"mdissect.{name}")
    raise AttributeError(f"module 'mdissect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
