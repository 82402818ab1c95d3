"""Any model of timm as a target."""

import contextlib
import difflib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mdissect.arguments import true_or_false, whole_number
from mdissect.models.checkpoints import CheckpointError, weights_fingerprint
from mdissect.models.fitting import find_part, load_weights
from mdissect.models.reach import out_of_reach
from mdissect.models.state_dicts import NamedTensors, NoSuchWeightsError, read_state_dict
from mdissect.models.target import Target, as_layers, default_layers, freeze
from mdissect.preprocess import Preprocess

_INSTEAD = "give checkpoint=<a local file with its weights>, or leave pretrained out for random weights"
INTERPOLATIONS = ("area", "bilinear", "bicubic")
EMA_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")


def load_timm(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    weights: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ema: bool = False,
    pretrained: bool = False,
    preprocess: Preprocess | None = None,
    layers: str | Sequence[str] | None = None,
    strict: bool = True,
    seed: int = 0,
    **options,
) -> Target:
    """A model of timm as a target.

    >>> load_timm("resnet18", checkpoint="weights.safetensors", layers=["layer4"])  # doctest: +SKIP

    Parameters
    ----------
    name : str
        As timm knows it: "resnet50", "efficientnet_b5", "vit_small_patch16_224", ...
    checkpoint : path, optional
        A local weights file (safetensors, .pth, .pt, .tar), see `mdissect.models.checkpoints`. The classifier gets as many
        classes as the file has for it, or is left out; a first convolution of one channel is recognised. Shapes that depend on
        the image size are adapted as timm does it, and noted.
    weights : str, optional
        Of several sets of weights in the checkpoint, the one under this name, such as "state_dict_ema" or "student.backbone".
    key, prefix : str, optional
        The same in two parts: the entry of the checkpoint, and what the names of its weights begin with ("module.backbone.").
    ema : bool
        Take the running mean of the weights that a training kept (`EMA_KEYS`).
    pretrained : bool
        Let timm download its weights (where the network is out of reach, those it downloaded before). Without this and
        without a checkpoint the weights are random.
    preprocess : Preprocess, optional
        By default what timm says about the model: image size (that of `img_size` where given), mean, standard deviation and
        interpolation, values divided by the type's maximum; the whole image is resized, not cropped.
    layers : str or sequence of str, optional
        By default `default_layers`: the ends of the three thirds of the network's stages.
    strict : bool
        False: load what fits of the checkpoint, and note what does not.
    seed : int
        Of random weights.
    **options
        For timm.create_model: pad_type, img_size, in_chans, num_classes, ...
    """
    chosen_by = {"weights": weights, "key": key, "prefix": prefix, "ema": true_or_false("ema", ema) or None}
    chosen_by = {one: value for one, value in chosen_by.items() if value is not None}
    _check_options(checkpoint, chosen_by, pretrained, seed, options)
    _check_name(name)
    notes = []
    if checkpoint is not None:
        state, notes = _state_of(checkpoint, weights, key, prefix, ema)
        module, options = _create_for(state, name, seed, options, checkpoint)
        notes += _fill(module, state, strict, checkpoint)
    else:
        module = _create(name, pretrained, seed, options | (_within_reach(name, options) if pretrained else {}))
        if not pretrained:
            notes.append(f"random weights (seed {seed}): give checkpoint= or pretrained=True for a trained model")
    if preprocess is None:
        preprocess = _default_preprocess(module, options)
        notes.append(f"preprocessing as timm gives it: {preprocess}")
    chosen = default_layers(module) if layers is None else as_layers(layers)
    freeze(module)
    return Target(f"timm/{name}", module, preprocess, chosen, weights_fingerprint(module), tuple(notes))


def _check_options(
    checkpoint: str | Path | None, chosen_by: Mapping, pretrained: bool, seed: int, options: Mapping[str, object]
) -> None:
    true_or_false("pretrained", pretrained)
    whole_number("seed", seed, least=0)
    least = {"num_classes": 0, "in_chans": 1}
    for name in least.keys() & options.keys():
        whole_number(name, options[name], least[name])
    if checkpoint is not None and pretrained:
        raise ValueError("checkpoint= and pretrained=True are both given; choose one source of weights")
    for name, value in chosen_by.items() if checkpoint is None else ():
        raise ValueError(f"{name}={value!r} names the weights in a checkpoint; give checkpoint= too")
    if len(chosen_by) > 1 and ("weights" in chosen_by or {"key", "ema"} <= chosen_by.keys()):
        names = " and ".join(f"{name}=" for name in chosen_by)
        raise ValueError(f"{names} name the weights to take in two ways; give one, or prefix= with key= or ema=")


def _state_of(
    checkpoint: str | Path, weights: str | None, key: str | None, prefix: str | None, ema: bool
) -> tuple[NamedTensors, list[str]]:
    """The chosen weights of a checkpoint, and notes."""
    if ema:
        for one in EMA_KEYS:
            with contextlib.suppress(NoSuchWeightsError):
                return read_state_dict(checkpoint, ".".join(filter(None, (one, prefix))))
        raise CheckpointError(f"{checkpoint} has no running mean of the weights ({', '.join(EMA_KEYS)}); leave ema=True out")
    named = weights if weights is not None else ".".join(filter(None, (key, prefix))) or None
    return read_state_dict(checkpoint, named)


def _check_name(name: str) -> None:
    import timm

    if not timm.is_model(name.partition(".")[0]):
        close = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), n=5, cutoff=0.5)
        hint = f"; closest: {', '.join(close)}" if close else ""
        raise ValueError(f"timm has no model {name!r}{hint}; timm.list_models() lists all")


