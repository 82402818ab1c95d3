"""Mammo-CLIP (Ghosh et al., MICCAI 2024) and the classifiers fine-tuned from it, read from their published checkpoints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from mdissect.models.architecture import Architecture, tower_settings
from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.configs import building, check_transformer, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.efficientnet import VARIANTS, Variant, build_tower, recognise, released_name
from mdissect.models.fitting import fill, load_weights
from mdissect.models.state_dicts import read_state_dict
from mdissect.models.target import Target, freeze
from mdissect.models.tokens import WordPieceTexts
from mdissect.models.towers import ImageTextModel
from mdissect.models.weights import locate, weights_in
from mdissect.preprocess import Preprocess

# Each image minus its minimum, divided by its maximum; then the mean and deviation of the images of the training.
PREPROCESS = Preprocess(size=(1520, 912), scale="image", mean=0.3089279, std=0.25053555408335154, interpolation="area")
EMBED_DIM = 512
# Numbers of outputs that a head may have: of the BI-RADS category 5 in the study, 3 by the published code; cancer is of RSNA's.
TASKS = {"density": (4,), "birads": (3, 5), "mass": (1, 2), "calcification": (1, 2), "cancer": (1, 2)}
_NAMES = {"density": ("A", "B", "C", "D"), "birads": ("1", "2", "3", "4", "5")}

Layers = str | int | Sequence[str | int] | None

_RELEASED_PARTS = {
    "text_tower.": "text_encoder.text_encoder.",
    "image_projection.": "image_projection.projection.",
    "text_projection.": "text_projection.projection.",
    "classifier.": "classifier.classification_head.",
}
# Published files also hold the text tower's pooler and index buffers; some hold a classifier of the image tower's pretraining.
_NO_USE = r".*\.pooler\..*|.*\.(position_ids|token_type_ids)|image_encoder\._fc\..*"
_NOT_THE_IMAGE_TOWER = rf"{_NO_USE}|(text_encoder|text_tower|text_projection|image_projection)\..*|logit_scale"


def load_mammo_clip_target(
    variant: str,
    *,
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    layers: Layers = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
    download: bool = False,
) -> Target:
    """The image tower of Mammo-CLIP (the study's M).

    >>> load_target("mammo-clip/b5", checkpoint="b5-model-best-epoch-7.tar", layers=[2, 19, 38])  # doctest: +SKIP

    Parameters
    ----------
    variant : str
        "b5" or "b2"; empty takes whichever the checkpoint holds, and B5 where none is given.
    checkpoint : path, optional
        The published .tar as it is; by default the one under `data/weights/mammo-clip/`.
    weights : str, optional
        Of several sets of weights in the file, the one under this name, such as "model_ema".
    layers : str, int or sequence of them, optional
        Module paths, or numbers of MBConv blocks counted from 0. By default the last blocks of stages 1, 4 and 7: in B5
        the study's blocks 2, 19 and 38 (`blocks.0.2`, `blocks.3.6`, `blocks.6.2`).
    preprocess : Preprocess
        By default that of the training: 1520 x 912 pixels, scaled per image.
    strict : bool
        False: load what fits and note what does not.
    download : bool
        Fetch a missing checkpoint from the Hugging Face hub.
    """
    role = _role(variant)
    path = locate({role: checkpoint}, download)[role]
    state, notes = read_state_dict(path, weights)
    found = _variant_of(state, path, variant)
    tower = _new_tower(found)
    schemes = _tower_schemes(tower, found)
    notes += load_weights(
        tower, state, schemes=schemes, unused=_NOT_THE_IMAGE_TOWER, refused=r"classifier\..*", strict=strict, source=path
    )
    return _target(f"mammo-clip/{found.name}", tower, preprocess, found.layer_paths(layers), notes)


def load_mammo_clip_dissector(
    variant: str,
    *,
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    text_model: str | Path | None = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
    download: bool = False,
) -> ImageTextDissector:
    """Both towers of Mammo-CLIP; concepts are embedded as bare phrases.

    >>> load_dissector("mammo-clip", text_model="/data/bio-clinical-bert")  # doctest: +SKIP

    Parameters
    ----------
    text_model : path, optional
        A folder with config.json and vocab.txt of emilyalsentzer/Bio_ClinicalBERT (its weights are in the checkpoint); by
        default `data/weights/bio-clinical-bert/`.
    variant, checkpoint, weights, preprocess, strict, download
        As for `load_mammo_clip_target`.
    """
    role = _role(variant)
    files = locate({role: checkpoint, "bio-clinical-bert": text_model}, download)
    state, notes = read_state_dict(files[role], weights)
    found = _variant_of(state, files[role], variant)
    model, tokenizer = build_mammo_clip(found, files["bio-clinical-bert"])
    own = list(model.state_dict())
    schemes = [{name: _released(name, found) for name in own}, {name: name for name in own}]
    notes += load_weights(model, state, schemes=schemes, unused=_NO_USE, strict=strict, source=files[role])
    architecture = released_architecture(found, model, tokenizer)
    name = f"mammo-clip/{found.name}"
    return ImageTextDissector(name, model, tokenizer, preprocess, aligned=True, notes=notes, architecture=architecture)


def load_mammo_classifier(
    named_task: str,
    *,
    task: str = "",
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    layers: Layers = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
    download: bool = False,
) -> Target:
    """Mammo-CLIP's image tower with one linear layer, fine-tuned for a task (the study's C1 to C4).

    >>> load_target("mammo-classifier/density", checkpoint="density.pth")  # doctest: +SKIP

    Parameters
    ----------
    task : {"density", "birads", "mass", "calcification", "cancer"}
        May also stand in the name: "mammo-classifier/density".
    checkpoint : path, optional
        A published fine-tuned checkpoint, or the state dict of this target's module; by default
        `data/weights/mammo-classifier/<task>.pth`.
    weights, layers, preprocess, strict, download
        As for `load_mammo_clip_target`; the layers have the same names.
    """
    task = task or named_task
    if task not in TASKS or named_task not in ("", task):
        raise ValueError(f"task={task!r} (in the name: {named_task!r}) is unknown; use one of {', '.join(TASKS)}")
    role = f"mammo-classifier/{task}"
    path = locate({role: checkpoint}, download)[role]
    return classifier_of(path, task, TASKS[task], weights=weights, layers=layers, preprocess=preprocess, strict=strict)


def classifier_of(
    path: Path,
    task: str,
    outputs: tuple[int, ...],
    *,
    weights: str | None = None,
    layers: Layers = None,
    preprocess: Preprocess = PREPROCESS,
    strict: bool = True,
) -> Target:
    """The classifier of a checkpoint whose head has one of these numbers of outputs, for any task."""
    state, notes = read_state_dict(path, weights)
    found = _variant_of(state, path)
    n_outputs = _outputs(state, path, task, outputs)
    tower = _new_tower(found, num_classes=n_outputs)
    schemes = _tower_schemes(tower, found)
    notes += load_weights(tower, state, schemes=schemes, unused=_NO_USE, strict=strict, source=path)
    target = _target(f"mammo-classifier/{task}", tower, preprocess, found.layer_paths(layers), notes)
    return replace(target, classes=_class_names(task, n_outputs))


def build_mammo_clip(variant: Variant, text_model: str | Path) -> tuple[ImageTextModel, WordPieceTexts]:
    """Mammo-CLIP's architecture with random weights, and the tokenizer of its text tower (in the folder `text_model`)."""
    with torch.random.fork_rng(devices=[]):
        text_tower, tokenizer = read_bert(text_model)
        model = ImageTextModel(
            build_tower(variant),
            text_tower,
            image_features=variant.features,
            text_features=text_tower.config.hidden_size,
            embed_dim=EMBED_DIM,
            text_pool="eos",
        )
    return model, tokenizer


