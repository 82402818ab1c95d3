"""A dissector whose towers are built when they are first needed."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from mdissect.models.dissector import ImageTextDissector
from mdissect.models.later import Later
from mdissect.models.tokens import TokenizedTexts
from mdissect.models.towers import ImageTextModel
from mdissect.preprocess import Preprocess

if TYPE_CHECKING:
    from mdissect.models.architecture import Architecture

FINGERPRINTS = ("fingerprint", "image_fingerprint", "text_fingerprint")


class DissectorLater(ImageTextDissector):
    """An `ImageTextDissector` of a model and a tokenizer that are made when they are first needed.

    `fingerprints` holds the three that the dissector would have, by name; `network` gives an `ImageTextModel` that is frozen,
    `architecture` says of model and tokenizer what builds them again.
    """

    def __init__(
        self,
        name: str,
        network: Later,
        tokenizer: Callable[[], TokenizedTexts],
        preprocess: Preprocess,
        fingerprints: Mapping[str, str],
        *,
        aligned: bool,
        notes: Sequence[str] = (),
        architecture: "Callable[[ImageTextModel, TokenizedTexts], Architecture] | None" = None,
    ):
        self._describe = architecture
        self.name, self.preprocess, self.aligned, self.notes = name, preprocess, aligned, tuple(notes)
        self.network, self._make_tokenizer = network, tokenizer
        self.__dict__ |= {one: fingerprints[one] for one in FINGERPRINTS}

    @cached_property
    def model(self) -> ImageTextModel:
        return self.network()

    @cached_property
    def tokenizer(self) -> TokenizedTexts:
        return self._make_tokenizer()

    @cached_property
    def image_tower(self) -> nn.Module:
        return self.model.image_tower

    @cached_property
    def architecture(self) -> "Architecture | None":
        return None if self._describe is None else self._describe(self.model, self.tokenizer)

    def to(self, device: torch.device | str) -> "DissectorLater":
        """Move both towers to a device, once they are built (in place; a target that shares the image tower moves along)."""
        (self.__dict__.get("model") or self.network).to(device)  # the model of `with_image_tower` is another one
        return self


def fingerprints_of(model: ImageTextModel, tokenizer: TokenizedTexts, preprocess: Preprocess) -> dict[str, str]:
    """The fingerprints of a dissector, by name."""
    dissector = ImageTextDissector("", model, tokenizer, preprocess, aligned=True)
    return {one: getattr(dissector, one) for one in FINGERPRINTS}
