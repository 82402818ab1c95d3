"""The shipped demo models: reading them from data/demo and writing them after training."""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import nn

from mdissect.arguments import true_or_false
from mdissect.files import checksum, text_bytes, without_folders, write_atomically
from mdissect.models.architecture import Architecture, tower_settings
from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.configs import COUNT, WIDTH, building, check_fields, check_transformer, read_settings, text_list
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.dissector_later import FINGERPRINTS, DissectorLater, fingerprints_of
from mdissect.models.first_use import note_use
from mdissect.models.fitting import fill, load_weights
from mdissect.models.later import Later, on_record, put_on_record, record_key
from mdissect.models.target import Target, as_layers, freeze
from mdissect.models.text_towers import tokens_of
from mdissect.models.tokens import WordPieceTexts
from mdissect.models.towers import ImageTextModel, build_image_text, small_efficientnet
from mdissect.paths import data_dir, data_dirs, in_data
from mdissect.preprocess import Preprocess
from mdissect.signatures import validated

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
CLASSIFIER = "classifier"
IMAGE_TEXT_KEYS = ("image", "text", "embed_dim", "preprocess", "layers", "aligned")
CLASSIFIER_KEYS = ("image", "base", "task", "classes", "preprocess", "layers")
_FIELDS = {"embed_dim": WIDTH, "layers": text_list, "classes": text_list, "aligned": true_or_false}
_IMAGE_FIELDS = {"stem": WIDTH, "features": WIDTH}
_TEXT_FIELDS = dict.fromkeys(("vocab_size", "hidden_size", "intermediate_size", "max_positions"), WIDTH) | dict.fromkeys(
    ("layers", "heads"), COUNT
)
REBUILD = "`python -m mdissect pretrain` makes the demo models and classifiers again"


def load_demo_target(name: str, *, layers: str | Sequence[str] | None = None) -> Target:
    """The image tower of a demo model, or a demo classifier; `layers` replaces the default layers of its config."""
    return _target_in(demo_folder(name), name, layers)


def load_demo_folder(folder: Path, *, layers: str | Sequence[str] | None = None) -> Target:
    """The same for a folder anywhere: that of a demo model or of a classifier fine-tuned from one."""
    return _target_in(folder, folder.name, layers)


def load_demo_dissector(name: str) -> ImageTextDissector:
    """Both towers of a demo model, the image tower shared with the target of the same name."""
    folder = demo_folder(name)
    if _is_classifier(config := read_config(folder)):
        raise ValueError(
            f"demo/{name} is a classifier of {config.get('task')}: it has no text tower and cannot compare images with texts; "
            f"load_target('demo/{name}') takes it as the target, and a dissector is {config.get('base')}"
        )
    return _read_demo(str(folder), _stamp(folder, config))[0]