def released_architecture(variant: Variant, model: ImageTextModel, tokenizer: WordPieceTexts) -> Architecture:
    """What builds a Mammo-CLIP again."""
    return Architecture(
        image={"kind": "mammo-clip", "name": variant.name},
        text=tower_settings(model.text_tower.config.to_dict()),
        tokens={"pad": tokenizer.pad, "special": list(tokenizer.special), "max_length": tokenizer.max_length},
        image_features=variant.features,
        text_features=model.text_projection.in_features,
        embed_dim=EMBED_DIM,
        image_pool=model.image_pool,
        text_pool=model.text_pool,
        layers=variant.default_layers,
    )


def released_state(dissector: ImageTextDissector) -> dict[str, Tensor]:
    """The weights of an image-text model by their names in the published checkpoints.

    ValueError unless it is a Mammo-CLIP: EfficientNet-B5 or -B2 with its padding, and a BERT whose last token stands for a
    text.
    """
    made = dissector.architecture
    fits = made is not None and made.image.get("kind") == "mammo-clip" and made.text.get("model_type") == "bert"
    if not fits or (made.text_pool, made.image_pool, made.embed_dim) != ("eos", "avg", EMBED_DIM):
        raise ValueError(
            f"{dissector.name!r} has no place in the published layout, which is that of mammo-clip/b5 or mammo-clip/b2 with a "
            f"BERT, text_pool='eos' and embed_dim={EMBED_DIM}; the folder itself is read by load_dissector and load_target"
        )
    variant = VARIANTS[made.image["name"]]
    state = dissector.model.state_dict()
    return {_released(name, variant): tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def _role(variant: str) -> str:
    if variant and variant not in VARIANTS:
        raise ValueError(f"Mammo-CLIP has no variant {variant!r}; use one of {', '.join(VARIANTS)}")
    return f"mammo-clip/{variant or 'b5'}"


def _variant_of(state: Mapping[str, Tensor], path: Path, wanted: str = "") -> Variant:
    """The variant whose weights a checkpoint holds, known by its keys."""
    found = recognise({name: tensor.shape for name, tensor in state.items()})
    if found is None:
        names = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"{path} holds no EfficientNet-B5 or -B2, the image towers of Mammo-CLIP, but {len(state)} weights: {names}, ..."
        )
    if wanted and found.name != wanted:
        raise CheckpointError(f"{path} holds Mammo-CLIP {found.name}, but {wanted} was asked for")
    return found


