"""Image classifiers and image models of transformers as targets, read from a local folder or the hub's cache."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from mdissect.arguments import listed, shown
from mdissect.models.checkpoints import CheckpointError, is_safetensors, weights_fingerprint
from mdissect.models.configs import building, check_fields, check_transformer, one_number_or_list, read_settings
from mdissect.models.families import NAFLEX, TAKEN_BY
from mdissect.models.first_use import note_use
from mdissect.models.target import Target, as_layers, default_layers, freeze
from mdissect.models.weights import weights_in
from mdissect.preprocess import Preprocess

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # as PIL numbers them
HEADED = "ForImageClassification"


def load_hf(
    name: str,
    *,
    path: str | Path | None = None,
    layers: str | Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    strict: bool = True,
) -> Target:
    """An image classifier, or an image model without a head, of transformers.

    >>> load_target("hf/microsoft/resnet-50").layers                                # doctest: +SKIP
    >>> load_target("hf", path="/data/my_vit").classes                              # doctest: +SKIP

    Nothing is downloaded, and no code of a repository is run.

    Parameters
    ----------
    name : str
        A repository of the Hugging Face hub, "microsoft/resnet-50", that is in the hub's cache on this machine; empty with
        `path`.
    path : path, optional
        A folder with config.json, preprocessor_config.json (unless `preprocess` is given) and model.safetensors or
        pytorch_model.bin.
    layers : str or sequence of str, optional
        By default `default_layers`.
    preprocess : Preprocess, optional
        By default the folder's own mean, deviation, size and interpolation; the whole image is resized, not cropped.
    strict : bool
        False: load what fits and note what does not.

    Raises
    ------
    CheckpointError
        No such folder or cached repository, a model that is not of images or has a loader of its own, or weights that do not
        fit.
    """
    folder = _folder(name, path)
    settings = read_settings(folder / CONFIG)
    module, notes = _read(_architecture(settings, folder / CONFIG), settings, folder, strict)
    if preprocess is None:
        preprocess = read_preprocess(folder / PREPROCESSOR)
        notes.append(f"preprocessing as {PREPROCESSOR} gives it, the whole image resized: {preprocess}")
    freeze(module)
    chosen = default_layers(module) if layers is None else as_layers(layers)
    return Target(
        f"hf/{name or folder.name}",
        module,
        preprocess,
        chosen,
        weights_fingerprint(module),
        tuple(notes),
        classes=_classes(settings, module),
    )


def read_preprocess(path: Path) -> Preprocess:
    """The image preparation of a preprocessor_config.json; CheckpointError for one that `Preprocess` cannot express."""
    settings = read_settings(path, "give preprocess=Preprocess(...)")
    if settings.get("do_normalize", True):
        checks = dict.fromkeys(("image_mean", "image_std"), one_number_or_list)
        check_fields(settings, checks, path, needed=tuple(checks))
        mean, std = (tuple(v) if isinstance(v, list) else v for v in (settings["image_mean"], settings["image_std"]))
    else:
        mean, std = 0.0, 1.0
    factor = settings.get("rescale_factor", 1 / 255)
    if not settings.get("do_rescale", True) or not isinstance(factor, float) or abs(factor * 255 - 1) > 1e-3:
        raise CheckpointError(
            f"{path} scales pixel values by {shown(factor if settings.get('do_rescale', True) else 1)}, not by 1 / 255; give "
            "preprocess=Preprocess(...)"
        )
    resample = settings.get("resample", 2)
    if resample not in INTERPOLATIONS:
        raise CheckpointError(f"{path} has resample={shown(resample)}; known: 2 (bilinear), 3 (bicubic); give preprocess=")
    with building(path):
        return Preprocess(size=_size(settings, path), scale="dtype", mean=mean, std=std, interpolation=INTERPOLATIONS[resample])


def _size(settings: dict, path: Path) -> tuple[int, int]:
    """Height and width of what the model sees: after the crop, where there is one."""
    cropped = settings.get("crop_size") if settings.get("do_center_crop") else None
    size = cropped or settings.get("size")
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict):
        if {"height", "width"} <= size.keys():
            return size["height"], size["width"]
        if "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
    raise CheckpointError(f"{path} has size={shown(size)}; expected height and width, or shortest_edge; give preprocess=")


def _folder(name: str, path: str | Path | None) -> Path:
    """The folder of a model: the given one, or the hub's cached snapshot."""
    if path is not None:
        if name:
            raise ValueError(
                f"path={str(path)!r} and the name {name!r} are both given: load_target('hf', path=...) takes a folder"
            )
        if not Path(path).is_dir():
            raise CheckpointError(f"{path} is no folder; one with {CONFIG} and {WEIGHTS[0]} is needed")
        return Path(path)
    if not name:
        raise ValueError("'hf' needs path=<a folder of a model>, or a repository's name: 'hf/microsoft/resnet-50'")
    from huggingface_hub import try_to_load_from_cache

    with building(f"hf/{name}"):
        found = try_to_load_from_cache(name, CONFIG)
    if not isinstance(found, str):
        raise CheckpointError(
            f"{name!r} is not in the hub's cache on this machine: fetch it where there is a network (hf download "
            f"{name}) or give path=<its folder>"
        )
    return Path(found).parent


