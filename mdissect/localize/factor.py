"""Mammo-FActOR: which channels of a frozen network carry an attribute, learnt from labels of images alone, and their maps.

A small mapper per attribute (Linear, ReLU, Linear) takes each channel's flattened map into the space of the texts. The score of
an image is the largest cosine over the channels with the embedding of the attribute's sentence; the maps of the best channels
show where it is (Ghosh et al., Mammo-CLIP, MICCAI 2024). `mdissect.train.train_factor` makes one.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.arguments import AT_LEAST_ONE, listed
from mdissect.localize.maps import mirrored, network_maps, upsample
from mdissect.localize.stored import on_grid
from mdissect.metrics import auc_matrix
from mdissect.models import Dissector, Target
from mdissect.signatures import validated

TEMPERATURE = 0.07
N_CHANNELS = 5  # whose maps make a heatmap
N_RANKED = 20  # channels that are kept in order for each attribute
CHOICES = ("peak", "attribute", "image")


class FactorMapper(nn.Module):
    """A mapper per attribute from a channel's flattened map (n_places,) into the space of the texts (d,).

    Parameters
    ----------
    text_embeddings : Tensor (n_attributes, d)
    n_places, hidden : int
        Width of a map, and of the mappers between their two layers.
    scale : float Tensor (2, n_channels) or (2, 1)
        Mean and standard deviation by which maps are brought to one scale: of each channel, or of all.
    n_channels : int, optional
        The first layer's bias is one per channel; by default the channels share it: a mapper knows a channel by its map alone.
    """

    def __init__(
        self, text_embeddings: Tensor, n_places: int, hidden: int, scale: Tensor | None = None, n_channels: int | None = None
    ):
        super().__init__()
        n_attributes, width = text_embeddings.shape
        self.first = nn.Parameter(_drawn((n_attributes, n_places, hidden), n_places))
        self.first_bias = nn.Parameter(_drawn((n_attributes, n_channels or 1, hidden), n_places))
        self.second = nn.Parameter(_drawn((n_attributes, hidden, width), hidden))
        self.second_bias = nn.Parameter(_drawn((n_attributes, 1, width), hidden))
        self.register_buffer("texts", F.normalize(text_embeddings.float(), dim=-1))
        self.register_buffer("scale", torch.tensor([[0.0], [1.0]]) if scale is None else scale.clone().float())
        self.register_buffer("ranking", torch.zeros(n_attributes, 0, dtype=torch.int64))
        self.register_buffer("peaks", torch.zeros(n_attributes, 0, dtype=torch.int64))
        self.register_buffer("spread", torch.ones(0))

    def rank(self, maps: Tensor, present: np.ndarray) -> None:
        """Set `ranking`, `peaks` (n_attributes, up to 20) and `spread` (n_channels,) by maps and truth.

        `maps` (n_images, n_channels, n_places), `present` (n_images, n_attributes) bool.
        `ranking`: the channels whose cosine tells images with an attribute best from those without, by AUC, among those whose
        cosine rises with the mean of their map; others carry it by what is dark, and their maps would point elsewhere. Without
        such a channel: all. `peaks`: the channels whose largest value tells them best, whatever the mapper makes of the map: a
        mapper may know an attribute by what it does to the rest of the image. `spread`: the standard deviation of each
        channel's maps, 1 where they are constant.
        """
        cosines = np.concatenate([self.cosines(some.float()).numpy() for some in maps.split(64)])
        means = np.concatenate([some.float().mean(dim=2).numpy() for some in maps.split(64)])
        largest = np.concatenate([some.float().amax(dim=2).numpy() for some in maps.split(64)])
        spread = np.array([maps[:, channel].float().std().item() for channel in range(maps.shape[1])])
        rankings = [_ranked(cosines[:, i], means, of_attribute) for i, of_attribute in enumerate(present.T)]
        self.ranking = torch.from_numpy(np.stack(rankings)[:, :N_RANKED].copy())
        areas = auc_matrix(largest, present).T.round(6)
        self.peaks = torch.from_numpy(np.argsort(-areas, axis=1, kind="stable")[:, :N_RANKED].copy())
        self.spread = torch.from_numpy(np.where(np.isfinite(spread) & (spread > 0), spread, 1.0)).float()

    @torch.no_grad()
    def cosines(self, maps: Tensor) -> Tensor:
        """The cosines (n_images, n_attributes, n_channels) of all channels' maps (n_images, n_channels, n_places)."""
        shape, found = maps.shape[:2], []
        scaled = ((maps - self.scale[0][:, None]) / self.scale[1][:, None]).flatten(0, 1)
        for first, first_bias, last, text in zip(self.first, self.first_bias, *self._rotated(), strict=True):
            hidden = torch.relu((scaled @ first).unflatten(0, shape) + first_bias).flatten(0, 1)
            mapped = torch.addmm(last[-1:], hidden, last[:-1])
            found.append(((mapped @ text) / mapped.norm(dim=1).clamp(min=1e-8)).unflatten(0, shape))
        return torch.stack(found, dim=1)

    def cosines_of(self, maps: Tensor, channels: Tensor, attributes: Tensor) -> Tensor:
        """The cosines (n,) of maps (n, n_places), each of the channel and for the attribute (n,) that are named beside it."""
        own = torch.zeros_like(channels) if self.scale.shape[1] == 1 else channels
        biased = torch.zeros_like(channels) if self.first_bias.shape[1] == 1 else channels
        scaled = (maps - self.scale[0][own][:, None]) / self.scale[1][own][:, None]
        found = scaled.new_zeros(len(maps))
        for attribute in attributes.unique().tolist():
            at = torch.nonzero(attributes == attribute)[:, 0]
            hidden = torch.relu(scaled[at] @ self.first[attribute] + self.first_bias[attribute][biased[at]])
            mapped = hidden @ self.second[attribute] + self.second_bias[attribute]
            found = found.index_put((at,), F.cosine_similarity(mapped, self.texts[attribute][None], dim=-1))
        return found

    def scores(self, maps: Tensor) -> Tensor:
        """The scores (n_images, n_attributes) of images: the largest cosine over the channels, over the temperature.

        Gradients reach the best channels alone, as they do through a maximum; the others are computed without.
        """
        best = self.cosines(maps).argmax(dim=2)
        n_images, n_attributes = best.shape
        chosen = torch.take_along_dim(maps, best[..., None], dim=1).flatten(0, 1)
        attributes = torch.arange(n_attributes, device=maps.device).repeat(n_images)
        return self.cosines_of(chosen, best.flatten(), attributes).view_as(best) / TEMPERATURE

    def _rotated(self) -> tuple[Tensor, Tensor]:
        """The second layers with their biases as a last row, and the texts, in the few directions that the mappers reach.

        The cosines are those in the whole space of the texts, for a fraction of its width.
        """
        last = torch.cat([self.second, self.second_bias], dim=1)  # (n_attributes, hidden + 1, d)
        if last.shape[1] >= last.shape[2]:
            return last, self.texts
        directions = torch.linalg.qr(last.mT).Q  # (n_attributes, d, hidden + 1)
        return last @ directions, (self.texts[:, None] @ directions)[:, 0]


