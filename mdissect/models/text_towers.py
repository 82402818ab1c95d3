"""Text towers of new image-text models: a folder of a model of transformers, or a small one with a vocabulary of its own."""

import contextlib
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import torch
from torch import nn

from mdissect.models.architecture import build_text_tower, tower_settings
from mdissect.models.checkpoints import CheckpointError
from mdissect.models.configs import building, check_transformer, read_settings
from mdissect.models.fitting import fill
from mdissect.models.tokens import SPECIAL_TOKENS, TOKENIZER, TokenizedTexts, WordPieceTexts
from mdissect.models.weights import weights_in

CONFIG, WEIGHTS = "config.json", ("model.safetensors", "pytorch_model.bin")
MOST_TOKENS = 256  # of Mammo-CLIP's texts
# Their positions are counted from the padding's id on.
_COUNTED_FROM_PADDING = ("roberta", "xlm-roberta", "camembert", "roberta-prelayernorm", "longformer", "xmod", "mpnet")
SMALL = {
    "model_type": "bert", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
SMALL_VOCABULARY, SMALL_LENGTH = 1000, 128


def read_text_tower(
    folder: str | Path, weights: bool = True, seed: int = 0
) -> tuple[nn.Module, TokenizedTexts, dict, list[str]]:
    """The encoder in a folder of transformers, its tokenizer and settings, and notes.

    The folder holds config.json, tokenizer.json or vocab.txt, and (unless `weights` is False) model.safetensors or
    pytorch_model.bin. Texts are cut after 256 tokens, or fewer where the tower has fewer positions. CheckpointError: no
    encoder of texts, a tokenizer that is missing or of another model, or weights that do not fit.
    """
    folder = Path(folder)
    path = folder / CONFIG
    settings = tower_settings(read_settings(path, "the folder of a model of transformers is needed"))
    check_transformer(settings, path, needed=("model_type", "vocab_size"))
    tokenizer = _tokenizer_in(folder, settings)
    if tokenizer.largest_id >= settings["vocab_size"]:
        raise CheckpointError(
            f"the tokenizer in {folder} has ids up to {tokenizer.largest_id}, but {path} only {settings['vocab_size']} "
            "embeddings: they belong to different models"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = build_text_tower(settings)
    width_of_texts(tower, path)
    notes = _fill(tower, settings["model_type"], folder) if weights else [f"the text tower has random weights (seed {seed})"]
    return tower, tokenizer, settings, notes


def small_text_tower(texts: Sequence[str], seed: int = 0) -> tuple[nn.Module, TokenizedTexts, dict, list[str]]:
    """A small BERT with random weights whose vocabulary is learnt from texts; its settings, and notes."""
    tokenizer = WordPieceTexts.train(list(texts), SMALL_VOCABULARY, max_length=SMALL_LENGTH)
    settings = {**SMALL, "vocab_size": tokenizer.vocab_size, "max_position_embeddings": SMALL_LENGTH, "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = build_text_tower(settings)
    return tower, tokenizer, settings, [f"a small text tower with random weights (seed {seed})"]


@torch.no_grad()
def width_of_texts(tower: nn.Module, source: object) -> int:
    """The width of a text tower's hidden states; CheckpointError for a model that does not give them."""
    was_training = tower.training
    ones = torch.ones(1, 3, dtype=torch.long)
    try:
        with building(source):
            states = tower.eval()(input_ids=ones, attention_mask=ones).last_hidden_state
    except CheckpointError as error:
        raise CheckpointError(f"{source} describes no encoder of texts ({error})") from error
    finally:
        tower.train(was_training)
    return int(states.shape[-1])


def tokens_of(tokenizer: TokenizedTexts) -> dict:
    """What an architecture says of a tokenizer."""
    return {"pad": tokenizer.pad, "special": list(tokenizer.special), "max_length": tokenizer.max_length}


def tokenizer_of(folder: Path, tokens: Mapping) -> TokenizedTexts:
    """The tokenizer in a folder, by what an architecture says of it."""
    if tuple(tokens["special"]) == SPECIAL_TOKENS:
        return WordPieceTexts(folder, max_length=tokens["max_length"])
    return TokenizedTexts(_read(folder / TOKENIZER), source=str(folder / TOKENIZER), **tokens)


def _tokenizer_in(folder: Path, settings: Mapping) -> TokenizedTexts:
    """The tokenizer of a model of transformers: BERT's, or any whose tokenizer.json marks its special tokens."""
    length = settings.get("max_position_embeddings") or settings.get("n_positions") or MOST_TOKENS
    if settings["model_type"] in _COUNTED_FROM_PADDING:
        length -= settings.get("pad_token_id", 1) + 1
    length = min(MOST_TOKENS, length)
    try:
        with contextlib.suppress(ValueError):  # a tokenizer of another family has no [PAD]
            return WordPieceTexts(folder, max_length=length)
        tokenizer = _read(folder / TOKENIZER)
        marked = {number: token.content for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        pad = marked.get(settings.get("pad_token_id"))
        if pad is None:
            raise ValueError(
                f"{folder / TOKENIZER}: config.json's pad_token_id={settings.get('pad_token_id')!r} is none of its special "
                f"tokens ({', '.join(marked.values()) or 'none'})"
            )
        return TokenizedTexts(
            tokenizer, pad=pad, special=tuple(marked.values()), max_length=length, source=str(folder / TOKENIZER)
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(str(error)) from error


def _read(path: Path):
    from tokenizers import Tokenizer

    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at {path}: a text tower needs the one it was trained with")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for every kind of broken file
        raise ValueError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error


def _fill(tower: nn.Module, kind: str, folder: Path) -> list[str]:
    """Load the weights in a folder, also under the names of old files; gives notes."""
    weights, biases = ("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")
    schemes = [
        {ours: prefix + ours.replace(weights[0], weight).replace(biases[0], bias) for ours in tower.state_dict()}
        for prefix, weight, bias in product((f"{kind.replace('-', '_')}.", ""), weights, biases)
    ]
    heads = r"cls|pooler|lm_head|vocab_\w+|qa_outputs|classifier|discriminator_predictions"
    unused = rf"(.*\.)?({heads})\..*|(.*\.)?(position_ids|token_type_ids)"
    return fill(tower, weights_in(folder, *WEIGHTS), schemes=schemes, unused=unused)
