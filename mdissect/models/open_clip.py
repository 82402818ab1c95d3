"""Models of the library open_clip (OpenCLIP, BiomedCLIP and others), from a folder or the hub's cache."""

import copy
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mdissect.arguments import number, one_of, shown, whole_number
from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.configs import COUNT, WIDTH, building, check_fields, check_transformer, one_number_or_list, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.families import CONFIG, OPEN_CLIP_CONFIG, check_folder, ends_of_thirds, show_settings
from mdissect.models.fitting import load_weights
from mdissect.models.manifest import OPEN_CLIP_WEIGHTS
from mdissect.models.open_clip_texts import read_texts
from mdissect.models.state_dicts import read_state_dict
from mdissect.models.target import Target, as_layers, default_layers, freeze
from mdissect.models.weights import locate_model, weights_in
from mdissect.preprocess import Preprocess

# As the library has them, for what a preprocess_cfg does not say.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TEXT_FOLDER = "text"
# Text towers of transformers whose settings are those of BERT-base, which transformers takes by default.
BERT_BASE = (
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract",
    "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract-fulltext",
    "bert-base-uncased",
)
OLD_NAMES = {"proj": "hf_proj_type", "pooler_type": "hf_pooler_type"}  # of settings of the text tower, in older copies
_NO_USE = r".*\.position_ids|(.*\.)?attn_mask"


def _size(name: str, value: object) -> None:
    for one in value if isinstance(value, list) and len(value) in (2, 4) else [value]:
        whole_number(name, one, least=1, most=65_536)


_VISION = {"width": WIDTH, "layers": _size, "head_width": WIDTH, "patch_size": WIDTH, "image_size": _size}
_TEXT = {
    "context_length": WIDTH,
    "vocab_size": partial(whole_number, least=1, most=4_000_000),
    "width": WIDTH,
    "heads": COUNT,
    "layers": COUNT,
}
_PREPARED = {
    "mean": one_number_or_list,
    "std": one_number_or_list,
    "interpolation": lambda name, value: one_of(name, value, ("bicubic", "bilinear", "random")),
    "resize_mode": lambda name, value: one_of(name, value, ("shortest", "longest", "squash")),
    "mode": lambda name, value: one_of(name, value, ("RGB",)),
    "fill_color": partial(number, above=-1),
}


class OpenClipModel(nn.Module):
    """A model of open_clip in the form of `mdissect.models.ImageTextModel`; its parts are shared, not copied."""

    # Both towers pool and project themselves; how is part of what `show_settings` adds to them.
    image_pool = text_pool = "own"

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.image_tower = model.visual
        self.text_tower = model.text if hasattr(model, "text") else _TextParts(model)
        self.image_projection, self.text_projection = nn.Identity(), nn.Identity()
        self.logit_scale = model.logit_scale

    def encode_images(self, x: Tensor) -> Tensor:
        """Embed images (n, 3, height, width) as unit vectors (n, d)."""
        return self.model.encode_image(x, normalize=True)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed texts (n, length), padded to the full length, as unit vectors (n, d); the model finds their ends itself."""
        return self.model.encode_text(input_ids, normalize=True)


class _TextParts(nn.Module):
    """The parts of a CLIP's text tower, which lie in the model itself; shared, for their fingerprint."""

    def __init__(self, model: nn.Module):
        super().__init__()
        for name in ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection"):
            setattr(self, name, getattr(model, name))


def load_open_clip_target(
    rest: str,
    *,
    path: str | Path | None = None,
    text_model: str | Path | None = None,
    layers: str | Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    download: bool = False,
) -> Target:
    """The image tower of a model of open_clip.

    >>> load_target("open_clip", path="/data/biomedclip").layers  # doctest: +SKIP

    Parameters
    ----------
    rest : str
        A repository of the Hugging Face hub that is in its cache on this machine:
        "open_clip/laion/CLIP-ViT-B-32-laion2B-s34B-b79K"; empty with `path`.
    path : path, optional
        A folder as the Hugging Face hub has it: open_clip_config.json, open_clip_model.safetensors or
        open_clip_pytorch_model.bin, and the tokenizer where the model has one of its own. By default
        `data/weights/biomedclip/`, or BiomedCLIP in the hub's cache.
    text_model : path, optional
        A folder with the config.json of a text tower of transformers. By default the subfolder `text/`, the hub's cache, or
        what mdissect knows of BiomedBERT. Its weights are in the model's own file.
    layers : str or sequence of str, optional
        By default the transformer blocks that end the thirds of the tower; `default_layers` for other networks.
    preprocess : Preprocess, optional
        By default the folder's own mean, deviation, size and interpolation; the whole image is resized, not cropped.
    download : bool
        Fetch BiomedCLIP where neither a name nor a path is given and it is not on this machine.

    Raises
    ------
    ImportError
        open_clip is not installed.
    MissingWeightsError
        Missing files, all of them.
    CheckpointError
        A model of another family (which loader takes it), settings that no model can be built from, weights that do not fit.
    """
    model, settings, folder, notes = _load(rest, path, text_model, download)
    tower = model.image_tower
    chosen = _read_preprocess(settings, tower, folder / OPEN_CLIP_CONFIG, notes) if preprocess is None else preprocess
    if layers is None:
        layers = _default_layers(tower)
    return Target("open_clip", tower, chosen, as_layers(layers), weights_fingerprint(tower), tuple(notes))