def _target_in(folder: Path, name: str, layers: str | Sequence[str] | None) -> Target:
    if _is_classifier(config := read_config(folder)):
        target = _read_classifier(str(folder), _stamp(folder, config))
        return target if layers is None else target.changed(layers=as_layers(layers))
    dissector, defaults = _read_demo(str(folder), _stamp(folder, config))
    return Target(
        name=f"demo/{name}",
        module=dissector.network.part("image_tower"),
        preprocess=dissector.preprocess,
        layers=defaults if layers is None else as_layers(layers),
        fingerprint=dissector.image_fingerprint,
    )


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
        The architecture (`mdissect.models.default_config`) with "preprocess" (the fields of Preprocess), "layers" (default
        layers) and "aligned" (bool).

    Raises
    ------
    ValueError
        A key is missing in the config, it does not describe the model, or a weight is not finite as float16.
    """
    _parse(config, "config")
    load_weights(build_image_text(config), model.state_dict())
    _write(model, Path(directory), config)


def save_demo_classifier(module: nn.Module, directory: str | Path, config: dict) -> None:
    """Write a demo classifier: files, directory and errors as for `save_demo`.

    Parameters
    ----------
    module : nn.Module
        Built from `config` by `build_demo_classifier`, or its like.
    config : dict
        "kind": "classifier", "base" (the model that it was fine-tuned from), "task", "classes" (names, in the order of the
        outputs; of two the second is the single output's), "image" (architecture of the tower), "preprocess", "layers", and
        whatever else is worth knowing.
    """
    _parse(config, "config", CLASSIFIER_KEYS)
    load_weights(build_demo_classifier(config), module.state_dict())
    _write(module, Path(directory), {**config, "kind": CLASSIFIER})


def build_demo_classifier(config: dict) -> nn.Module:
    """The image tower of a demo model with one linear layer, with random weights; see `save_demo_classifier`."""
    tower = small_efficientnet(**config["image"])
    n_classes = len(config["classes"])
    tower.reset_classifier(1 if n_classes == 2 else n_classes, config["image"]["pool"])
    return tower


def demo_folder(name: str) -> Path:
    """The folder of a demo model; ValueError, with the known ones, if it does not exist."""
    folder = in_data("demo", name, CONFIG).parent
    if not name or not (folder / CONFIG).is_file():
        known = sorted({path.parent.name for root in data_dirs() for path in (root / "demo").glob(f"*/{CONFIG}")})
        listed = ", ".join(f"demo/{other}" for other in known) or "none yet"
        raise ValueError(f"no demo model {name!r} in {data_dir() / 'demo'}; there: {listed}; {REBUILD}")
    return folder


@validated()
def has_demo(spec: str) -> bool:
    """Whether a demo model such as "demo/mammo" is there."""
    try:
        return bool(demo_folder(spec.removeprefix("demo/")))
    except ValueError:
        return False


def files_digest(name: str) -> str:
    """A hash of all files that a demo model is read from: equal files, equal model; line endings are ignored."""
    return _digest_of(demo_folder(name))


def _digest_of(folder: Path) -> str:
    files = {folder / CONFIG: text_bytes, folder / WEIGHTS: Path.read_bytes, folder.parent / TOKENIZER: text_bytes}
    parts = [hashlib.sha256(read(path)).digest() for path, read in files.items() if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def read_config(folder: Path) -> dict:
    """The config.json of a demo model; CheckpointError if it is not a JSON object."""
    return read_settings(folder / CONFIG, REBUILD)


def _write(module: nn.Module, directory: Path, config: dict) -> None:
    """Write the weights, then the config with their checksum, each completely or not at all."""
    from safetensors.torch import save

    tensors = {}
    for name, tensor in module.state_dict().items():
        small = tensor.half() if tensor.is_floating_point() else tensor
        if not torch.isfinite(small).all():
            raise ValueError(f"weight {name} is not finite as float16 (largest value {tensor.abs().max():.3g})")
        tensors[name] = small.cpu().contiguous()
    data = save(tensors, {CONFIG: "names the checksum"})
    write_atomically(directory / WEIGHTS, data)
    note_use(directory / WEIGHTS, vouched=True)
    text = json.dumps({**without_folders(config), "checksum": checksum(data)}, indent=2) + "\n"
    write_atomically(directory / CONFIG, text.encode())


def _check_pair(folder: Path, config: dict) -> None:
    """Raise CheckpointError unless the weights have the checksum in the config; older models have none."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "pt") as weights:
        named = CONFIG in (weights.metadata() or {})
    if (named or "checksum" in config) and config.get("checksum") != checksum((folder / WEIGHTS).read_bytes()):
        raise CheckpointError(f"{folder / WEIGHTS} is damaged, or of another training than its {CONFIG}; {REBUILD}")
    if "checksum" in config:
        note_use(folder / WEIGHTS, vouched=True)


def _is_classifier(config: dict) -> bool:
    return config.get("kind") == CLASSIFIER


def _stamp(folder: Path, config: dict) -> tuple:
    """The state of a demo model's files, as a key of the cache."""
    shared = [] if _is_classifier(config) else [folder.parent / TOKENIZER]
    needed = [folder / CONFIG, folder / WEIGHTS, *shared]
    if absent := [str(path) for path in needed if not path.is_file()]:
        raise CheckpointError(f"demo/{folder.name} is incomplete; missing: {', '.join(absent)}; {REBUILD}")
    return tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in needed)


@lru_cache(maxsize=8)
def _read_classifier(folder: str, stamp: tuple) -> Target:
    """The classifier in a folder. `stamp` is the state of its files: after a change they are read again."""
    folder = Path(folder)
    config = read_config(folder)
    preprocess, layers = _parse(config, folder / CONFIG, CLASSIFIER_KEYS)
    key = record_key(CLASSIFIER, _digest_of(folder))
    module = Later(partial(_build_classifier, folder, key))
    known = on_record(key, {"fingerprint": str}) or {"fingerprint": weights_fingerprint(module())}
    note = f"{config['base']} fine-tuned to tell {config['task']}: {', '.join(config['classes'])}"
    name, classes = f"demo/{folder.name}", tuple(config["classes"])
    return Target(name, module, preprocess, layers, known["fingerprint"], (note,), classes)


