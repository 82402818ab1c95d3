"""Targets and dissectors, made from a name or a module."""

from collections.abc import Sequence

import torch
from torch import nn

from mdissect.models.checkpoints import weights_fingerprint
from mdissect.models.dissector import Dissector
from mdissect.models.target import Target, as_layers, default_layers
from mdissect.models.untrained import random_projection as scrambled
from mdissect.models.untrained import untrained as before_training
from mdissect.preprocess import Preprocess
from mdissect.registry import Registry, call
from mdissect.signatures import ANYTHING, validated

_TARGETS = Registry(
    "target",
    "or an nn.Module with preprocess=",
    {
        "clip": ("mdissect.models.clip:load_clip_target", "clip"),
        "demo": ("mdissect.models.demo:load_demo_target", "demo/<name>"),
        "general": ("mdissect.models.general:load_general_target", "general"),
        "mammo-classifier": ("mdissect.models.mammo_clip:load_mammo_classifier", "mammo-classifier/<task>"),
        "mammo-clip": ("mdissect.models.mammo_clip:load_mammo_clip_target", "mammo-clip[/b2]"),
        "timm": ("mdissect.models.timm_model:load_timm", "timm/<name>"),
    },
)
_DISSECTORS = Registry(
    "dissector",
    "or a Dissector",
    {
        "clip": ("mdissect.models.clip:load_clip_dissector", "clip"),
        "demo": ("mdissect.models.demo:load_demo_dissector", "demo/<name>"),
        "general": ("mdissect.models.general:load_general_dissector", "general"),
        "labels": ("mdissect.models.oracle:load_labels", "labels"),
        "mammo-clip": ("mdissect.models.mammo_clip:load_mammo_clip_dissector", "mammo-clip[/b2]"),
    },
)
# Decorators for loaders of one's own: @register_target("mine", usage="mine/<name>") above a function
# (rest of the name, **options).
register_target = _TARGETS.register
register_dissector = _DISSECTORS.register
# The options that the loader of a name takes, with their defaults: target_options("timm/resnet18").
target_options = _TARGETS.options
dissector_options = _DISSECTORS.options


@validated(spec=ANYTHING)
def load_target(spec: "str | nn.Module | Target", *, untrained: int | None = None, **options) -> Target:
    """The model to dissect, by name or from a torch module.

    >>> load_target("timm/resnet18", checkpoint="weights.safetensors")                      # doctest: +SKIP
    >>> load_target(my_module, preprocess=Preprocess(size=(512, 320)), layers=["layer4"])    # doctest: +SKIP

    Parameters
    ----------
    spec : str, nn.Module or Target
        "demo/mammo", "mammo-clip", "mammo-classifier" (options: see `mdissect.models.mammo_clip`), "general", "clip",
        "timm/<name>" (options: see `mdissect.models.timm_model.load_timm`). A Target passes through. A module is wrapped: it is
        put into eval mode and its maps into channels-last order, in place.
    untrained : int, optional
        A seed: the same architecture before any training (see `mdissect.models.untrained.untrained`).
    **options
        For a module: preprocess (a `Preprocess`, required), layers (module paths; by default about three, spread over the
        depth: see `default_layers`), name.

    Raises
    ------
    ValueError
        Unknown name or task (the known ones and the closest are listed).
    TypeError
        An option that this kind of target does not take.
    MissingWeightsError
        Weights that are missing or unusable, all in one error: what to get, from where, and where to put it.
    CheckpointError
        Weights of something else, or ones that do not fit.
    """
    if isinstance(spec, Target):
        target = _pass_through(spec, "Target", options)
    elif isinstance(spec, nn.Module):
        target = call(_wrap, f"target {type(spec).__name__}", options, spec)
    else:
        target = _TARGETS.load(spec, options)
    if untrained is None:
        return target
    return before_training(target, untrained)


@validated(spec=ANYTHING)
def load_dissector(spec: "str | Dissector", *, random_projection: int | None = None, **options) -> Dissector:
    """The dissector of a name: it compares images with concepts.

    >>> load_dissector("demo/mammo").embed_texts(["spiculated mass"]).shape
    torch.Size([1, 128])

    Parameters
    ----------
    spec : str or Dissector
        "demo/mammo", "demo/general", "demo/clip", "mammo-clip" (options: see `mdissect.models.mammo_clip`), "general", "clip",
        "labels" (options: see `mdissect.models.oracle.load_labels`). A Dissector passes through.
    random_projection : int, optional
        A seed: the same towers, their images and texts scrambled (see `mdissect.models.untrained.random_projection`).

    Raises
    ------
    ValueError, TypeError, MissingWeightsError, CheckpointError
        As `load_target`; CheckpointError also for a text tower without a real vocabulary.
    """
    dissector = _pass_through(spec, "Dissector", options) if isinstance(spec, Dissector) else _DISSECTORS.load(spec, options)
    if random_projection is None:
        return dissector
    return scrambled(dissector, random_projection)


def _wrap(
    module: nn.Module,
    *,
    preprocess: Preprocess | None = None,
    layers: Sequence[str] | None = None,
    name: str | None = None,
) -> Target:
    """A Target of a given module. Its gradients stay as they are: it may be in training."""
    if not isinstance(preprocess, Preprocess):
        found = "none was given" if preprocess is None else f"{type(preprocess).__name__} was given"
        raise TypeError(
            f"a module of your own needs preprocess=mdissect.Preprocess(size=(height, width), ...), the way its images are "
            f"prepared; {found}"
        )
    module.eval().to(memory_format=torch.channels_last)
    chosen = default_layers(module) if layers is None else as_layers(layers)
    notes = (f"layers chosen by default: {', '.join(chosen)}",) if layers is None else ()
    return Target(name or type(module).__name__, module, preprocess, chosen, weights_fingerprint(module), notes)


def _pass_through(model, kind: str, options: dict):
    if options:
        raise TypeError(f"a finished {kind} takes no options, found {', '.join(options)}")
    return model
