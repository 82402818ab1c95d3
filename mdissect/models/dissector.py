"""Dissectors: models that embed images and texts in one space."""

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mdissect.models.checkpoints import weights_fingerprint
from mdissect.models.target import freeze
from mdissect.models.tokens import TokenizedTexts, as_texts
from mdissect.models.towers import ImageTextModel
from mdissect.preprocess import Preprocess

if TYPE_CHECKING:
    from mdissect.models.architecture import Architecture

TEXTS_AT_A_TIME = 256


class Dissector(ABC):
    """Embeds images and texts in one space, so that a concept can be compared with an image.

    Attributes
    ----------
    aligned : bool
        Whether images and texts were ever brought together; without that the similarities mean nothing.
    reads_sentences : bool
        Whether texts may be any sentences; False where they are names of labels.
    needs_pixels : bool
        True: `embed_images` works. False: `encode_ids` does.
    preprocess : Preprocess or None
        From an image to what `embed_images` takes; None where no pixels are needed.
    image_tower : nn.Module or None
        The part that a target may share.
    fingerprint, image_fingerprint, text_fingerprint : str
        Hashes of what makes the image embeddings, of the image tower alone (equal to the fingerprint of a target with the
        same tower), and of what makes the text embeddings.
    """

    name: str
    aligned: bool
    needs_pixels: bool
    fingerprint: str
    text_fingerprint: str
    reads_sentences: bool = True
    preprocess: Preprocess | None = None
    image_tower: nn.Module | None = None
    image_fingerprint: str | None = None
    notes: tuple[str, ...] = ()

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as unit vectors (n, d)."""

    def alike(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Groups of different texts that have the same embedding for every image."""
        return []

    def embed_images(self, batch: Tensor) -> Tensor:
        """Embed prepared images (n, channels, height, width) as unit vectors (n, d)."""
        raise TypeError(f"dissector {self.name!r} sees no pixels: use encode_ids with image ids")

    def encode_ids(self, ids: Sequence[str]) -> Tensor:
        """Embed images, known by their ids, as unit vectors (n, d)."""
        raise TypeError(f"dissector {self.name!r} knows no image ids: use embed_images with prepared images")

    def to(self, device: torch.device | str) -> "Dissector":
        """Move the models to a device (in place) and return the dissector."""
        return self

    def with_image_tower(self, tower: nn.Module) -> "Dissector | None":
        """The same dissector with a copy of its image tower in the place of that; None where it cannot be given one."""
        return None


class ImageTextDissector(Dissector):
    """A dissector made of an image tower and a text tower; its attributes are those of `Dissector`.

    Parameters
    ----------
    model : ImageTextModel
        Put into eval mode, without gradients.
    tokenizer : TokenizedTexts
        From texts to input_ids and attention_mask (n, length); its `to_json` is part of the fingerprint.
    architecture : Architecture, optional
        What builds the towers again, so that the dissector can be trained on and saved; None where nothing does.
    """

    needs_pixels = True

    def __init__(
        self,
        name: str,
        model: ImageTextModel,
        tokenizer: TokenizedTexts,
        preprocess: Preprocess,
        *,
        aligned: bool,
        notes: Sequence[str] = (),
        architecture: "Architecture | None" = None,
    ):
        self.name = name
        self.architecture = architecture
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
        """Embed texts as unit vectors (n, d), on the model's device; ValueError for one too long or without a known word."""
        input_ids, attention_mask = (tensor.to(self._device()) for tensor in self.tokenizer(texts))
        parts = zip(input_ids.split(TEXTS_AT_A_TIME), attention_mask.split(TEXTS_AT_A_TIME), strict=True)
        return torch.cat([self.model.encode_tokens(*part) for part in parts])

    def alike(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The groups of different texts with the same tokens; ValueError as `embed_texts`."""
        texts = as_texts(texts)
        return same(texts, map(tuple, self.tokenizer.token_ids(texts)))

    def to(self, device: torch.device | str) -> "ImageTextDissector":
        """Move both towers to a device (in place; a target that shares the image tower moves along)."""
        self.model.to(device)
        return self

    def with_image_tower(self, tower: nn.Module) -> "ImageTextDissector":
        """The same dissector, of the same fingerprints, with a copy of its image tower in the place of that."""
        known = {"fingerprint": self.fingerprint, "image_fingerprint": self.image_fingerprint}  # of the tower as it was loaded
        other, model = copy.copy(self), copy.copy(self.model)
        model._modules = {**self.model._modules, "image_tower": tower}
        other.__dict__ |= {"model": model, "image_tower": tower, **known}
        return other

    def _device(self) -> torch.device:
        return self.model.logit_scale.device


def same(texts: Sequence[str], keys: Iterable[Hashable]) -> list[tuple[str, ...]]:
    """The groups of different texts that have the same key."""
    groups: dict[Hashable, dict[str, None]] = {}
    for text, key in zip(texts, keys, strict=True):
        groups.setdefault(key, {})[text] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]


def joint_fingerprint(*parts: str) -> str:
    """One hash of several strings."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