def _architecture(settings: dict, source: Path) -> type:
    """The class of transformers that a config describes: the classifier, or the network without a head."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_MAPPING

    kind = settings.get("model_type")
    if isinstance(kind, str) and kind in TAKEN_BY:
        raise CheckpointError(f"{source} describes {kind!r}, an image-text model: load_target({TAKEN_BY[kind]!r}, path=...)")
    if kind == "siglip2":
        raise CheckpointError(f"{source} describes {kind!r}: {NAFLEX}")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        own = "; code that lies in the repository is not run" if "auto_map" in settings else ""
        raise CheckpointError(f"{source} describes {shown(kind)}, which this version of transformers does not know{own}")
    check_transformer(settings, source)
    config = CONFIG_MAPPING[kind]
    if config not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise CheckpointError(f"{source} describes {kind!r}, which is no image classifier or image model of transformers")
    headed = any(str(name).endswith(HEADED) for name in settings.get("architectures") or [])
    known = (MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING if headed else MODEL_MAPPING)[config]
    return known[0] if isinstance(known, tuple) else known


def _read(architecture: type, settings: dict, folder: Path, strict: bool) -> tuple[nn.Module, list[str]]:
    """The network with its weights, which transformers reads because it renames them; and notes on what does not fit."""
    path = weights_in(folder, *WEIGHTS)
    safe = is_safetensors(path)  # complete, and no archive or pickle of another kind
    note_use(path)
    with torch.random.fork_rng(devices=[]), building(folder / CONFIG):
        config = architecture.config_class.from_dict(settings)
        architecture(config)  # what is wrong with the settings shows here
    with torch.random.fork_rng(devices=[]), _quietly():
        try:
            module, report = architecture.from_pretrained(
                folder, config=config, local_files_only=True, use_safetensors=safe, weights_only=True, output_loading_info=True,
                ignore_mismatched_sizes=True,
            )  # fmt: skip
        except Exception as error:  # the library raises whatever its code stumbles over
            raise CheckpointError(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    other = sorted(str(one[0] if isinstance(one, tuple) else one) for one in report["mismatched_keys"])
    faults = {
        "missing in the file": sorted(set(report["missing_keys"]) - set(other)),
        "unexpected in the file": sorted(report["unexpected_keys"]),
        "of another shape": other,
    }
    told = [f"{len(names)} weights {what}: {listed(names)}" for what, names in faults.items() if names]
    if strict and (faults["missing in the file"] or faults["of another shape"]):
        raise CheckpointError(
            f"{path}: the weights do not fit {architecture.__name__}: {'; '.join(told)}; it belongs to another "
            "architecture, or strict=False loads the rest and notes the gaps"
        )
    return module, told


@contextmanager
def _quietly() -> Iterator[None]:
    """transformers without its warnings and bars: what does not fit is told by mdissect."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _classes(settings: dict, module: nn.Module) -> tuple[str, ...]:
    """The names of the outputs, where the config has them."""
    named = settings.get("id2label")
    if not type(module).__name__.endswith(HEADED) or not isinstance(named, dict):
        return ()
    names = tuple(str(named.get(str(i), "")) for i in range(len(named)))
    return names if all(names) else ()