def _ranked(cosines: np.ndarray, means: np.ndarray, present: np.ndarray) -> np.ndarray:
    """All channels, the best first, by cosines and means of maps (n_images, n_channels); ties: the earlier first."""
    area = auc_matrix(cosines, present[:, None])[:, 0]
    together = ((cosines - cosines.mean(axis=0)) * (means - means.mean(axis=0))).mean(axis=0)
    bright = together > 1e-4 * cosines.std(axis=0) * means.std(axis=0)
    return np.lexsort((-area.round(6), ~bright))


def _drawn(shape: tuple[int, ...], n_inputs: int) -> Tensor:
    """Weights and biases as nn.Linear draws them."""
    return torch.empty(shape).uniform_(-1, 1) / n_inputs**0.5


class Reading(NamedTuple):
    """The attribute that a sentence is read as, with the cosine between the two texts' embeddings (1.0: the same text)."""

    attribute: str
    cosine: float

    def __str__(self) -> str:
        return f"read as {self.attribute!r} (cosine of the texts {self.cosine:.2f})"


@dataclass(frozen=True)
class Heatmaps:
    """Where a sentence is seen in images.

    Attributes
    ----------
    maps : list of float32 arrays (height, width)
        One per image, at its size and in its frame, in [0, 1]; 0 everywhere where no channel points anywhere.
    scores : float32 array (n_images,)
        The largest cosine over the channels.
    channels : int array (n_images, n_channels)
        Those whose maps were taken, the best first.
    reading : Reading
        The attribute that the sentence was read as.
    """

    maps: list[np.ndarray]
    scores: np.ndarray
    channels: np.ndarray
    reading: Reading