def _build_classifier(folder: Path, key: str) -> nn.Module:
    """The network of a classifier, put on record under a key."""
    config = read_config(folder)
    with building(folder / CONFIG):
        module = build_demo_classifier(config)
    fill(module, folder / WEIGHTS)
    _check_pair(folder, config)
    put_on_record(key, {"fingerprint": weights_fingerprint(freeze(module))})
    return module


@lru_cache(maxsize=8)
def _read_demo(folder: str, stamp: tuple) -> tuple[DissectorLater, tuple[str, ...]]:
    """The model in a folder and its default layers. `stamp` is the state of its files: after a change they are read again."""
    folder = Path(folder)
    config = read_config(folder)
    preprocess, layers = _parse(config, folder / CONFIG)
    key, tokenizer = record_key(_digest_of(folder)), partial(_tokenizer, folder, config)
    network = Later(partial(_build_demo, folder, key))
    known = on_record(key, dict.fromkeys(FINGERPRINTS, str)) or fingerprints_of(network(), tokenizer(), preprocess)
    notes = () if config["aligned"] else ("its two towers were never aligned: similarities to texts are random",)
    name = f"demo/{folder.name}"
    architecture = partial(demo_architecture, config, layers)
    found = DissectorLater(
        name, network, tokenizer, preprocess, known, aligned=config["aligned"], notes=notes, architecture=architecture
    )
    return found, layers


def _build_demo(folder: Path, key: str) -> ImageTextModel:
    """Both towers of a demo model, put on record under a key."""
    config = read_config(folder)
    tokenizer, (preprocess, _) = _tokenizer(folder, config), _parse(config, folder / CONFIG)
    with building(folder / CONFIG):
        model = build_image_text(config)
    fill(model, folder / WEIGHTS)
    _check_pair(folder, config)
    put_on_record(key, fingerprints_of(freeze(model), tokenizer, preprocess))
    return model


def _tokenizer(folder: Path, config: dict) -> WordPieceTexts:
    """The demo models' tokenizer; CheckpointError if it is not the one of this model."""
    tokenizer = WordPieceTexts(folder.parent, max_length=config["text"]["max_positions"])
    if tokenizer.vocab_size != config["text"]["vocab_size"]:
        raise CheckpointError(
            f"{folder.parent / TOKENIZER} has {tokenizer.vocab_size} entries, but {folder / CONFIG} was made for "
            f"{config['text']['vocab_size']}: they belong to different trainings; {REBUILD}"
        )
    return tokenizer


def demo_architecture(config: dict, layers: Sequence[str], model: ImageTextModel, tokenizer: WordPieceTexts) -> Architecture:
    """What builds a demo model again, as other image-text models say it."""
    return Architecture(
        image={"kind": "small", "options": {**config["image"]}},
        text=tower_settings(model.text_tower.config.to_dict()),
        tokens=tokens_of(tokenizer),
        image_features=config["image"]["features"],
        text_features=config["text"]["hidden_size"],
        embed_dim=config["embed_dim"],
        image_pool=config["image"]["pool"],
        text_pool=config["text"]["pool"],
        layers=tuple(layers),
    )


def _parse(config: dict, source: object, keys: Sequence[str] = IMAGE_TEXT_KEYS) -> tuple[Preprocess, tuple[str, ...]]:
    """Preprocessing and default layers of a demo model's config, checked."""
    if missing := [key for key in keys if key not in config]:
        raise CheckpointError(f"{source} has no {', '.join(missing)}: is it the config of a demo model?")
    check_fields(config, {name: check for name, check in _FIELDS.items() if name in keys}, source)
    check_fields(config["image"], _IMAGE_FIELDS, f"{source}, image")
    if "text" in keys:
        check_fields(config["text"], _TEXT_FIELDS, f"{source}, text", needed=tuple(_TEXT_FIELDS))
        sizes = {"num_hidden_layers": "layers", "hidden_size": "hidden_size", "intermediate_size": "intermediate_size"}
        check_transformer({theirs: config["text"][ours] for theirs, ours in sizes.items()}, f"{source}, text")
    try:
        preprocess = Preprocess(**config["preprocess"])
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}, preprocess: {error}") from error
    return preprocess, tuple(config["layers"])
