"""Mammo-FM (batmanlab): the image tower of Mammo-CLIP with a ModernBERT for texts, read from its published checkpoints."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import one_of, shown, whole_number
from mdissect.models.checkpoints import CheckpointError, read_checkpoint
from mdissect.models.configs import WIDTH, building, check_fields, check_transformer, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.efficientnet import Variant, build_tower, recognise, released_name
from mdissect.models.families import CONFIG, show_settings
from mdissect.models.fitting import load_weights
from mdissect.models.mammo_clip import PREPROCESS, Layers, load_mammo_clip_target
from mdissect.models.state_dicts import named_tensors
from mdissect.models.target import Target
from mdissect.models.tokens import TOKENIZER, TokenizedTexts
from mdissect.models.towers import TEXT_POOLS, ImageTextModel
from mdissect.models.weights import locate
from mdissect.preprocess import Preprocess

MAX_TOKENS = 256  # where a checkpoint does not say
SPECIAL = {"[PAD]": "pad_token_id", "[UNK]": None, "[CLS]": "cls_token_id", "[SEP]": "sep_token_id"}
TEXT_PREFIXES = ("text_encoder.", "text_encoder.text_encoder.")  # a ModernBERT put there itself, or in a wrapper
HEADS = ("linear", "mlp")
# A classifier of the image tower's pretraining, and the norm after which the texts of the training were not read.
_NO_USE = r"image_encoder\._fc\..*|(text_encoder\.)+final_norm\..*|.*\.position_ids"
_NEEDS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


class MlpProjection(nn.Module):
    """A projection with a second layer beside the first, as Mammo-FM's code calls its parts; its dropout is for training."""

    def __init__(self, features: int, embed_dim: int):
        super().__init__()
        self.projection = nn.Linear(features, embed_dim)
        self.fc = nn.Linear(embed_dim, embed_dim)
        self.layer_norm = nn.LayerNorm(embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Project features (n, features) to (n, embed_dim)."""
        projected = self.projection(x)
        return self.layer_norm(self.fc(F.gelu(projected)) + projected)


def load_mammo_fm_target(
    rest: str,
    *,
    path: str | Path | None = None,
    weights: str | None = None,
    layers: Layers = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
    download: bool = False,
) -> Target:
    """The image tower of Mammo-FM.

    >>> load_target("mammo-fm", path="Mammo-FM_BatmanlabTrained_CLIP.tar", layers=[2, 19, 38])  # doctest: +SKIP

    Parameters
    ----------
    path : path, optional
        The published .tar as it is, or the folder with it; by default the one under `data/weights/mammo-fm/`, or in the hub's
        cache.
    weights, layers, preprocess, strict, download
        As for `mdissect.models.mammo_clip.load_mammo_clip_target`.
    """
    _check_rest(rest)
    file = locate({"mammo-fm": path}, download)["mammo-fm"]
    target = load_mammo_clip_target("", checkpoint=file, weights=weights, layers=layers, preprocess=preprocess, strict=strict)
    return replace(target, name="mammo-fm", notes=(f"read from {file.name}", *target.notes))


def load_mammo_fm_dissector(
    rest: str,
    *,
    path: str | Path | None = None,
    weights: str | None = None,
    text_model: str | Path | None = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
    download: bool = False,
) -> ImageTextDissector:
    """Both towers of Mammo-FM; concepts are embedded as bare phrases.

    >>> load_dissector("mammo-fm", path="/data/mammo-fm", text_model="/data/ModernBERT-base")  # doctest: +SKIP

    Parameters
    ----------
    text_model : path, optional
        A folder with config.json and tokenizer.json of answerdotai/ModernBERT-base (the tower's weights are in the .tar); by
        default `data/weights/modernbert-base/`, or the hub's cache.
    path, weights, preprocess, strict, download
        As for `load_mammo_fm_target`.

    Raises
    ------
    MissingWeightsError
        Missing files, all of them.
    CheckpointError
        A checkpoint of Mammo-CLIP (which `load_dissector("mammo-clip")` takes) or of something else, a tokenizer or settings
        of another text tower, weights that do not fit.
    """
    _check_rest(rest)
    files = locate({"mammo-fm": path, "modernbert": text_model}, download)
    file = files["mammo-fm"]
    content = read_checkpoint(file)
    state, notes = named_tensors(content, file, weights)
    found = _variant_of(state, file)
    settings = _settings_of(content, file)
    head, embed_dim = _head_of(state, settings, file)
    text_tower, tokenizer = read_modernbert(files["modernbert"], settings["text_max_length"])
    with torch.random.fork_rng(devices=[]):
        model = ImageTextModel(
            build_tower(found),
            text_tower,
            image_features=found.features,
            text_features=text_tower.config.hidden_size,
            embed_dim=embed_dim,
            text_pool=settings["pooling"],
        )
        if head == "mlp":
            model.image_projection = MlpProjection(found.features, embed_dim)
            model.text_projection = MlpProjection(text_tower.config.hidden_size, embed_dim)
    schemes = [{name: _published(name, found, prefix) for name in model.state_dict()} for prefix in TEXT_PREFIXES]
    notes += load_weights(model, state, schemes=schemes, unused=_NO_USE, strict=strict, source=file)
    assumed = "" if settings["said"] else ", as Mammo-FM's published settings have it (the file does not say)"
    notes = [f"read from {file.name}; texts pooled by {settings['pooling']} before the final norm{assumed}", *notes]
    return ImageTextDissector("mammo-fm", model, tokenizer, preprocess, aligned=True, notes=notes)


def read_modernbert(folder: str | Path, max_length: int = MAX_TOKENS) -> tuple[nn.Module, TokenizedTexts]:
    """A ModernBERT without its final norm (random weights), as a folder's config.json describes it, and its tokenizer.

    Mammo-FM was trained on the last hidden state before that norm, as transformers 4.48 gave it. CheckpointError: no
    ModernBERT, or a tokenizer that is missing, broken or another model's.
    """
    from transformers import ModernBertConfig, ModernBertModel

    path = Path(folder) / CONFIG
    settings = read_settings(path, "the folder of answerdotai/ModernBERT-base is needed")
    if settings.get("model_type") != "modernbert":
        raise CheckpointError(
            f"{path} describes {shown(settings.get('model_type'))}, but the text tower of Mammo-FM is a 'modernbert' "
            "(answerdotai/ModernBERT-base)"
        )
    check_transformer(settings, path, needed=_NEEDS)
    with torch.random.fork_rng(devices=[]), building(path):
        config = ModernBertConfig.from_dict(settings | {"reference_compile": False})
        tower = ModernBertModel(config)
    tower.final_norm = nn.Identity()
    show_settings(tower, settings)
    return tower, _read_tokenizer(Path(folder), config, max_length)


def _read_tokenizer(folder: Path, config, max_length: int) -> TokenizedTexts:
    """The tokenizer in a ModernBERT's folder; its special tokens must be those that the config numbers."""
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: the tokenizer of answerdotai/ModernBERT-base is needed")
    try:
        read = Tokenizer.from_file(str(path))
        length = min(max_length, config.max_position_embeddings)
        tokenizer = TokenizedTexts(read, pad="[PAD]", special=tuple(SPECIAL), max_length=length, source=str(path))
    except Exception as error:  # the library raises bare Exception for every kind of broken file
        raise CheckpointError(f"{path} is not usable: {error}") from error
    if tokenizer.largest_id >= config.vocab_size:
        raise CheckpointError(
            f"{path} has ids up to {tokenizer.largest_id}, but {folder / CONFIG} only {config.vocab_size} embeddings: they "
            "belong to different models"
        )
    for token, field in SPECIAL.items():
        found, wanted = read.token_to_id(token), None if field is None else getattr(config, field)
        if wanted is not None and found != wanted:
            raise CheckpointError(f"{path} has {token} as {found}, but {folder / CONFIG} says {field}={wanted}")
    ids = read.encode("mass").ids
    if not ids or (ids[0], ids[-1]) != (read.token_to_id("[CLS]"), read.token_to_id("[SEP]")):
        raise CheckpointError(f"{path} makes of a word the tokens {shown(ids)}; expected [CLS] before it and [SEP] after it")
    return tokenizer


def _check_rest(rest: str) -> None:
    if rest:
        raise ValueError(f"'mammo-fm/{rest}' is unknown: Mammo-FM is named 'mammo-fm', its checkpoint given by path=")


def _variant_of(state: Mapping[str, Tensor], path: Path) -> Variant:
    """The image tower whose weights a checkpoint holds; CheckpointError where its text tower is no ModernBERT."""
    found = recognise({name: tensor.shape for name, tensor in state.items()})
    if found is None:
        names = ", ".join(list(state)[:3])
        raise CheckpointError(f"{path} holds no image tower of Mammo-FM, but {len(state)} weights: {names}, ...")
    if any(name.endswith("embeddings.tok_embeddings.weight") for name in state):
        return found
    if any(name.endswith("embeddings.word_embeddings.weight") for name in state):
        raise CheckpointError(
            f"{path} holds a BERT as its text tower, as Mammo-CLIP does: load_dissector('mammo-clip', checkpoint=...) takes it"
        )
    raise CheckpointError(
        f"{path} holds an image tower but no ModernBERT (text_encoder.embeddings.tok_embeddings.weight): it is no image-text "
        "model; load_target('mammo-clip') or load_target('mammo-classifier/<task>') takes image towers"
    )


def _settings_of(content: object, path: Path) -> dict:
    """How texts are pooled and cut, and the head that the checkpoint's config names (None where it has no plain config)."""
    config = content.get("config") if isinstance(content, Mapping) else None
    parts = {}
    for name, keys in {"base": ("base",), "text": ("model", "text_encoder"), "head": ("model", "projection_head")}.items():
        part = config
        for key in keys:
            part = part.get(key) if isinstance(part, Mapping) else None
        parts[name] = part if isinstance(part, Mapping) else {}
    checks = {
        "pooling": lambda name, value: one_of(name, value, TEXT_POOLS),
        "text_max_length": lambda name, value: whole_number(name, value, least=3),
        "proj_dim": WIDTH,
        "name": lambda name, value: one_of(name, value, HEADS),
    }
    found = {
        "said": "pooling" in parts["text"],
        "pooling": parts["text"].get("pooling", "eos"),
        "text_max_length": parts["base"].get("text_max_length", MAX_TOKENS),
        **{name: parts["head"][name] for name in ("name", "proj_dim") if name in parts["head"]},
    }
    check_fields(found, checks, f"{path}, its config")
    return found


def _head_of(state: Mapping[str, Tensor], settings: Mapping, path: Path) -> tuple[str, int]:
    """The kind of the projections and the width of the shared space: those of the weights, which the config must confirm."""
    weight = next((tensor for name, tensor in state.items() if name.endswith("text_projection.projection.weight")), None)
    if weight is None or weight.ndim != 2:
        raise CheckpointError(f"{path} has no text_projection.projection.weight: an image-text model is needed")
    found = {"name": "mlp" if any("text_projection.fc." in name for name in state) else "linear", "proj_dim": len(weight)}
    for name, value in found.items():
        if settings.get(name, value) != value:
            raise CheckpointError(
                f"{path}: its config says {name}={settings[name]!r} of the projection, but its weights are of {value!r}"
            )
    return found["name"], found["proj_dim"]


def _published(name: str, variant: Variant, text_prefix: str) -> str:
    """The name of a weight of our `ImageTextModel` in the published checkpoints."""
    part, _, rest = name.partition(".")
    if part == "image_tower":
        return f"image_encoder.{released_name(rest, variant)}"
    if part == "text_tower":
        return text_prefix + rest
    if part in ("image_projection", "text_projection") and rest in ("weight", "bias"):
        return f"{part}.projection.{rest}"
    return name