@dataclass(frozen=True)
class FactorModel:
    """A trained Mammo-FActOR.

    Attributes
    ----------
    target : Target
        The frozen network; `layer` is the one whose channels are read.
    dissector : Dissector or None
        Embeds the sentences; without it only the attributes' own can be read.
    attributes : dict of str to str
        Each attribute's sentence.
    mapper : FactorMapper
        In eval mode, on the CPU.
    settings : dict
        All that the training depended on.
    metrics : DataFrame
        A row per attribute and part ("validation", "test"): AUC of the images' scores with its interval by patient.
    history : DataFrame
        A row per epoch.
    """

    target: Target
    dissector: Dissector | None
    layer: str
    attributes: dict[str, str]
    mapper: FactorMapper
    grid: tuple[int, int] | None = None
    settings: dict = field(default_factory=dict)
    metrics: pd.DataFrame = field(default_factory=pd.DataFrame)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)

    def read(self, sentence: str) -> Reading:
        """The attribute that a sentence is read as: its own, else the one of the most similar sentence (ties: the first).

        ValueError for another sentence where there is no dissector, or one that its text tower cannot read.
        """
        for name, own in self.attributes.items():
            if sentence.strip().casefold() in (name.casefold(), own.casefold()):
                return Reading(name, 1.0)
        if self.dissector is None:
            raise ValueError(
                f"sentence={sentence!r} is none of the attributes ({listed(list(self.attributes), 12)}); give load_factor(...) "
                "a dissector, which finds the nearest"
            )
        with torch.inference_mode():
            cosines = self.mapper.texts @ self.dissector.embed_texts([sentence])[0].float().to(self.mapper.texts.device)
        best = int(torch.nonzero(cosines >= cosines.max() - 1e-6)[0])
        return Reading(list(self.attributes)[best], float(cosines[best]))


@validated(n_channels=AT_LEAST_ONE, chosen_by=CHOICES)
def heatmaps(
    model: FactorModel,
    images: Iterable[np.ndarray],
    sentence: str,
    n_channels: int = N_CHANNELS,
    chosen_by: str = "peak",
) -> Heatmaps:
    """Where a sentence is seen in images: the maps of the best channels, upsampled.

    >>> found = heatmaps(load_factor("out/factor"), [probe[0]], "a spiculated mass")            # doctest: +SKIP
    >>> found.maps[0].shape, str(found.reading)                                                 # doctest: +SKIP
    ((256, 160), "read as 'mass' (cosine of the texts 0.83)")

    Parameters
    ----------
    images : iterable of arrays (height, width[, 3])
        As a probe gives them.
    sentence : str
        An attribute, or any other: then that of the nearest attribute (`FactorModel.read`).
    n_channels : int
        The maps of so many channels, each divided by its spread in the training images, are averaged.
    chosen_by : {"peak", "attribute", "image"}
        "image": the channels of the largest cosine in each image, as published. The others take the same channels for all
        images (`FactorMapper.rank`): "attribute" those whose cosine tells training images with the attribute best from those
        without, and which respond to it with a bright map; "peak" those whose largest value does. "peak" points best on
        phantoms.

    Raises
    ------
    ValueError
        A sentence that cannot be read, or a network with other maps than those of the training.
    """
    found = model.read(sentence)
    attribute = list(model.attributes).index(found.attribute)
    maps, scores, channels = [], [], []
    for some, found_maps in network_maps(model.target, [model.layer], images):
        small = _checked(model, on_grid(found_maps[model.layer].float().cpu(), model.grid))
        flat = small.flatten(2)
        cosines = model.mapper.cosines(flat)[:, attribute]
        chosen = best_channels(model.mapper, attribute, cosines, n_channels, chosen_by)
        heats = heat_of(model.mapper, flat, chosen).unflatten(1, tuple(small.shape[2:])).numpy()
        for image, heat in zip(some, heats, strict=True):
            heat = heat[:, ::-1] if mirrored(image, model.target.preprocess) else heat
            maps.append(upsample(heat, image.shape[:2]))
        scores.append(cosines.amax(dim=1).numpy())
        channels.append(chosen.numpy())
    joined = np.concatenate(channels) if channels else np.zeros((0, n_channels), int)
    return Heatmaps(maps, np.concatenate(scores) if scores else np.zeros(0, np.float32), joined, found)


