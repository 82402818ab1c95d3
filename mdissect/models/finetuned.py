"""Classifiers that `mdissect.train.finetune` wrote, and demo models, read from the folder where they lie."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open

from mdissect.models.checkpoints import CheckpointError, is_safetensors, read_checkpoint, weights_fingerprint
from mdissect.models.configs import building, check_fields, read_settings, text_list
from mdissect.models.demo import CONFIG, WEIGHTS, load_demo_folder
from mdissect.models.families import OPEN_CLIP_CONFIG
from mdissect.models.fitting import load_weights
from mdissect.models.heads import BODY, HEAD, WithHead, attach_head
from mdissect.models.hf import load_hf
from mdissect.models.image_text import is_image_text, load_image_text_target
from mdissect.models.mammo_clip import classifier_of
from mdissect.models.state_dicts import read_state_dict
from mdissect.models.target import Target, as_layers, freeze
from mdissect.models.timm_model import load_timm
from mdissect.preprocess import Preprocess

CLASSIFIERS = ("classifier.safetensors", "classifier.pth")


def load_folder(
    folder: Path, *, base: Target | None = None, layers: str | Sequence[str] | None = None, preprocess: Preprocess | None = None
) -> Target:
    """The target whose files lie in a folder.

    >>> load_target("out/mass").classes                                         # doctest: +SKIP
    ('no mass', 'mass')

    Parameters
    ----------
    folder : path
        What `mdissect.train.finetune` or ``python -m mdissect finetune`` wrote, what `mdissect.train.pretrain` wrote, a demo
        model (config.json and model.safetensors), or a model of transformers (see `mdissect.models.hf.load_hf`).
    base : Target, optional
        What was fine-tuned, where that was a module of one's own or of a kind that no name rebuilds.
    layers, preprocess : optional
        By default as recorded with the weights.

    Raises
    ------
    CheckpointError
        The folder holds none of these, or files that do not belong together.
    """
    named = next((folder / name for name in CLASSIFIERS if (folder / name).is_file()), None)
    if named is not None:
        return _finetuned(named, base, layers, preprocess)
    if base is not None:
        raise CheckpointError(f"base= belongs to a fine-tuned classifier; {folder} holds none of {', '.join(CLASSIFIERS)}")
    if (folder / CONFIG).is_file():
        if _is_of_transformers(folder / CONFIG):
            return load_hf("", path=folder, layers=layers, preprocess=preprocess)
        load = load_image_text_target if is_image_text(read_settings(folder / CONFIG)) else load_demo_folder
        target = load(folder, layers=layers)
        return target if preprocess is None else target.changed(preprocess=preprocess)
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    hint = "; load_target('open_clip', path=...) takes it" if (folder / OPEN_CLIP_CONFIG).is_file() else ""
    raise CheckpointError(
        f"{folder} is no folder of a target{hint}: it holds {held}; expected {' or '.join(CLASSIFIERS)} (fine-tuned), {CONFIG} "
        f"with {WEIGHTS} (a demo model), or {CONFIG} of transformers"
    )


def _is_of_transformers(config: Path) -> bool:
    try:
        return "model_type" in json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, TypeError, RecursionError):
        return False  # the demo models' reader says what is wrong with it


def _finetuned(path: Path, base: Target | None, layers: str | Sequence[str] | None, preprocess: Preprocess | None) -> Target:
    """A fine-tuned classifier of the file with its weights."""
    config = _config_of(path)
    recorded = config.get("preprocess")
    if preprocess is None and recorded is not None:
        with building(path):
            preprocess = Preprocess(**{name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items()})
    layers = config.get("layers") if layers is None else layers
    found = _network(path, config, base, preprocess, layers)
    classes, task = tuple(config["classes"]), config["task"]
    note = f"{config['base']} fine-tuned to tell {task}: {', '.join(classes)}"
    return replace(found, name=f"{config['base']} ({task})", notes=(note, *found.notes), classes=classes)


def _network(
    path: Path, config: Mapping, base: Target | None, preprocess: Preprocess | None, layers: str | Sequence[str] | None
) -> Target:
    """The network of a fine-tuned classifier, filled."""
    n_outputs = 1 if len(config["classes"]) == 2 else len(config["classes"])
    kind, _, rest = config["base"].partition("/")
    given = {name: value for name, value in (("preprocess", preprocess), ("layers", layers)) if value is not None}
    if base is not None:
        return _onto(base, path, n_outputs, given)
    if kind in ("mammo-clip", "mammo-classifier"):
        return classifier_of(path, config["task"], (n_outputs,), **given)
    if kind != "timm":
        raise CheckpointError(
            f"{path} was fine-tuned from {config['base']!r}, which no name rebuilds: give the network before its fine-tuning, "
            "load_target(folder, base=load_target(module, preprocess=...))"
        )
    state, _ = read_state_dict(path)
    if not all(name.startswith((f"{BODY}.", f"{HEAD}.")) for name in state):
        return load_timm(rest, checkpoint=path, **given)
    body = load_timm(rest, checkpoint=path, weights=BODY, **{name: value for name, value in given.items() if name != "layers"})
    weight = state[f"{HEAD}.weight"]
    module = WithHead(body.module, weight.shape[1], weight.shape[0])
    load_weights(module, state, source=path)
    own = as_layers(layers) if layers is not None else tuple(f"{BODY}.{layer}" for layer in body.layers)
    freeze(module)
    return replace(body, module=module, layers=own, fingerprint=weights_fingerprint(module))


def _onto(base: Target, path: Path, n_outputs: int, given: Mapping) -> Target:
    """A copy of the base with a linear layer, filled."""
    classifier = attach_head(base, n_outputs)
    state, _ = read_state_dict(path)
    load_weights(classifier.module, state, source=path)
    module = freeze(classifier.module)
    layers = as_layers(given.get("layers", classifier.layers))
    return replace(
        base,
        module=module,
        layers=layers,
        preprocess=given.get("preprocess", base.preprocess),
        fingerprint=weights_fingerprint(module),
        notes=classifier.notes,
    )


def _config_of(path: Path) -> dict:
    """What a fine-tuning recorded with its weights; CheckpointError where a field is missing."""
    if is_safetensors(path):
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("config", "null")
        with building(f"{path}, config in its header"):
            config = json.loads(text)
    else:
        content = read_checkpoint(path)
        config = content.get("config") if isinstance(content, Mapping) else None
    if not isinstance(config, Mapping):
        raise CheckpointError(
            f"{path} does not say what it was fine-tuned from (no config): load_target(<name>, checkpoint=...)"
        )
    config = dict(config)
    checks = {"base": _text, "task": _text, "classes": text_list, "layers": text_list, "preprocess": _mapping}
    check_fields(config, checks, path, needed=("base", "task", "classes"))
    return config


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a str, found {type(value).__name__}")


def _mapping(name: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must hold settings by name, found {type(value).__name__}")
