"""SigLIP, SigLIP 2 of fixed resolution and MedSigLIP, as transformers has them, from a folder or the hub's cache."""

import re
import string
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import shown
from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.configs import building, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.families import CONFIG, check_family, check_folder, ends_of_thirds, show_settings
from mdissect.models.fitting import fill
from mdissect.models.hf import PREPROCESSOR, read_preprocess
from mdissect.models.target import Target, as_layers, freeze
from mdissect.models.tokens import TOKENIZER, PaddedTexts
from mdissect.models.weights import locate_model, weights_in
from mdissect.preprocess import Preprocess

# Tokenizers as the published tokenizer_config.json calls them; others are told apart by the size of their vocabulary.
FIRST, SECOND = ("SiglipTokenizer", "T5Tokenizer"), ("GemmaTokenizer", "Siglip2Tokenizer")
LARGE_VOCABULARY = 100_000  # SigLIP has 32,000 entries, SigLIP 2 256,000
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class SiglipModel(nn.Module):
    """A transformers.SiglipModel in the form of `mdissect.models.ImageTextModel`; its parts are shared, not copied."""

    # Both towers pool themselves and project nothing: the image by attention, the text at its last position.
    image_pool = text_pool = "own"

    def __init__(self, siglip: nn.Module):
        super().__init__()
        self.image_tower, self.text_tower = siglip.vision_model, siglip.text_model
        self.image_projection, self.text_projection = nn.Identity(), nn.Identity()
        self.logit_scale = siglip.logit_scale

    def encode_images(self, x: Tensor) -> Tensor:
        """Embed images (n, 3, height, width) as unit vectors (n, d)."""
        return F.normalize(self.image_tower(pixel_values=x).pooler_output, dim=1)

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed texts (n, length), padded to the full length, as unit vectors (n, d); padding is read, as in the training."""
        return F.normalize(self.text_tower(input_ids=input_ids).pooler_output, dim=1)


def load_siglip_target(
    rest: str,
    *,
    path: str | Path | None = None,
    layers: str | Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    download: bool = False,
) -> Target:
    """The image tower of a SigLIP.

    >>> load_target("siglip", path="/data/medsiglip-448").layers  # doctest: +SKIP

    Parameters
    ----------
    rest : str
        A repository of the Hugging Face hub that is in its cache on this machine: "siglip/google/siglip2-base-patch16-224";
        empty with `path`.
    path : path, optional
        A folder as the Hugging Face hub has it: config.json, preprocessor_config.json, tokenizer.json, tokenizer_config.json
        and model.safetensors. By default `data/weights/medsiglip-448/`, or google/medsiglip-448 in the hub's cache.
    layers : str or sequence of str, optional
        By default the transformer blocks that end the thirds of the tower (of 12: `encoder.layers.3`, `.7` and `.11`).
    preprocess : Preprocess, optional
        By default the folder's own mean, deviation, size and interpolation; the whole image is resized.
    download : bool
        Fetch google/medsiglip-448 where neither a name nor a path is given and it is not on this machine.

    Raises
    ------
    MissingWeightsError
        Missing files, all of them.
    CheckpointError
        A model of another family (which loader takes it), a SigLIP 2 of variable resolution (NaFlex), weights that do not fit.
    """
    model, folder, notes = _load(rest, path, download)
    tower = model.image_tower
    if layers is None:
        layers = ends_of_thirds("encoder.layers", len(tower.encoder.layers))
    chosen = _read_preprocess(folder, tower) if preprocess is None else preprocess
    return Target("siglip", tower, chosen, as_layers(layers), weights_fingerprint(tower), tuple(notes))


def load_siglip_dissector(
    rest: str, *, path: str | Path | None = None, preprocess: Preprocess | None = None, download: bool = False
) -> ImageTextDissector:
    """Both towers of a SigLIP. Texts are lower-cased, as in its training. Options: as for `load_siglip_target`.

    >>> load_dissector("siglip", path="/data/medsiglip-448")  # doctest: +SKIP
    """
    model, folder, notes = _load(rest, path, download)
    tokenizer, note = _read_tokenizer(folder, model.text_tower.config)
    chosen = _read_preprocess(folder, model.image_tower) if preprocess is None else preprocess
    return ImageTextDissector("siglip", model, tokenizer, chosen, aligned=True, notes=[*notes, note])


def _load(rest: str, given: str | Path | None, download: bool) -> tuple[SiglipModel, Path, list[str]]:
    """A SigLIP from a folder, frozen, with that folder and notes."""
    check_folder(given, "siglip")
    folder = locate_model("siglip", rest, given, download)
    path = folder / CONFIG
    settings = read_settings(path)
    check_family(settings, path, "siglip")
    from transformers import SiglipConfig
    from transformers import SiglipModel as HubSiglip

    with torch.random.fork_rng(devices=[]), building(path):
        siglip = HubSiglip(SiglipConfig.from_dict(settings))
    if not siglip.config.vision_config.vision_use_head:
        raise CheckpointError(f"{path}: the image tower has no head (vision_use_head is false): images have no embedding")
    notes = fill(siglip, weights_in(folder, "model.safetensors", "pytorch_model.bin"), unused=r".*\.position_ids")
    show_settings(siglip.vision_model, settings.get("vision_config") or {})
    show_settings(siglip.text_model, settings.get("text_config") or {})
    return freeze(SiglipModel(siglip)), folder, notes


def _read_preprocess(folder: Path, tower: nn.Module) -> Preprocess:
    """How a SigLIP's images are prepared; CheckpointError for a size that its tower was not made for."""
    path, side = folder / PREPROCESSOR, tower.config.image_size
    found = read_preprocess(path)
    if found.size != (side, side):
        raise CheckpointError(
            f"{path} makes images of {found.size[0]} x {found.size[1]} pixels, but the image tower of {folder / CONFIG} sees "
            f"{side} x {side}: they belong to different models, or give preprocess=Preprocess(size=({side}, {side}), ...)"
        )
    return found


