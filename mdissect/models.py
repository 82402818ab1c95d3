"""Targets and dissectors, made from a name or a module; always in eval mode."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from mdissect.checkpoints import weights_fingerprint
from mdissect.preprocess import Preprocess
from mdissect.registry import Registry, call
from mdissect.towers import ImageTextModel

TEXTS_AT_A_TIME = 256


@dataclass(frozen=True)
class Target:
    """A vision model to be dissected.

    Attributes
    ----------
    name : str
    module : nn.Module
        In eval mode; called with a batch (n, channels, height, width) that `preprocess` made.
    preprocess : Preprocess
    layers : tuple of str
        The module paths that are dissected unless others are asked for.
    fingerprint : str
        Hash of structure and weights, see `mdissect.checkpoints.weights_fingerprint`.
    notes : tuple of str
        What one should know about how it was made.
    """

    name: str
    module: nn.Module
    preprocess: Preprocess
    layers: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> "Target":
        """Move the module to a device (in place) and return the target."""
        self.module.to(device)
        return self


class Dissector(ABC):
    """What puts images and texts into one space, so that a concept can be compared with an image.

    Attributes
    ----------
    name : str
    aligned : bool
        Whether images and texts were ever brought together; without that the similarities mean nothing.
    needs_pixels : bool
        True: `embed_images` works. False: `encode_ids` does.
    preprocess : Preprocess or None
        From an image to what `embed_images` takes; None where no pixels are needed.
    image_tower : nn.Module or None
        The part that a target may share.
    fingerprint, image_fingerprint, text_fingerprint : str
        Hashes of what makes the image embeddings, of the image tower alone (equal to the fingerprint of a target with the
        same tower), and of what makes the text embeddings.
    notes : tuple of str
    """

    name: str
    aligned: bool
    needs_pixels: bool
    fingerprint: str
    text_fingerprint: str
    preprocess: Preprocess | None = None
    image_tower: nn.Module | None = None
    image_fingerprint: str | None = None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors (n, d)."""

    def embed_images(self, batch: Tensor) -> Tensor:
        """Embed prepared images (n, channels, height, width) as unit vectors (n, d)."""
        raise TypeError(f"dissector {self.name!r} sees no pixels: use encode_ids with image ids")

    def encode_ids(self, ids: Sequence[str]) -> Tensor:
        """Embed images, known by their ids, as unit vectors (n, d)."""
        raise TypeError(f"dissector {self.name!r} knows no image ids: use embed_images with prepared images")

    def to(self, device: torch.device | str) -> "Dissector":
        """Move what computes to a device (in place) and return the dissector."""
        return self


