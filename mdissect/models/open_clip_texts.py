"""Texts to token ids as open_clip makes them: its own tokenizer, or one of transformers in a model's folder."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from mdissect.arguments import one_of, shown, true_or_false
from mdissect.models.checkpoints import CheckpointError
from mdissect.models.configs import check_fields
from mdissect.models.families import OPEN_CLIP_CONFIG
from mdissect.models.tokens import PaddedTexts

START, END, FIRST = "<start_of_text>", "<end_of_text>", "!"  # of open_clip's own tokenizer; it pads with 0, the id of "!"
CLEANERS = ("whitespace", "lower", "canonicalize")
OWN_SETTINGS = {"clean": lambda name, value: one_of(name, value, CLEANERS)}
SETTINGS = {**OWN_SETTINGS, "strip_sep_token": true_or_false}
_WORDS = r"<start_of_text>|<end_of_text>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def read_texts(config: Mapping, folder: Path, text_tower: nn.Module) -> PaddedTexts:
    """The tokenizer that a text_cfg describes; CheckpointError without its files, or where it does not suit the text tower."""
    source, named = folder / OPEN_CLIP_CONFIG, config.get("hf_tokenizer_name")
    settings = dict(config.get("tokenizer_kwargs") or {})
    known = SETTINGS if named else OWN_SETTINGS
    check_fields(settings, known, f"{source}, tokenizer_kwargs")
    # Everything else would be handed to transformers, which could be told to run code of a repository.
    if unknown := [name for name in settings if name not in known]:
        raise CheckpointError(f"{source}: tokenizer_kwargs has {', '.join(unknown)}; mdissect knows {', '.join(known)}")
    if config.get("tokenizer_mode") and named:
        raise CheckpointError(f"{source}: tokenizer_mode={shown(config['tokenizer_mode'])} is not supported")
    length = config.get("context_length", 77)
    tokenizer = _of_transformers(folder, length, **settings) if named else _own(length, **settings)
    size = _entries(text_tower)
    if tokenizer.largest_id >= size:
        raise CheckpointError(
            f"the tokenizer of {folder} has ids up to {tokenizer.largest_id}, but the text tower {size} embeddings: they "
            "belong to different models"
        )
    pad = getattr(getattr(text_tower, "config", None), "pad_token_id", None)
    if named and pad is not None and pad != tokenizer.pad_id:
        raise CheckpointError(
            f"the tokenizer in {folder} pads with {tokenizer.pad_id}, but the text tower leaves out {pad}: they "
            "belong to different models"
        )
    return tokenizer


def _own(length: int, clean: str = "lower") -> PaddedTexts:
    """open_clip's own tokenizer, in the form of the tokenizers library."""
    from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    own = SimpleTokenizer(context_length=length)
    merges = sorted(own.bpe_ranks, key=own.bpe_ranks.get)
    tokenizer = Tokenizer(models.BPE(own.encoder, merges, continuing_subword_prefix="", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ids = own.encoder
    tokenizer.post_processor = processors.BertProcessing((END, ids[END]), (START, ids[START]))
    return PaddedTexts(
        tokenizer,
        pad=FIRST,
        special=(START, END, FIRST),
        max_length=length,
        source="the tokenizer of open_clip",
        cleaner=get_clean_fn(clean),
        cleaned=clean,
    )


def _of_transformers(folder: Path, length: int, clean: str = "whitespace", strip_sep_token: bool = False) -> PaddedTexts:
    """The tokenizer in a folder, read by transformers, which runs no code of it."""
    from open_clip.tokenizer import get_clean_fn
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    names = ("tokenizer.json", "vocab.txt", "merges.txt")
    if not any((folder / name).is_file() for name in names):
        raise CheckpointError(f"{folder} has none of {', '.join(names)}: the model's tokenizer is needed beside its weights")
    try:
        read = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return PaddedTexts(
            Tokenizer.from_str(read.backend_tokenizer.to_str()),
            pad=read.pad_token,
            special=read.all_special_tokens,
            max_length=length,
            source=str(folder),
            cleaner=get_clean_fn(clean),
            cleaned=clean,
            zeroed=[read.sep_token] if strip_sep_token else (),
        )
    except Exception as error:  # the libraries raise bare Exception too for broken files
        raise CheckpointError(f"the tokenizer in {folder} is not usable: {error}") from error


def _entries(text_tower: nn.Module) -> int:
    """The number of token embeddings of a text tower."""
    if hasattr(text_tower, "token_embedding"):
        return text_tower.token_embedding.num_embeddings
    return text_tower.config.vocab_size