def create(name: str, options: Mapping) -> nn.Module:
    """A model of timm with random weights; ValueError, with the closest names, for an unknown one."""
    _check_name(name)
    return _create(name, False, 0, options)


def _create(name: str, pretrained: bool, seed: int, options: Mapping) -> nn.Module:
    """timm.create_model with seeded random weights; the caller's random state is unchanged."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return timm.create_model(name, pretrained=pretrained, **options)
        except TypeError as error:
            raise TypeError(f"timm/{name} does not take all of the options {', '.join(options)}: {error}") from error
        except Exception as error:  # of the model's code, of the network's library or of the disk
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if pretrained:
                raise CheckpointError(f"timm/{name}: its pretrained weights cannot be loaded ({reason}); {_INSTEAD}") from error
            raise ValueError(f"timm/{name} cannot be made with {', '.join(options) or 'its defaults'}: {reason}") from error


def _within_reach(name: str, options: Mapping) -> dict:
    """Options that take pretrained weights from the cache where the network is out of reach; CheckpointError without them."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if "pretrained_cfg" in options or "pretrained_cfg_overlay" in options:
        return {}
    if known is None or not known.has_weights:
        raise CheckpointError(f"timm has no pretrained weights for {name!r}; {_INSTEAD}")
    repository, _, revision = (known.hf_hub_id or "").partition("@")
    source = f"{repository} on the Hugging Face hub" if repository else known.url
    obstacle = out_of_reach(None if repository else known.url)
    if obstacle is None:
        return {}
    if not repository and (Path(torch.hub.get_dir()) / "checkpoints" / known.url.rsplit("/", 1)[-1]).is_file():
        return {}
    for file in [known.hf_hub_filename] if known.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]:
        kept = try_to_load_from_cache(repository, file, revision=revision or None) if repository else None
        if isinstance(kept, str):
            return {"pretrained_cfg_overlay": {"file": kept}}
    raise CheckpointError(f"timm/{name}: its pretrained weights ({source}) are not on this machine, and {obstacle}; {_INSTEAD}")


def _create_for(state: NamedTensors, name: str, seed: int, options: dict, checkpoint: str | Path) -> tuple[nn.Module, dict]:
    """A model with as many classes and input channels as a checkpoint has, where the options do not say, and the options."""
    module = _create(name, False, seed, options)
    part = find_part(module, state, strict=False, source=checkpoint)
    found = _read_off({key.removeprefix(part.prefix): tensor for key, tensor in state.items()}, name)
    if found == {"num_classes": getattr(module, "num_classes", None)} or found.keys() <= options.keys():
        return module, found | options
    return _create(name, False, seed, found | options), found | options


def _heads_and_stems(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Module paths of a timm model's classifiers and first convolutions; mostly one each, sometimes none."""
    import timm

    known = timm.get_pretrained_cfg(name, allow_unregistered=True)
    named = (known.classifier, known.first_conv) if known else (None, None)
    return tuple((paths,) if isinstance(paths, str) else tuple(paths or ()) for paths in named)


def _read_off(state: Mapping[str, Tensor], name: str) -> dict[str, int]:
    """The options num_classes (0 without classifier) and in_chans (where it is 1) that a checkpoint was made with."""
    heads, stems = _heads_and_stems(name)

    def shapes(paths: tuple[str, ...]) -> list[torch.Size]:
        return [state[f"{path}.weight"].shape for path in paths if f"{path}.weight" in state]

    read = {"num_classes": next((shape[0] for shape in shapes(heads)), 0)}
    if any(len(shape) == 4 and shape[1] == 1 for shape in shapes(stems)):
        read["in_chans"] = 1
    return read


def _fill(module: nn.Module, state: Mapping[str, Tensor], strict: bool, checkpoint: str | Path) -> list[str]:
    """Load a checkpoint; where it does not fit as it is, after the conversion that timm has for the model's family."""
    unused = "" if getattr(module, "num_classes", None) else r"(fc|classifier|head|head_dist)\..*"
    fitting = partial(load_weights, module, unused=unused, source=checkpoint)
    part = find_part(module, state, strict=False, source=checkpoint)  # where several parts fit, converting does not help
    try:
        return fitting(state)
    except CheckpointError:
        if (converted := _converted(module, state, part.prefix)) is not None:
            with contextlib.suppress(CheckpointError):
                return [*fitting(converted), "names or shapes of the checkpoint were converted to the model's by timm"]
        if strict:
            raise
    return fitting(state, strict=False)


def _converted(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor] | None:
    """The weights after timm's converter (other names, other image size); None where it has none for this file."""
    convert = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    try:
        return dict(convert({name.removeprefix(prefix): tensor for name, tensor in state.items()}, module))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, AssertionError):
        return None  # written for files of its own family; the caller reports what does not fit


def _default_preprocess(module: nn.Module, options: Mapping) -> Preprocess:
    """timm's data configuration as a Preprocess: the whole image, resized to the model's input."""
    from timm.data import resolve_model_data_config

    given = resolve_model_data_config(module)
    size = options.get("img_size") or given["input_size"][1:]
    height, width = (size, size) if isinstance(size, int) else size
    mean, std, channels = tuple(given["mean"]), tuple(given["std"]), options.get("in_chans", 3)
    if channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    known = given["interpolation"] in INTERPOLATIONS
    return Preprocess(
        size=(height, width),
        scale="dtype",
        mean=mean,
        std=std,
        channels=channels,
        interpolation=given["interpolation"] if known else "bilinear",
    )
