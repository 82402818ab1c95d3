"""The shipped demo models: reading them from data/demo and writing them after training."""

import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from mdissect.checkpoints import CheckpointError, load_weights, read_state_dict
from mdissect.models import ImageTextDissector, Target, as_layers, register_dissector, register_target
from mdissect.paths import data_dir
from mdissect.preprocess import Preprocess
from mdissect.tokens import WordPieceTexts
from mdissect.towers import ImageTextModel, build_image_text

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
REBUILD = "`python -m mdissect.phantom.train` makes the demo models"


@register_target("demo", usage="demo/<name>")
def load_demo_target(name: str, *, layers: str | Sequence[str] | None = None) -> Target:
    """The image tower of a demo model; `layers` replaces the default layers of its config."""
    dissector, defaults = _read_demo(*_located(name))
    return Target(
        name=f"demo/{name}",
        module=dissector.image_tower,
        preprocess=dissector.preprocess,
        layers=defaults if layers is None else as_layers(layers),
        fingerprint=dissector.image_fingerprint,
    )


@register_dissector("demo", usage="demo/<name>")
def load_demo_dissector(name: str) -> ImageTextDissector:
    """Both towers of a demo model, the image tower shared with the target of the same name."""
    return _read_demo(*_located(name))[0]


def save_demo(model: ImageTextModel, directory: str | Path, config: dict) -> None:
    """Write a demo model: config.json and model.safetensors, floating-point weights as float16.

    The tokenizer is shared and stands in the parent directory (`WordPieceTexts.save`).

    Parameters
    ----------
    model : ImageTextModel
        Built from `config` by `build_image_text`.
    directory : path
        Made when it does not exist; its last part is the model's name.
    config : dict
        The architecture (`mdissect.towers.default_config`) with "preprocess" (the fields of Preprocess), "layers" (default
        layers) and "aligned" (bool).

    Raises
    ------
    ValueError
        The config lacks a key, does not describe the model, or a weight is not finite as float16.
    """
    from safetensors.torch import save_file

    _parse(config, "config")
    load_weights(build_image_text(config), model.state_dict())
    tensors = {}
    for name, tensor in model.state_dict().items():
        small = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(small).all():
            raise ValueError(f"weight {name} is not finite as float16 (largest value {tensor.abs().max():.3g})")
        tensors[name] = small.cpu().contiguous()
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    unfinished = directory / f"{WEIGHTS}.part"
    save_file(tensors, unfinished)
    os.replace(unfinished, directory / WEIGHTS)


def _located(name: str) -> tuple[str, tuple]:
    """The folder of a demo model and the state of its files: what a reading may be reused for."""
    root = data_dir() / "demo"
    folder = root / name
    if not name or not (folder / CONFIG).is_file():
        known = sorted(path.parent.name for path in root.glob(f"*/{CONFIG}"))
        listed = ", ".join(f"demo/{other}" for other in known) or "none yet"
        raise ValueError(f"no demo model {name!r} in {root}; there: {listed}; {REBUILD}")
    needed = [folder / CONFIG, folder / WEIGHTS, root / TOKENIZER]
    absent = [str(path) for path in needed if not path.is_file()]
    if absent:
        raise CheckpointError(f"demo/{name} is incomplete, it lacks {', '.join(absent)}; {REBUILD}")
    return str(folder), tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in needed)


@lru_cache(maxsize=8)
def _read_demo(folder: str, stamp: tuple) -> tuple[ImageTextDissector, tuple[str, ...]]:
    """The model in a folder and its default layers. `stamp` only tells one state of the files from the next."""
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is no JSON ({error}); {REBUILD}") from error
    preprocess, layers = _parse(config, folder / CONFIG)
    tokenizer = WordPieceTexts(folder.parent, max_length=config["text"]["max_positions"])
    if tokenizer.vocab_size != config["text"]["vocab_size"]:
        raise CheckpointError(
            f"{folder.parent / TOKENIZER} has {tokenizer.vocab_size} entries, but {folder / CONFIG} was made for "
            f"{config['text']['vocab_size']}: they belong to different trainings; {REBUILD}"
        )
    model = build_image_text(config)
    state, _ = read_state_dict(folder / WEIGHTS)
    load_weights(model, state)
    notes = () if config["aligned"] else ("its two towers were never aligned: similarities to texts are random",)
    name = f"demo/{folder.name}"
    return ImageTextDissector(name, model, tokenizer, preprocess, aligned=config["aligned"], notes=notes), layers


def _parse(config: dict, source: object) -> tuple[Preprocess, tuple[str, ...]]:
    """Preprocessing and default layers of a demo model's config, checked."""
    lacking = [key for key in ("image", "text", "embed_dim", "preprocess", "layers", "aligned") if key not in config]
    if lacking:
        raise CheckpointError(f"{source} lacks {', '.join(lacking)}: is it the config of a demo model?")
    try:
        preprocess = Preprocess(**config["preprocess"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}, preprocess: {error}") from error
    return preprocess, tuple(config["layers"])
