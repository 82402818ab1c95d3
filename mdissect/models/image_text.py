"""Image-text models of one's own: made for a training, saved in a folder, and read from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from mdissect.arguments import one_of, whole_number
from mdissect.files import checksum, text_bytes, without_folders, write_atomically
from mdissect.models.architecture import Architecture, build_image_tower, width_of_images
from mdissect.models.checkpoints import CheckpointError
from mdissect.models.configs import building, check_fields, read_settings
from mdissect.models.dissector import ImageTextDissector
from mdissect.models.efficientnet import VARIANTS
from mdissect.models.first_use import note_use
from mdissect.models.fitting import fill
from mdissect.models.mammo_clip import PREPROCESS, load_mammo_clip_target
from mdissect.models.target import Target, as_layers
from mdissect.models.text_towers import read_text_tower, small_text_tower, tokenizer_of, tokens_of, width_of_texts
from mdissect.models.timm_model import load_timm
from mdissect.models.tokens import TOKENIZER
from mdissect.models.towers import TEXT_POOLS, ImageTextModel
from mdissect.preprocess import Preprocess
from mdissect.signatures import validated

KIND = "image-text"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
SMALL = "small"
ADVICE = "take a whole copy of the folder, or train again"
EMBED_DIM = 512  # Mammo-CLIP's


@validated(text_pool=TEXT_POOLS)
def new_model(
    image: str,
    text: str | Path,
    *,
    texts: Sequence[str] = (),
    preprocess: Preprocess | None = None,
    text_weights: bool = True,
    text_pool: str = "eos",
    embed_dim: int = EMBED_DIM,
    seed: int = 0,
    **options,
) -> ImageTextDissector:
    """An image-text model to be pretrained: its two towers were never brought together.

    >>> model = new_model("timm/resnet18", "small", texts=["oval mass", "no mass"], embed_dim=64)
    >>> model.aligned, model.preprocess.size
    (False, (224, 224))

    Parameters
    ----------
    image : str
        "timm/<name>", or "mammo-clip/b5" and "mammo-clip/b2": Mammo-CLIP's EfficientNets, of which checkpoints in the published
        layout can be written. Maps are averaged over their positions; what is no map (tokens) is pooled as the tower does it.
    text : str or path
        A folder of an encoder of transformers (config.json, tokenizer.json or vocab.txt, and its weights), such as that of
        emilyalsentzer/Bio_ClinicalBERT; or "small": two layers with random weights and a vocabulary learnt from `texts`.
    texts : sequence of str
        Reports and phrases that a small text tower must spell.
    preprocess : Preprocess, optional
        By default timm's for the model, or Mammo-CLIP's.
    text_weights : bool
        False: the text tower of the folder starts with random weights.
    text_pool : {"eos", "mean"}
        The last token's state, as in Mammo-CLIP, or the mean over the tokens.
    embed_dim : int
        Width of the shared space.
    seed : int
        Of all random weights.
    **options
        For the image tower: checkpoint, pretrained, layers, img_size, ... (see `mdissect.models.timm_model.load_timm`); of
        "mammo-clip/...": checkpoint (of `load_timm` weights or the published .tar) and layers.

    Raises
    ------
    ValueError
        Unknown names (the closest are listed), or a small text tower without texts.
    CheckpointError
        Weights or a tokenizer that are missing or do not fit.
    """
    whole_number("embed_dim", embed_dim, 1)
    if str(text) == SMALL and not texts:
        raise ValueError("text='small' learns its vocabulary from texts=[...], the reports of the training; none were given")
    target, described = _image_tower(image, preprocess, seed, options)
    made = small_text_tower(texts, seed) if str(text) == SMALL else read_text_tower(text, text_weights, seed)
    text_tower, tokenizer, settings, notes = made
    size = target.preprocess.size
    width, image_pool = (
        width_of_images(target.module, target.preprocess.channels, size)
        if described["kind"] == "timm"
        else (VARIANTS[described["name"]].features, "avg")
    )
    architecture = Architecture(
        image=described,
        text=_plain(settings),
        tokens=tokens_of(tokenizer),
        image_features=width,
        text_features=width_of_texts(text_tower, text),
        embed_dim=embed_dim,
        image_pool=image_pool,
        text_pool=text_pool,
        layers=target.layers,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ImageTextModel(
            target.module,
            text_tower,
            image_features=width,
            text_features=architecture.text_features,
            embed_dim=embed_dim,
            text_pool=text_pool,
            image_pool=image_pool,
        )
    notes = ["its two towers were never aligned: similarities to texts are random", *target.notes, *notes]
    name = f"{image} + {Path(text).name}"
    return ImageTextDissector(name, model, tokenizer, target.preprocess, aligned=False, notes=notes, architecture=architecture)


def _image_tower(image: str, preprocess: Preprocess | None, seed: int, options: dict) -> tuple[Target, dict]:
    """The image tower as a target, and its part of the architecture."""
    kind, _, name = image.partition("/")
    one_of("image", kind, ("timm", "mammo-clip"))
    if kind == "timm":
        target = load_timm(name, seed=seed, preprocess=preprocess, **{**options, "num_classes": 0})
        reading = ("checkpoint", "weights", "key", "prefix", "ema", "pretrained", "layers", "strict")
        built = {option: value for option, value in options.items() if option not in reading}
        if target.preprocess.channels == 1:
            built["in_chans"] = 1
        return target, {"kind": kind, "name": name, "options": _plain(built)}
    variant = name or "b5"
    one_of("image", image, [f"mammo-clip/{known}" for known in VARIANTS])
    if unknown := sorted(options.keys() - {"checkpoint", "layers", "weights"}):
        raise TypeError(f"options of image={image!r} (checkpoint, layers, weights): unknown: {', '.join(unknown)}")
    given = {"preprocess": preprocess or PREPROCESS, "layers": options.get("layers")}
    if options.get("checkpoint") is not None:
        target = load_mammo_clip_target(variant, checkpoint=options["checkpoint"], weights=options.get("weights"), **given)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tower = build_image_tower({"kind": kind, "name": variant})
        layers = VARIANTS[variant].layer_paths(given["layers"])
        target = Target(image, tower, given["preprocess"], layers, "", (f"random weights (seed {seed})",))
    return target, {"kind": kind, "name": variant}


@validated()
def save_image_text(
    dissector: ImageTextDissector, folder: str | Path, name: str = "", notes: Sequence[str] = ()
) -> dict[str, str]:
    """Write an image-text model: config.json, model.safetensors and tokenizer.json; gives the files' checksums.

    `load_dissector(folder)` and `load_target(folder)` read them, under the name given. ValueError: a dissector that nothing
    describes (only demo models, Mammo-CLIP and models of `new_model` can be built again).
    """
    from safetensors.torch import save

    folder = Path(folder)
    architecture = architecture_of(dissector)
    tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in dissector.model.state_dict().items()}
    tokenizer = dissector.tokenizer.to_json().encode()
    data = save(tensors, {CONFIG: "names the checksum"})
    config = {
        "kind": KIND,
        "name": name or folder.name,
        **architecture.plain(),
        "preprocess": asdict(dissector.preprocess),
        "aligned": dissector.aligned,
        "notes": list(notes),
        "checksum": checksum(data),
        "tokenizer_checksum": checksum(tokenizer),
    }
    text = (json.dumps(without_folders(_plain(config)), indent=2) + "\n").encode()
    files = {TOKENIZER: tokenizer, WEIGHTS: data, CONFIG: text}
    for file, content in files.items():
        write_atomically(folder / file, content)
    note_use(folder / WEIGHTS, vouched=True)
    return {file: checksum(content) for file, content in files.items()}


def architecture_of(dissector: ImageTextDissector) -> Architecture:
    """What builds a dissector again; ValueError where nothing does."""
    if dissector.architecture is None:
        raise ValueError(
            f"dissector {dissector.name!r} cannot be trained on or saved: nothing describes its towers; take a demo model, "
            "mammo-clip, or new_model('timm/<name>', <folder of a text model>)"
        )
    return dissector.architecture


def load_image_text(folder: str | Path) -> ImageTextDissector:
    """The image-text model that `save_image_text` wrote; CheckpointError for files that are damaged or of different models."""
    folder = Path(folder)
    stamp = tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in _files_of(folder))
    return _read(str(folder), stamp)


def load_image_text_target(folder: str | Path, *, layers: str | Sequence[str] | None = None) -> Target:
    """The image tower of such a model."""
    dissector = load_image_text(folder)
    return Target(
        dissector.name,
        dissector.image_tower,
        dissector.preprocess,
        dissector.architecture.layers if layers is None else as_layers(layers),
        dissector.image_fingerprint,
        dissector.notes,
    )


def is_image_text(config: Mapping) -> bool:
    """Whether a config.json is that of `save_image_text`."""
    return config.get("kind") == KIND


def _files_of(folder: Path) -> list[Path]:
    paths = [folder / name for name in (CONFIG, WEIGHTS, TOKENIZER)]
    if absent := [path.name for path in paths if not path.is_file()]:
        raise CheckpointError(f"{folder} is no whole image-text model: {', '.join(absent)} missing; {ADVICE}")
    return paths


@lru_cache(maxsize=4)
def _read(folder: str, stamp: tuple) -> ImageTextDissector:
    """The model in a folder. `stamp` is the state of its files: after a change they are read again."""
    config_file, weights, tokens = _files_of(Path(folder))
    config = read_settings(config_file, ADVICE)
    if not is_image_text(config):
        raise CheckpointError(f"{config_file} describes no image-text model (kind: {config.get('kind')!r})")
    check_fields(config, {}, config_file, needed=("preprocess", "aligned", "checksum", "tokenizer_checksum"))
    for path, key, read in ((weights, "checksum", Path.read_bytes), (tokens, "tokenizer_checksum", text_bytes)):
        if checksum(read(path)) != config[key]:
            raise CheckpointError(f"{path} is damaged, or of another training than its {CONFIG}; {ADVICE}")
    note_use(weights, vouched=True)
    architecture = Architecture.parsed(config, config_file)
    with building(config_file):
        preprocess = Preprocess(**{key: tuple(v) if isinstance(v, list) else v for key, v in config["preprocess"].items()})
        tokenizer = tokenizer_of(Path(folder), architecture.tokens)
    with torch.random.fork_rng(devices=[]), building(config_file):
        model = architecture.build()
    fill(model, weights)
    if model.text_tower.get_input_embeddings().num_embeddings <= tokenizer.largest_id:
        raise CheckpointError(f"{tokens} has more tokens than the text tower: they belong to different models; {ADVICE}")
    return ImageTextDissector(
        str(config.get("name") or Path(folder).name),
        model,
        tokenizer,
        preprocess,
        aligned=bool(config["aligned"]),
        notes=tuple(config.get("notes", ())),
        architecture=architecture,
    )


def trained_copy(dissector: ImageTextDissector, model: nn.Module, name: str, notes: Sequence[str]) -> ImageTextDissector:
    """A dissector of a model that was trained from another, with its tokens and preparation."""
    architecture = architecture_of(dissector)
    return ImageTextDissector(
        name, model, dissector.tokenizer, dissector.preprocess, aligned=True, notes=notes, architecture=architecture
    )


def fingerprint_of(dissector: ImageTextDissector) -> str:
    """A hash of both towers and their tokens."""
    return hashlib.sha256(f"{dissector.fingerprint}\n{dissector.text_fingerprint}".encode()).hexdigest()


def _plain(value: object) -> object:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))