def load_open_clip_dissector(
    rest: str,
    *,
    path: str | Path | None = None,
    text_model: str | Path | None = None,
    preprocess: Preprocess | None = None,
    download: bool = False,
) -> ImageTextDissector:
    """Both towers of a model of open_clip. Options: as for `load_open_clip_target`.

    >>> load_dissector("open_clip", path="/data/biomedclip")  # doctest: +SKIP
    """
    model, settings, folder, notes = _load(rest, path, text_model, download)
    chosen = (
        _read_preprocess(settings, model.image_tower, folder / OPEN_CLIP_CONFIG, notes) if preprocess is None else preprocess
    )
    tokenizer = read_texts(settings["model_cfg"]["text_cfg"], folder, model.text_tower)
    return ImageTextDissector("open_clip", model, tokenizer, chosen, aligned=True, notes=notes)


def _default_layers(tower: nn.Module) -> Sequence[str]:
    """Three layers, spread over the depth of an image tower."""
    if hasattr(tower, "layer4"):  # open_clip's own ResNet, as with timm's
        return ("layer1", "layer3", "layer4")
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    return default_layers(tower) if blocks is None else ends_of_thirds("transformer.resblocks", len(blocks))


def _load(
    rest: str, given: str | Path | None, text_model: str | Path | None, download: bool
) -> tuple[OpenClipModel, dict, Path, list[str]]:
    """A model from a folder, frozen, with its settings, that folder and notes."""
    check_folder(given, "open_clip")
    try:
        import open_clip  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"models of open_clip need the library open-clip-torch ({error}): pip install -e '.[open-clip]', or "
            "pip install open-clip-torch"
        ) from error
    folder = locate_model("open_clip", rest, given, download)
    source = folder / OPEN_CLIP_CONFIG
    settings, notes = _read_config(source), []
    config = settings["model_cfg"]
    text_settings = None
    if named := config["text_cfg"].get("hf_model_name"):
        text_settings, note = _text_settings(named, folder, text_model)
        notes.append(note)
    elif text_model is not None:
        raise CheckpointError(f"{source} names no text tower of transformers (hf_model_name): text_model= has no use")
    model = _build(config, text_settings, source)
    path = weights_in(folder, *sorted(OPEN_CLIP_WEIGHTS, key=lambda name: not name.endswith(".safetensors")))
    notes = _fill(model, path) + notes
    model = OpenClipModel(model)
    general = {name: value for name, value in config.items() if name not in ("vision_cfg", "text_cfg")}
    show_settings(model.image_tower, general | config["vision_cfg"])
    show_settings(model.text_tower, general | config["text_cfg"] | {"hf_model_name": text_settings})
    return freeze(model), settings, folder, notes


def _read_config(path: Path) -> dict:
    """An open_clip_config.json with the fields that this module reads checked, older names replaced by today's."""
    settings = read_settings(path)
    check_fields(settings, {}, path, needed=("model_cfg",))
    config = settings["model_cfg"]
    check_fields(config, {"embed_dim": WIDTH}, f"{path}, model_cfg", needed=("embed_dim", "vision_cfg", "text_cfg"))
    vision, text = config["vision_cfg"], config["text_cfg"]
    check_fields(vision, _VISION, f"{path}, vision_cfg")
    check_fields(text, _TEXT, f"{path}, text_cfg")
    check_fields(settings.get("preprocess_cfg") or {}, _PREPARED, f"{path}, preprocess_cfg")
    for old, new in OLD_NAMES.items():
        if old in text:
            text[new] = text.pop(old)
    if (name := vision.get("timm_model_name")) is not None:
        import timm

        # A name of another form sends timm to the hub, or to a folder.
        if not isinstance(name, str) or not timm.is_model(name):
            raise CheckpointError(f"{path}: timm {timm.__version__} has no model {shown(name)} (timm_model_name)")
    if not isinstance(text.get("hf_model_name") or "", str):
        raise CheckpointError(f"{path}: hf_model_name={shown(text['hf_model_name'])} must be a name")
    return settings


