"""Families of image-text models: which loader takes a folder, and how a tower's settings become part of its fingerprint."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import nn

from mdissect.arguments import shown
from mdissect.models.checkpoints import CheckpointError
from mdissect.models.configs import check_transformer

CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
TAKEN_BY = {"clip": "clip", "siglip": "siglip"}  # model types of transformers that are image-text models, and their loaders
NAFLEX = (
    "a SigLIP 2 of variable resolution (NaFlex), which sees patches of images that keep their shape, where mdissect gives all "
    "images one size: take one of fixed resolution, such as google/siglip2-base-patch16-224"
)
TEXT_ALONE = ("bert", "modernbert", "roberta", "distilbert")


def check_folder(given: "str | Path | None", family: str) -> None:
    """CheckpointError where the given folder is one of transformers and open_clip's is wanted, or the other way round."""
    if given is None or not Path(given).is_dir():
        return
    has = {name for name in (CONFIG, OPEN_CLIP_CONFIG) if (Path(given) / name).is_file()}
    if family == "open_clip" and has == {CONFIG}:
        try:
            found = json.loads((Path(given) / CONFIG).read_text(encoding="utf-8")).get("model_type")
        except (OSError, ValueError, RecursionError, AttributeError):
            found = None
        raise CheckpointError(f"{given} holds no {OPEN_CLIP_CONFIG}; its {CONFIG} describes {shown(found)}{_advice(found)}")
    if family != "open_clip" and has == {OPEN_CLIP_CONFIG}:
        raise CheckpointError(f"{given} is a model of open_clip: load_dissector('open_clip', path=...) takes it")


def check_family(settings: Mapping, path: Path, wanted: str) -> None:
    """CheckpointError unless a config.json describes an image-text model of this type, of sizes that can be."""
    found = settings.get("model_type")
    if found != wanted:
        raise CheckpointError(f"{path} describes {shown(found)}, but a {wanted!r} is needed{_advice(found)}")
    for part in ("text_config", "vision_config"):
        check_transformer(settings.get(part) or {}, f"{path}, {part}")


def ends_of_thirds(path: str, n_blocks: int) -> list[str]:
    """The blocks that end the thirds of a list of blocks.

    >>> ends_of_thirds("encoder.layers", 12)
    ['encoder.layers.3', 'encoder.layers.7', 'encoder.layers.11']
    """
    return [f"{path}.{end - 1}" for end in sorted({-(-n_blocks * third // 3) for third in (1, 2, 3)})]


def show_settings(module: nn.Module, settings: Mapping) -> None:
    """Make settings that are no weights (numbers of heads, kinds of pooling) part of a module's printed form, hence of its
    fingerprint."""
    module.extra_repr = partial(str, json.dumps(settings, sort_keys=True, default=str))


def _advice(found: object) -> str:
    """Which loader takes a model of this type, where one does."""
    if not isinstance(found, str):
        return ""
    if found in TAKEN_BY:
        return f": load_dissector({TAKEN_BY[found]!r}, path=...) takes it"
    if found == "siglip2":
        return f": {NAFLEX}"
    if found in TEXT_ALONE:
        return ": a text model alone, without images"
    return ": load_target('hf', path=...) takes image models of transformers"
