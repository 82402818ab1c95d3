"""Targets and dissectors, made from a name or a module."""

import os
from collections.abc import Sequence
from pathlib import Path

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
        "clip": ("mdissect.models.clip:load_clip_target", "clip[/<repository>]"),
        "demo": ("mdissect.models.demo:load_demo_target", "demo/<name>"),
        "general": ("mdissect.models.general:load_general_target", "general"),
        "hf": ("mdissect.models.hf:load_hf", "hf/<repository>"),
        "mammo-classifier": ("mdissect.models.mammo_clip:load_mammo_classifier", "mammo-classifier/<task>"),
        "mammo-clip": ("mdissect.models.mammo_clip:load_mammo_clip_target", "mammo-clip[/b2]"),
        "mammo-fm": ("mdissect.models.mammo_fm:load_mammo_fm_target", "mammo-fm"),
        "open_clip": ("mdissect.models.open_clip:load_open_clip_target", "open_clip[/<repository>]"),
        "siglip": ("mdissect.models.siglip:load_siglip_target", "siglip[/<repository>]"),
        "timm": ("mdissect.models.timm_model:load_timm", "timm/<name>"),
    },
)
_DISSECTORS = Registry(
    "dissector",
    "or a Dissector",
    {
        "clip": ("mdissect.models.clip:load_clip_dissector", "clip[/<repository>]"),
        "demo": ("mdissect.models.demo:load_demo_dissector", "demo/<name>"),
        "general": ("mdissect.models.general:load_general_dissector", "general"),
        "labels": ("mdissect.models.oracle:load_labels", "labels"),
        "mammo-clip": ("mdissect.models.mammo_clip:load_mammo_clip_dissector", "mammo-clip[/b2]"),
        "mammo-fm": ("mdissect.models.mammo_fm:load_mammo_fm_dissector", "mammo-fm"),
        "open_clip": ("mdissect.models.open_clip:load_open_clip_dissector", "open_clip[/<repository>]"),
        "siglip": ("mdissect.models.siglip:load_siglip_dissector", "siglip[/<repository>]"),
    },
)
NO_LAYERS = "its layers do not run as modules, so that no neuron can be recorded; give the Python module that it was made from"
# Decorators for loaders of one's own: @register_target("mine", usage="mine/<name>") above a function
# (rest of the name, **options).
register_target = _TARGETS.register
register_dissector = _DISSECTORS.register
# The options that the loader of a name takes, with their defaults: target_options("timm/resnet18").
target_options = _TARGETS.options
dissector_options = _DISSECTORS.options


@validated(spec=ANYTHING)
def load_target(spec: "str | Path | nn.Module | Target", *, untrained: int | None = None, **options) -> Target:
    """The model to dissect, by name or from a torch module.

    >>> load_target("timm/resnet18", checkpoint="weights.safetensors")                      # doctest: +SKIP
    >>> load_target(my_module, preprocess=Preprocess(size=(512, 320)), layers=["layer4"])    # doctest: +SKIP

    Parameters
    ----------
    spec : str, path, nn.Module or Target
        "demo/mammo", "mammo-clip", "mammo-classifier" (options: see `mdissect.models.mammo_clip`), "general", "clip", "siglip",
        "open_clip", "mammo-fm" (options: see their modules in `mdissect.models`), "timm/<name>" (options: see
        `mdissect.models.timm_model.load_timm`), "hf/<repository>" (of transformers; see `mdissect.models.hf.load_hf`), or a
        folder: that of a fine-tuning, a demo model or a model of transformers (see `mdissect.models.finetuned.load_folder`). A
        Target passes through. A module is wrapped: it is put into eval mode and its maps into channels-last order, in place.
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
    elif isinstance(spec, torch.export.ExportedProgram):
        raise TypeError(f"a program of torch.export cannot be dissected: {NO_LAYERS}")
    elif (folder := _folder_of(spec, _TARGETS)) is not None:
        from mdissect.models.finetuned import load_folder

        target = call(load_folder, f"target in {folder}", options, folder)
    else:
        target = _TARGETS.load(
            spec.replace("hf:", "hf/", 1) if isinstance(spec, str) and spec.startswith("hf:") else spec, options
        )
    if untrained is None:
        return target
    return before_training(target, untrained)


@validated(spec=ANYTHING)
def load_dissector(spec: "str | Path | Dissector", *, random_projection: int | None = None, **options) -> Dissector:
    """The dissector of a name: it compares images with concepts.

    >>> load_dissector("demo/mammo").embed_texts(["spiculated mass"]).shape
    torch.Size([1, 128])

    Parameters
    ----------
    spec : str, path or Dissector
        "demo/mammo", "demo/general", "demo/clip", "mammo-clip" (options: see `mdissect.models.mammo_clip`), "general", "clip"
        (CLIP, PubMedCLIP), "siglip" (SigLIP, SigLIP 2, MedSigLIP), "open_clip" (OpenCLIP, BiomedCLIP), "mammo-fm" (options: see
        their modules in `mdissect.models`), "labels" (options: see `mdissect.models.oracle.load_labels`), or the folder of a
        pretraining (see `mdissect.train.pretrain`). A Dissector passes through.
    random_projection : int, optional
        A seed: the same towers, their images and texts scrambled (see `mdissect.models.untrained.random_projection`).

    Raises
    ------
    ValueError, TypeError, MissingWeightsError, CheckpointError
        As `load_target`; CheckpointError also for a text tower without a real vocabulary.
    """
    if isinstance(spec, Dissector):
        dissector = _pass_through(spec, "Dissector", options)
    elif (folder := _folder_of(spec, _DISSECTORS)) is not None:
        from mdissect.models.image_text import load_image_text

        dissector = call(load_image_text, f"dissector in {folder}", options, folder)
    else:
        dissector = _DISSECTORS.load(spec, options)
    if random_projection is None:
        return dissector
    return scrambled(dissector, random_projection)


def _folder_of(spec: object, known: Registry) -> Path | None:
    """The folder that a spec names, where it is no known name; FileNotFoundError for a path to nothing."""
    if not isinstance(spec, (str, os.PathLike)):
        return None
    path = Path(spec)
    if isinstance(spec, str) and (spec.partition("/")[0] in known.entries or not spec.strip() or not path.is_dir()):
        return None
    if not path.is_dir():
        raise FileNotFoundError(
            f"{known.kind} {str(spec)!r} is {'a file' if path.exists() else 'not there'}; a folder is expected"
        )
    return path


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
    if isinstance(module, torch.jit.ScriptModule) or _is_flat_graph(module):
        raise TypeError(f"a {type(module).__name__} that was exported or scripted cannot be dissected: {NO_LAYERS}")
    module.eval().to(memory_format=torch.channels_last)
    chosen = default_layers(module) if layers is None else as_layers(layers)
    notes = (f"layers chosen by default: {', '.join(chosen)}",) if layers is None else ()
    return Target(name or type(module).__name__, module, preprocess, chosen, weights_fingerprint(module), notes)


def _is_flat_graph(module: nn.Module) -> bool:
    """Whether a module is a traced graph that calls no module (but its own check of inputs), as torch.export makes them."""
    if not isinstance(module, torch.fx.GraphModule):
        return False
    return not {node.target for node in module.graph.nodes if node.op == "call_module"} - {"_guards_fn"}


def _pass_through(model, kind: str, options: dict):
    if options:
        raise TypeError(f"a finished {kind} takes no options, found {', '.join(options)}")
    return model