def _class_names(task: str, n_outputs: int) -> tuple[str, ...]:
    """The names of a task's classes, where the number of outputs fits them."""
    names = _NAMES.get(task, (f"no {task}", task))
    return names if n_outputs == len(names) or (n_outputs, len(names)) == (1, 2) else ()


def _outputs(state: Mapping[str, Tensor], path: Path, task: str, expected: tuple[int, ...]) -> int:
    """The outputs of a checkpoint's classification head."""
    heads = [tensor for name, tensor in state.items() if re.search(r"(^|\.)(classification_head|classifier)\.weight$", name)]
    if not heads:
        raise CheckpointError(
            f"{path} has no classification head (classifier.classification_head.weight): a fine-tuned classifier is needed; "
            "load_target('mammo-clip') reads the model before its fine-tuning"
        )
    outputs = heads[0].shape[0]
    if outputs not in expected:
        wanted = " or ".join(map(str, expected))
        raise CheckpointError(f"{path}: its head has {outputs} outputs, a classifier of {task} has {wanted}; another task's?")
    return outputs


def _new_tower(variant: Variant, num_classes: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return build_tower(variant, num_classes)


def _released(name: str, variant: Variant) -> str:
    """The name of a weight of our `ImageTextModel`, or of a classifier, in the published checkpoints."""
    if name.startswith("image_tower."):
        return f"image_encoder.{released_name(name.removeprefix('image_tower.'), variant)}"
    for ours, theirs in _RELEASED_PARTS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def _tower_schemes(tower: nn.Module, variant: Variant) -> list[dict[str, str]]:
    """Possible names of a tower's weights in checkpoints: as published, as a part of our image-text models, or plain."""
    whole = {name: name if name.startswith("classifier.") else f"image_tower.{name}" for name in tower.state_dict()}
    return [{own: _released(name, variant) for own, name in whole.items()}, whole, {own: own for own in whole}]


def _target(name: str, tower: nn.Module, preprocess: Preprocess, layers: tuple[str, ...], notes: Sequence[str]) -> Target:
    freeze(tower)
    return Target(name, tower, preprocess, layers, weights_fingerprint(tower), tuple(notes))


MAX_TOKENS = 256  # of Mammo-CLIP's texts
_BERT_NEEDS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def read_bert(folder: str | Path) -> tuple[nn.Module, WordPieceTexts]:
    """A BERT encoder (no pooler, random weights) as a folder's config.json describes it, and the tokenizer beside it.

    The folder holds config.json and vocab.txt (or tokenizer.json), as the repository emilyalsentzer/Bio_ClinicalBERT does.
    Texts are cut after 256 tokens, or fewer where the tower has fewer positions. CheckpointError: no BERT, or a vocabulary that
    is missing, empty, broken or larger than the tower's.
    """
    from transformers import BertConfig, BertModel

    path = Path(folder) / "config.json"
    settings = read_settings(path, "the folder of a BERT model is needed")
    if settings.get("model_type", "bert") != "bert" or "hidden_size" not in settings:
        raise CheckpointError(f"{path} describes {settings.get('model_type', 'something')!r}, but a BERT text model is needed")
    check_transformer(settings, path, needed=_BERT_NEEDS)
    with building(path):
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
    with building(path):
        return BertModel(config, add_pooling_layer=False), tokenizer


def fill_bert(tower: nn.Module, folder: str | Path) -> list[str]:
    """Load the weights in a folder (pytorch_model.bin or model.safetensors) into a tower of `read_bert`; gives notes."""
    weights, biases = ("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")
    schemes = [
        {ours: prefix + ours.replace(weights[0], weight).replace(biases[0], bias) for ours in tower.state_dict()}
        for prefix, weight, bias in product(("bert.", ""), weights, biases)
    ]
    unused = r"(bert\.)?(cls|pooler)\..*|.*\.(position_ids|token_type_ids)"
    return fill(tower, weights_in(Path(folder), "model.safetensors", "pytorch_model.bin"), schemes=schemes, unused=unused)
