"""CLIP models of transformers (openai/clip-vit-base-patch16, PubMedCLIP and others), from a folder or the hub's cache."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.configs import WIDTH, building, check_fields, one_number_or_list, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.families import check_family, check_folder, ends_of_thirds
from mdissect.models.fitting import fill
from mdissect.models.target import Target, as_layers, freeze
from mdissect.models.tokens import TokenizedTexts
from mdissect.models.weights import locate_model, weights_in
from mdissect.preprocess import Preprocess

PIL_BILINEAR = 2


class ClipModel(nn.Module):
    """A transformers.CLIPModel in the form of `mdissect.models.ImageTextModel`; its parts are shared, not copied."""

    # Both towers pool themselves: the image's class token, the text's end token, each after a layer norm.
    image_pool = text_pool = "own"

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.image_tower, self.image_projection = clip.vision_model, clip.visual_projection
        self.text_tower, self.text_projection = clip.text_model, clip.text_projection
        self.logit_scale = clip.logit_scale

    def encode_images(self, x: Tensor) -> Tensor:
        """Embed images (n, 3, height, width) as unit vectors (n, d)."""
        return F.normalize(self.image_projection(self.image_tower(pixel_values=x).pooler_output), dim=1)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed tokenised texts (n, length) as unit vectors (n, d)."""
        pooled = self.text_tower(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return F.normalize(self.text_projection(pooled), dim=1)


def load_clip_target(
    rest: str,
    *,
    path: str | Path | None = None,
    layers: str | Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    download: bool = False,
) -> Target:
    """The image tower of a CLIP model.

    >>> load_target("clip", path="/data/clip-vit-base-patch16").layers  # doctest: +SKIP

    Parameters
    ----------
    rest : str
        A repository of the Hugging Face hub that is in its cache on this machine:
        "clip/flaviagiammarino/pubmed-clip-vit-base-patch32" (PubMedCLIP); empty with `path`.
    path : path, optional
        A folder as the Hugging Face hub has it: config.json, preprocessor_config.json, the tokenizer and the weights. By
        default `data/weights/clip-vit-base-patch16/`, or the hub's cache.
    layers : str or sequence of str, optional
        By default the transformer blocks that end the thirds of the tower (of 12: `encoder.layers.3`, `.7` and `.11`).
    preprocess : Preprocess, optional
        By default the folder's own mean, deviation, size and interpolation; the whole image is resized, not cropped.
    download : bool
        Fetch openai/clip-vit-base-patch16 where no path is given and the folder is missing.
    """
    model, folder, notes = _load(rest, path, download)
    tower = model.image_tower
    if layers is None:
        layers = ends_of_thirds("encoder.layers", len(tower.encoder.layers))
    chosen = _read_preprocess(folder, model) if preprocess is None else preprocess
    return Target("clip", tower, chosen, as_layers(layers), weights_fingerprint(tower), tuple(notes))


def load_clip_dissector(
    rest: str, *, path: str | Path | None = None, preprocess: Preprocess | None = None, download: bool = False
) -> ImageTextDissector:
    """Both towers of a CLIP model; concepts are embedded as bare phrases. Options: as for `load_clip_target`.

    >>> load_dissector("clip", path="/data/clip-vit-base-patch16")  # doctest: +SKIP
    """
    model, folder, notes = _load(rest, path, download)
    tokenizer = read_clip_tokenizer(folder, model)
    chosen = _read_preprocess(folder, model) if preprocess is None else preprocess
    return ImageTextDissector("clip", model, tokenizer, chosen, aligned=True, notes=notes)


def read_clip_tokenizer(folder: Path, model: ClipModel) -> TokenizedTexts:
    """The tokenizer in a CLIP model's folder; CheckpointError without one, or where it does not suit the model's text tower."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    if not (folder / "tokenizer.json").is_file() and not (folder / "merges.txt").is_file():
        raise CheckpointError(f"{folder} has neither tokenizer.json nor merges.txt: a vocabulary alone cannot split texts")
    config = model.text_tower.config
    try:
        read = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = TokenizedTexts(
            Tokenizer.from_str(read.backend_tokenizer.to_str()),
            pad=read.pad_token,
            special=read.all_special_tokens,
            max_length=config.max_position_embeddings,
            source=str(folder),
        )
    except Exception as error:  # the libraries raise bare Exception too for broken files
        raise CheckpointError(f"the tokenizer in {folder} is not usable: {error}") from error
    if tokenizer.largest_id >= config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has ids up to {tokenizer.largest_id}, but the text tower {config.vocab_size} "
            "embeddings: they belong to different models"
        )
    # 2 is what old configurations say, where the tower takes the largest id for the end of a text.
    if config.eos_token_id not in (2, read.eos_token_id):
        raise CheckpointError(
            f"{folder}: texts end with token {read.eos_token_id}, but the text tower looks for {config.eos_token_id}"
        )
    return tokenizer


def _load(rest: str, given: str | Path | None, download: bool) -> tuple[ClipModel, Path, list[str]]:
    """A CLIP model from a folder, frozen, with that folder and notes."""
    check_folder(given, "clip")
    folder = locate_model("clip", rest, given, download)
    from transformers import CLIPConfig  # only now: it takes seconds, and missing files are reported at once
    from transformers import CLIPModel as HubClip

    path = folder / "config.json"
    settings = read_settings(path)
    check_family(settings, path, "clip")
    check_fields(settings, {"projection_dim": WIDTH}, path)
    with torch.random.fork_rng(devices=[]), building(path):
        clip = HubClip(CLIPConfig.from_dict(settings))
    notes = fill(clip, weights_in(folder, "model.safetensors", "pytorch_model.bin"), unused=r".*\.position_ids")
    return freeze(ClipModel(clip)), folder, notes


def _read_preprocess(folder: Path, model: ClipModel) -> Preprocess:
    """How a CLIP model's images are prepared, at the size that its position embeddings are made for."""
    path = folder / "preprocessor_config.json"
    settings = read_settings(path)
    checks = dict.fromkeys(("image_mean", "image_std"), one_number_or_list)
    check_fields(settings, checks, path, needed=tuple(checks))
    side = model.image_tower.config.image_size
    mean, std = (
        tuple(value) if isinstance(value, list) else value for value in (settings["image_mean"], settings["image_std"])
    )
    interpolation = "bilinear" if settings.get("resample") == PIL_BILINEAR else "bicubic"
    with building(path):
        return Preprocess(size=(side, side), scale="dtype", mean=mean, std=std, interpolation=interpolation)