class ImageTextDissector(Dissector):
    """A dissector made of an image tower and a text tower.

    Parameters
    ----------
    name : str
    model : ImageTextModel
        Put into eval mode, without gradients.
    tokenizer : callable
        From a list of texts to input_ids and attention_mask (n, length); `to_json` describes it for the fingerprint.
    preprocess : Preprocess
    aligned : bool
    notes : sequence of str
    """

    needs_pixels = True

    def __init__(
        self,
        name: str,
        model: ImageTextModel,
        tokenizer: Callable[[list[str]], tuple[Tensor, Tensor]],
        preprocess: Preprocess,
        *,
        aligned: bool,
        notes: Sequence[str] = (),
    ):
        self.name = name
        self.model = freeze(model)
        self.tokenizer = tokenizer
        self.preprocess = preprocess
        self.aligned = aligned
        self.notes = tuple(notes)
        self.image_tower = model.image_tower

    @cached_property
    def image_fingerprint(self) -> str:
        return weights_fingerprint(self.model.image_tower)

    @cached_property
    def fingerprint(self) -> str:
        return joint_fingerprint(
            self.image_fingerprint, self.model.image_pool, weights_fingerprint(self.model.image_projection)
        )

    @cached_property
    def text_fingerprint(self) -> str:
        towers = (weights_fingerprint(part) for part in (self.model.text_tower, self.model.text_projection))
        return joint_fingerprint(*towers, self.model.text_pool, self.tokenizer.to_json())

    @torch.inference_mode()
    def embed_images(self, batch: Tensor) -> Tensor:
        """Embed prepared images (n, channels, height, width) as unit vectors (n, d), on the model's device."""
        return self.model.encode_images(batch.to(self._device(), memory_format=torch.channels_last))

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors (n, d), on the model's device.

        Raises
        ------
        ValueError
            A text without any word that the tokenizer knows.
        """
        input_ids, attention_mask = (tensor.to(self._device()) for tensor in self.tokenizer(list(texts)))
        parts = zip(input_ids.split(TEXTS_AT_A_TIME), attention_mask.split(TEXTS_AT_A_TIME), strict=True)
        return torch.cat([self.model.encode_tokens(*part) for part in parts])

    def to(self, device: torch.device | str) -> "ImageTextDissector":
        """Move both towers to a device (in place; a target that shares the image tower moves along)."""
        self.model.to(device)
        return self

    def _device(self) -> torch.device:
        return self.model.logit_scale.device


_TARGETS = Registry("target", "or an nn.Module with preprocess=")
_DISSECTORS = Registry("dissector", "or a Dissector")
# Decorators of loaders: @register_target("timm", usage="timm/<name>") above a function (rest of the name, **options).
register_target = _TARGETS.register
register_dissector = _DISSECTORS.register
# The options that the loader of a name takes, with their defaults: target_options("timm/resnet18").
target_options = _TARGETS.options
dissector_options = _DISSECTORS.options


def load_target(spec: "str | nn.Module | Target", *, untrained: int | None = None, **options) -> Target:
    """The model to dissect, from a name, or from a module of your own.

    Parameters
    ----------
    spec : str, nn.Module or Target
        "demo/mammo", "mammo-clip", "mammo-classifier" (options: see `mdissect.mammoclip`), "general", "clip",
        "timm/<name>" (options: see `mdissect.timm_models.load_timm`). A Target passes through. A module is wrapped: it is put
        into eval mode and its maps into channels-last order, in place.
    untrained : int, optional
        A seed: the same architecture before any training (see `mdissect.baselines.untrained`).
    **options
        For a module: preprocess (a `Preprocess`, required), layers (module paths; by default about three, spread over the
        depth: see `default_layers`), name.

    Raises
    ------
    ValueError
        Unknown name (the known ones and the closest are listed).
    TypeError
        An option that this kind of target does not take.

    Examples
    --------
    >>> load_target("timm/resnet18", checkpoint="weights.safetensors")                      # doctest: +SKIP
    >>> load_target(my_module, preprocess=Preprocess(size=(512, 320)), layers=["layer4"])    # doctest: +SKIP
    """
    if isinstance(spec, Target):
        target = _pass_through(spec, "Target", options)
    elif isinstance(spec, nn.Module):
        target = call(_wrap, spec, f"target {type(spec).__name__}", options)
    else:
        target = _TARGETS.load(spec, options)
    if untrained is None:
        return target
    from mdissect import baselines

    return baselines.untrained(target, untrained)


def load_dissector(spec: "str | Dissector", *, random_projection: int | None = None, **options) -> Dissector:
    """What compares images with concepts, from a name.

    Parameters
    ----------
    spec : str or Dissector
        "demo/mammo", "demo/general", "demo/clip", "mammo-clip" (options: see `mdissect.mammoclip`), "general", "clip",
        "labels" (options: see `mdissect.oracle.load_labels`). A Dissector passes through.
    random_projection : int, optional
        A seed: the same towers, their images and texts scrambled (see `mdissect.baselines.random_projection`).
    **options
        What the kind of dissector takes.

    Raises
    ------
    ValueError
        Unknown name (the known ones and the closest are listed).
    TypeError
        An option that this kind of dissector does not take.
    """
    dissector = _pass_through(spec, "Dissector", options) if isinstance(spec, Dissector) else _DISSECTORS.load(spec, options)
    if random_projection is None:
        return dissector
    from mdissect import baselines

    return baselines.random_projection(dissector, random_projection)


def freeze(module: nn.Module) -> nn.Module:
    """Put a module that is ours into eval mode, without gradients, in channels-last order (faster on CPUs too)."""
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def as_layers(layers: str | Sequence[str]) -> tuple[str, ...]:
    """Module paths as a tuple; a single path may come as a string."""
    return (layers,) if isinstance(layers, str) else tuple(layers)


def default_layers(module: nn.Module) -> tuple[str, ...]:
    """The ends of the first, second and last third of a network's stages.

    Stages are those that timm lists in `feature_info`. Other modules: the children that hold weights, a container of
    children counting as its parts, without a fully connected layer at the end.

    Examples
    --------
    >>> default_layers(timm.create_model("resnet18"))        # stages act1, layer1, ..., layer4
    ('layer1', 'layer3', 'layer4')
    """
    names = set(dict(module.named_modules()))
    info = getattr(module, "feature_info", [])
    stages = [entry["module"] for entry in info if entry.get("module") in names] if isinstance(info, list) else []
    stages = stages or _children_with_weights(module)
    if not stages:
        raise ValueError(f"{type(module).__name__} has no layers to choose from; give layers=[...] with module paths")
    ends = sorted({-(-len(stages) * third // 3) - 1 for third in (1, 2, 3)})
    return tuple(stages[end] for end in ends)


def _children_with_weights(module: nn.Module, path: str = "") -> list[str]:
    children = [(f"{path}{name}", child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    if len(children) > 1 and isinstance(children[-1][1], nn.Linear):
        children = children[:-1]
    if len(children) == 1 and any(True for _ in children[0][1].children()):
        return _children_with_weights(children[0][1], f"{children[0][0]}.")
    names = []
    for name, child in children:
        parts = isinstance(child, (nn.Sequential, nn.ModuleList)) and len(child) > 0
        names += [f"{name}.{i}" for i in range(len(child))] if parts else [name]
    return names


def _wrap(
    module: nn.Module,
    *,
    preprocess: Preprocess | None = None,
    layers: Sequence[str] | None = None,
    name: str | None = None,
) -> Target:
    """A Target of one's own module. Its gradients stay as they are: it may be in the middle of its training."""
    if not isinstance(preprocess, Preprocess):
        found = "none was given" if preprocess is None else f"{type(preprocess).__name__} was given"
        raise TypeError(
            f"a module of your own needs preprocess=mdissect.Preprocess(size=(height, width), ...), the way its images are "
            f"prepared; {found}"
        )
    module.eval().to(memory_format=torch.channels_last)
    chosen = default_layers(module) if layers is None else as_layers(layers)
    notes = (f"layers chosen by default: {', '.join(chosen)}",) if layers is None else ()
    return Target(name or type(module).__name__, module, preprocess, chosen, weights_fingerprint(module), notes)


def _pass_through(model, kind: str, options: dict):
    if options:
        raise TypeError(f"a finished {kind} takes no options, found {', '.join(options)}")
    return model


def joint_fingerprint(*parts: str) -> str:
    """One hash of several strings."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