def best_channels(mapper: FactorMapper, attribute: int, cosines: Tensor, n_channels: int, chosen_by: str) -> Tensor:
    """The channels (n_images, k) whose maps are read, for cosines (n_images, n_channels)."""
    ranking = mapper.peaks if chosen_by == "peak" else mapper.ranking
    if chosen_by == "image" or not ranking.shape[1]:
        return cosines.argsort(dim=1, descending=True, stable=True)[:, :n_channels]
    return ranking[attribute, :n_channels].expand(len(cosines), -1)


def heat_of(mapper: FactorMapper, maps: Tensor, channels: Tensor) -> Tensor:
    """The heat (n_images, n_places) in [0, 1] of some channels (n_images, k) of maps (n_images, n_channels, n_places)."""
    taken = torch.take_along_dim(maps, channels[..., None], dim=1)
    spread = mapper.spread[channels][..., None] if len(mapper.spread) else 1.0
    return stretched((taken / spread).mean(dim=1))


def stretched(maps: Tensor) -> Tensor:
    """Maps (..., n_places) brought to [0, 1] each; 0 where a map is constant."""
    low, high = maps.amin(dim=-1, keepdim=True), maps.amax(dim=-1, keepdim=True)
    return torch.where(high > low, (maps - low) / (high - low).clamp(min=1e-12), torch.zeros_like(maps))


@validated(chosen_by=CHOICES)
def overlay_source(model: FactorModel, chosen_by: str = "peak") -> Callable[[np.ndarray, str], np.ndarray]:
    """A source of overlays for pictures: a function of an image (height, width[, 3]) and a text to heat (height, width).

    >>> heat = overlay_source(load_factor("out/factor"))(probe[0], "spiculated mass")           # doctest: +SKIP

    The function raises ValueError for a text that cannot be read.
    """

    def heat(image: np.ndarray, text: str) -> np.ndarray:
        return heatmaps(model, [image], text, chosen_by=chosen_by).maps[0]

    return heat


@validated()
def attribute_scores(model: FactorModel, images: Iterable[np.ndarray]) -> np.ndarray:
    """The scores (n_images, n_attributes) of images for all attributes, float32: the largest cosine over the channels."""
    parts = [
        model.mapper.cosines(_checked(model, on_grid(maps[model.layer].float().cpu(), model.grid)).flatten(2))
        .amax(dim=2)
        .numpy()
        for _, maps in network_maps(model.target, [model.layer], images)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(model.attributes)), np.float32)


def _checked(model: FactorModel, maps: Tensor) -> Tensor:
    """Maps, if they have as many places as the mapper takes."""
    n_places, wanted = maps.shape[2] * maps.shape[3], model.mapper.first.shape[1]
    if n_places != wanted:
        shape = " x ".join(map(str, maps.shape[2:]))
        raise ValueError(
            f"layer {model.layer!r} of {model.target.name!r} gives maps of {shape} places, the mapper was trained on {wanted}: "
            "prepare the images as in the training (Preprocess.size)"
        )
    return maps


def attribute_sentences(attributes: Sequence[str] | dict[str, str]) -> dict[str, str]:
    """Each attribute's sentence: its own name where none is given."""
    return dict(attributes) if isinstance(attributes, dict) else {name: name for name in attributes}
