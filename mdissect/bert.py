"""BERT text towers from a local folder, without asking any hub."""

import json
from pathlib import Path

from torch import nn

from mdissect.checkpoints import CheckpointError, load_weights, read_state_dict
from mdissect.tokens import WordPieceTexts
from mdissect.weights import weights_in

MAX_TOKENS = 256  # of Mammo-CLIP's texts


def read_bert(folder: str | Path) -> tuple[nn.Module, WordPieceTexts]:
    """A BERT encoder as a folder's config.json describes it, and the tokenizer beside it.

    Parameters
    ----------
    folder : path
        Holds config.json and vocab.txt (or tokenizer.json), as the repository emilyalsentzer/Bio_ClinicalBERT does.

    Returns
    -------
    tower : transformers.BertModel
        Without pooler, its weights random.
    tokenizer : WordPieceTexts
        Cuts texts after 256 tokens, or fewer where the tower has fewer positions.

    Raises
    ------
    CheckpointError
        No BERT, or a vocabulary that is missing, empty, broken or larger than the tower's.
    """
    from transformers import BertConfig, BertModel

    path = Path(folder) / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no readable JSON file ({error}): the folder of a BERT model is needed") from error
    if settings.get("model_type", "bert") != "bert" or "hidden_size" not in settings:
        raise CheckpointError(f"{path} describes {settings.get('model_type', 'something')!r}, but a BERT text model is needed")
    config = BertConfig.from_dict(settings)
    try:
        tokenizer = WordPieceTexts(folder, max_length=min(MAX_TOKENS, config.max_position_embeddings))
    except (OSError, ValueError) as error:
        raise CheckpointError(str(error)) from error
    if tokenizer.largest_id >= config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has ids up to {tokenizer.largest_id}, but {path} only {config.vocab_size} "
            "embeddings: they belong to different models"
        )
    return BertModel(config, add_pooling_layer=False), tokenizer


def fill_bert(tower: nn.Module, folder: str | Path) -> list[str]:
    """Load the weights in a folder (pytorch_model.bin or model.safetensors) into a tower of `read_bert`; gives notes."""
    path = weights_in(Path(folder), "model.safetensors", "pytorch_model.bin")
    state, notes = read_state_dict(path)
    kept = {}
    for name, tensor in state.items():
        ours = name.removeprefix("bert.")
        ours = ours.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
        if not ours.startswith(("cls.", "pooler.")) and not ours.endswith((".position_ids", ".token_type_ids")):
            kept[ours] = tensor
    try:
        return notes + load_weights(tower, kept)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