def _read_tokenizer(folder: Path, config) -> tuple[PaddedTexts, str]:
    """The tokenizer in a SigLIP's folder, and a note on how texts are cleaned.

    SigLIP pools the last position of its text tower, which is padding for most texts: they are padded to the full length, at
    their end, as in the training.
    """
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    path, settings, source = folder / TOKENIZER, *_tokenizer_settings(folder)
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {TOKENIZER}; fetch it from the model's page (a spiece.model alone is not read)")
    tokens = {name: _token(settings.get(f"{name}_token")) for name in ("pad", "eos", "unk", "bos")}
    if tokens["pad"] is None or tokens["eos"] is None:
        raise CheckpointError(f"{source} has no pad_token or no eos_token; it has {', '.join(settings) or 'nothing'}")
    try:
        tokenizer = Tokenizer.from_file(str(path))
        if settings.get("add_eos_token") is True and not settings.get("add_bos_token"):  # the tokenizer's class does this then
            end = (tokens["eos"], tokenizer.token_to_id(tokens["eos"]))
            tokenizer.post_processor = TemplateProcessing(single=["$A", end[0]], special_tokens=[end])
        known = [token for token in dict.fromkeys(tokens.values()) if token is not None]
        second = _is_second(str(settings.get("tokenizer_class", "")), tokenizer.get_vocab_size())
        texts = PaddedTexts(
            tokenizer,
            pad=tokens["pad"],
            special=known,
            max_length=config.max_position_embeddings,
            source=str(path),
            cleaner=str.lower if second else canonical,
            cleaned="lower case" if second else "lower case, no punctuation",
        )
    except Exception as error:  # the library raises bare Exception for every kind of broken file
        raise CheckpointError(f"the tokenizer in {folder} is not usable: {error}") from error
    if texts.largest_id >= config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has ids up to {texts.largest_id}, but the text tower {config.vocab_size} "
            "embeddings: they belong to different models"
        )
    _check_ends(tokenizer, tokens, path)
    return texts, f"texts in {texts.cleaned}, padded to {texts.max_length} tokens, as in the training of SigLIP"


def canonical(text: str) -> str:
    """A text in lower case, without punctuation and double spaces.

    >>> canonical("Spiculated  mass, BI-RADS 5")
    'spiculated mass birads 5'
    """
    return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


def _tokenizer_settings(folder: Path) -> tuple[dict, Path]:
    """The names of the special tokens and the tokenizer's class, and the file that has them."""
    names = ("tokenizer_config.json", "special_tokens_map.json")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} has neither {' nor '.join(names)}: the padding token of its texts is not known")
    return read_settings(path), path


def _token(entry: object) -> str | None:
    """A special token as tokenizer_config.json has it: a str, or a dict with its content."""
    content = entry.get("content") if isinstance(entry, dict) else entry
    return content if isinstance(content, str) and content else None


def _is_second(named: str, n_entries: int) -> bool:
    """Whether a tokenizer is that of SigLIP 2, which keeps punctuation."""
    named = named.removesuffix("Fast")
    return named in SECOND or (named not in FIRST and n_entries > LARGE_VOCABULARY)


def _check_ends(tokenizer, tokens: dict[str, str | None], path: Path) -> None:
    """CheckpointError unless a text ends with the end token and begins with none, as in the training."""
    ids = tokenizer.encode("mass").ids
    end, begin = (None if tokens[name] is None else tokenizer.token_to_id(tokens[name]) for name in ("eos", "bos"))
    if not ids or ids[-1] != end or (len(ids) > 1 and begin not in (None, end) and ids[0] == begin):
        raise CheckpointError(
            f"{path} makes of a word the tokens {shown(ids)}; SigLIP's texts have no token at their beginning, and "
            f"{tokens['eos']!r} ({end}) at their end"
        )