def _text_settings(name: str, folder: Path, given: str | Path | None) -> tuple[dict, str]:
    """The settings of a text tower of transformers, and a note on where they are from; the hub is never asked."""
    from huggingface_hub import try_to_load_from_cache

    with building(folder / OPEN_CLIP_CONFIG):  # a name of another form is an error of the cache
        cached = None if Path(name).is_absolute() or "/" not in name else try_to_load_from_cache(name, CONFIG)
    places = [given] if given is not None else [folder / TEXT_FOLDER, Path(cached).parent if isinstance(cached, str) else None]
    if given is None and Path(name).is_absolute():
        places.append(Path(name))
    for place in places:
        if place is None or not (path := Path(place) / CONFIG).is_file():
            continue
        settings = read_settings(path)
        check_transformer(settings, path)
        if settings.get("model_type") not in _text_types():
            raise CheckpointError(
                f"{path} describes {shown(settings.get('model_type'))}; open_clip has text towers of {', '.join(_text_types())}"
            )
        settings.pop("auto_map", None)  # names code in a repository
        return settings, f"settings of the text tower {name}: {path}"
    if given is not None:
        raise CheckpointError(f"text_model={str(given)!r} has no {CONFIG}: the folder of {name} is needed")
    if name not in BERT_BASE:
        raise CheckpointError(
            f"{folder / OPEN_CLIP_CONFIG} names the text tower {name}, whose {CONFIG} is not on this machine: put it at "
            f"{folder / TEXT_FOLDER / CONFIG}, or give text_model=<a folder with it>; its weights are not needed"
        )
    return {"model_type": "bert"}, f"settings of the text tower {name}: those of BERT-base"


def _text_types() -> list[str]:
    from open_clip.hf_configs import arch_dict

    return list(arch_dict)


def _build(config: Mapping, text_settings: Mapping | None, source: Path) -> nn.Module:
    """The library's model with random weights, in eval mode; nothing is read but the settings."""
    from open_clip import CLIP, CoCa, CustomTextCLIP

    config = copy.deepcopy(dict(config))
    config["vision_cfg"]["timm_model_pretrained"] = config["text_cfg"]["hf_model_pretrained"] = False
    custom = config.pop("custom_text", False) or text_settings is not None
    architecture = (CoCa if "multimodal_cfg" in config else CustomTextCLIP) if custom else CLIP
    with torch.random.fork_rng(devices=[]), building(source), tempfile.TemporaryDirectory() as place:
        if text_settings is not None:  # the library reads a text tower's settings from a folder
            (Path(place) / CONFIG).write_text(json.dumps(text_settings), encoding="utf-8")
            config["text_cfg"]["hf_model_name"] = place
        return architecture(**config).eval()


def _fill(model: nn.Module, path: Path) -> list[str]:
    """Load weights, those of a CLIP whose text tower lies in the model itself included; gives notes."""
    state, notes = read_state_dict(path)
    own = model.state_dict()
    for name, tensor in state.items():  # a single number in some files, a list of one in others
        short = name.rpartition(".")[2]
        if short in ("logit_scale", "logit_bias") and short in own and tensor.numel() == 1:
            state[name] = tensor.reshape(own[short].shape)
    schemes = [{name: name for name in own}, {name: name.removeprefix("text.") for name in own}]
    return notes + load_weights(model, state, schemes=schemes, unused=_NO_USE, source=path)


def _read_preprocess(settings: Mapping, tower: nn.Module, source: Path, notes: list[str]) -> Preprocess:
    """How a model's images are prepared, at the size that its tower is made for; the whole image, which a note says."""
    given = settings.get("preprocess_cfg") or {}
    side = tower.image_size
    size = tuple(side) if isinstance(side, (tuple, list)) else (side, side)
    mean, std = (given.get(name) or default for name, default in (("mean", MEAN), ("std", STD)))
    mean, std = (tuple(value) if isinstance(value, list) else value for value in (mean, std))
    if (mode := given.get("resize_mode", "shortest")) != "squash":
        done = "the centre cut out" if mode == "shortest" else "padded"
        notes.append(f"images are resized whole to {size[0]} x {size[1]} (in the training: resized by the {mode} side, {done})")
    interpolation = "bilinear" if given.get("interpolation") == "bilinear" else "bicubic"
    with building(source):
        return Preprocess(size=size, scale="dtype", mean=mean, std=std, interpolation=interpolation)
