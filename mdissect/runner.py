"""Runs one batch of prepared images through the target and the dissector."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mdissect.axes import Layout
from mdissect.hardware import is_out_of_memory
from mdissect.hooks import record
from mdissect.models import Dissector, Target, dtype_of
from mdissect.outputs import settle_axes
from mdissect.preprocess import Preprocess

Batch = Mapping[Preprocess, Tensor]  # the same images in each way in which they were prepared

SETTLED_AT = 512  # pixels: larger images are cut for the passes that settle axes, which show two and three at a time


@dataclass
class Part:
    """The activations and embeddings (n, d) of one batch, still on the device."""

    activations: dict[str, Tensor] = field(default_factory=dict)
    embedded: Tensor | None = None


@dataclass
class Runner:
    """Runs a batch through what is needed: the target, the dissector's image tower, or one tower for both.

    `settled_on`: the network on which the layers' axes are settled, where the target's is a changed copy. `bf16`: compute in
    bf16 what torch's autocast deems safe. `at_most`: images that memory suffices for, as far as is known.
    """

    target: Target
    dissector: Dissector | None  # None where no batch is to be embedded
    pool: str
    device: torch.device
    axes: Mapping[str, str]
    prefix_tokens: int | None
    layouts: dict[str, Layout] = field(default_factory=dict)
    settled_on: nn.Module | None = None
    bf16: bool = False
    at_most: int | None = None

    def run(self, batch: Batch, layers: list[str], embed: bool) -> Part:
        """A batch, in parts where memory does not suffice for all of it; MemoryError where it does not for one image."""
        n, parts, start = len(next(iter(batch.values()))), [], 0
        while start < n:
            at = min(n - start, self.at_most or n)
            part = self._tried({way: images[start : start + at] for way, images in batch.items()}, layers, embed)
            if part is None:
                self.at_most = -(-at // 2)
                continue
            parts.append(part)
            start += at
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _tried(self, batch: Batch, layers: list[str], embed: bool) -> Part | None:
        """The part of a batch; None where memory was used up."""
        shape = tuple(batch[self.target.preprocess if layers else self.dissector.preprocess].shape)
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                return self._run(batch, layers, embed)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if shape[0] == 1:
                raise MemoryError(
                    f"the memory of {self.device} does not suffice for one image of {shape[2]} x {shape[3]} pixels in target "
                    f"{self.target.name!r} ({str(error).splitlines()[0]}): free some, take another device, or a smaller "
                    "Preprocess(size=...)"
                ) from error
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _run(self, batch: Batch, layers: list[str], embed: bool) -> Part:
        part = Part()
        ways = ([self.target.preprocess] if layers else []) + ([self.dissector.preprocess] if embed else [])
        on_device = {way: self._to_device(batch[way]) for way in ways}
        if layers:
            seen = on_device[self.target.preprocess]
            shown = seen.to(dtype_of(self.target.module))
            self._settle(layers, shown)
        if layers and embed and self._one_tower():
            with record(self.dissector.image_tower, layers, self.pool, self._of(layers)) as recorded:
                part.embedded = self.dissector.embed_images(seen)
            part.activations, embed = dict(recorded.activations), False
        others = [layer for layer in layers if layer not in part.activations]  # such as a head that embedding does not use
        if others:
            with record(self.target.module, others, self.pool, self._of(others)) as recorded:
                self._show(shown)
            part.activations |= {layer: recorded[layer] for layer in others}
            self.layouts |= recorded.layouts  # known only from the batch itself
        if embed:
            part.embedded = self.dissector.embed_images(on_device[self.dissector.preprocess])
        self._check(part, len(on_device[ways[0]]))
        return part

    def _show(self, shown: Tensor) -> None:
        try:
            self.target.module(shown)
        except RuntimeError as error:
            if not re.search("not implemented for|dtype|scalar type|input type|data type", str(error), re.IGNORECASE):
                raise
            raise ValueError(
                f"target {self.target.name!r} does not compute in {shown.dtype}, the precision of its first weights, on "
                f"{self.device} ({str(error).splitlines()[0]}); convert all of it, such as module.float(), and load it again"
            ) from error

    def _settle(self, layers: list[str], shown: Tensor) -> None:
        """The layers' axes, once for all batches."""
        if new := [layer for layer in layers if layer not in self.layouts]:
            given = {layer: letters for layer, letters in self.axes.items() if layer in new}
            self.layouts |= self._settled(new, shown[..., :SETTLED_AT, :SETTLED_AT], given)
            if left := [layer for layer in new if layer not in self.layouts]:  # a network that takes its own size alone
                self.layouts |= self._settled(left, shown, {layer: given[layer] for layer in left if layer in given})

    def _settled(self, layers: list[str], shown: Tensor, given: Mapping[str, str]) -> dict[str, Layout]:
        shown = shown.contiguous(memory_format=torch.channels_last) if shown.ndim == 4 else shown
        network = self.settled_on or self.target.module
        return settle_axes(network, layers, shown, self.pool, given, self.prefix_tokens)

    def _of(self, layers: list[str]) -> dict[str, Layout]:
        return {layer: self.layouts[layer] for layer in layers if layer in self.layouts}

    def _check(self, part: Part, n: int) -> None:
        """Raise unless each image has its row."""
        for layer, rows in part.activations.items():
            if len(rows) != n:
                raise ValueError(
                    f"layer {layer!r} gives {tuple(rows.shape)} for {n} images: its rows are not images; ask for another "
                    "layer, or say which axis is which with axes="
                )
        if part.embedded is not None and len(part.embedded) != n:
            raise ValueError(
                f"dissector {self.dissector.name!r} embeds {n} images as {tuple(part.embedded.shape)}; expected (n, d)"
            )

    def _one_tower(self) -> bool:
        return one_tower(self.target, self.dissector)

    def _to_device(self, x: Tensor) -> Tensor:
        return x.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)


def one_tower(target: Target, dissector: Dissector) -> bool:
    """Whether a dissector's image tower is the target, shown the same images."""
    same_weights = dissector.image_tower is not None and dissector.image_fingerprint == target.fingerprint
    return same_weights and dissector.preprocess == target.preprocess


def _joined(parts: list[Part]) -> Part:
    """The parts of one batch as one."""
    activations = {layer: torch.cat([part.activations[layer] for part in parts]) for layer in parts[0].activations}
    return Part(activations, None if parts[0].embedded is None else torch.cat([part.embedded for part in parts]))
