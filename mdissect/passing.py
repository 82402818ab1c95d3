"""How a pass over a probe runs: its options, and its batches, read ahead."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from mdissect.arguments import one_of, true_or_false, whole_number
from mdissect.axes import given_layouts
from mdissect.folding import has_batch_norm, small_image
from mdissect.fusing import quick
from mdissect.hardware import at_once, has_fast_bf16, kept_memory, memory_bytes, own_cores
from mdissect.models import Target
from mdissect.outputs import evaluating
from mdissect.preprocess import Preprocess
from mdissect.probes import ImageFileError, Probe
from mdissect.runner import Batch
from mdissect.store import Entry

PRECISIONS = ("float32", "bf16", "auto")
ENGINES = ("local", "ray")
RAY_NEEDED = ("ray", "pyarrow")
HOW_TO_RAY = "pip install 'ray[data]'"
KEPT = ("all", "top", "none")  # of the activations, in a result
FOLDING = "batch norms and activations into the convolutions before them"  # in the store's key
FOLDED_FROM = 512 * 512  # pixels of an image, where it is not stated


@dataclass(frozen=True)
class PassOptions:
    """How a pass runs; `axes`, `prefix_tokens` and `precision` change the result, `fold` its last bits.

    Attributes
    ----------
    batch_size : int or None
        Images in the model at a time. None: on a CPU few large ones (1 at 1520 x 912, 32 at 224 x 224), on a GPU what fits into
        its free memory. A batch for which memory does not suffice is halved, and so are those that follow.
    workers : int or None
        Processes that read images; None chooses by the number of images and cores, 0 reads in this process.
    progress : bool
        Show a bar with the image rate.
    axes : mapping of str to str, optional
        By layer, the axes of its output if they are ambiguous: see `mdissect.hooks.record`.
    prefix_tokens : int, optional
        How many tokens come before the patches, for ``pool="patches"`` if the network does not declare it.
    fold : bool or None
        Run a copy of the network with its batch norms folded into the convolutions (`mdissect.folding`), on a CPU activations
        too (`mdissect.fusing`), with the same activations to 1e-5 of the layer's largest. None: for images of 512 x 512 pixels
        or more, where it pays.
    precision : {"float32", "bf16", "auto"}
        What a network of float32 computes in. "auto" takes bf16 where the machine computes it fast (a CPU with AMX, an NVIDIA
        GPU from Ampere on). `mdissect.dissect` compares the labels of the first images with those of float32 before, and
        goes back to float32 where fewer than 0.99 of a layer's agree; a pass without concepts has none to compare.
    engine : {"local", "ray"}
        Where the pass runs: in this process, or on the workers of a Ray cluster (``pip install 'ray[data]'``), with the same
        results in the same store. "ray" joins the cluster of this machine or of the variable RAY_ADDRESS; without one it starts
        one here, and says so. The cluster's GPUs run the models if there are any and the device is not "cpu"; `workers` are
        then the processes that run the models. All machines read the probe's files at the same place; this process alone
        writes to the store. See data/README.md.
    keep : {"all", "top", "none"}
        Of which images `mdissect.dissect` keeps activations in its result. With "top", those of each neuron's top_k, and with
        "none", memory does not grow with the number of images: activations stay in the store (without one, in a folder for
        the time of the pass) and are read in blocks. Labels are the same. What needs all images, such as calibrated labels,
        needs "all".
    memory : int or str, optional
        Bytes that blocks of activations and similarities may take, such as "4GB"; half of the free memory by default. Where
        a result with ``keep="all"`` is larger, its arrays are memory-mapped files, and calibrated labels are computed in blocks
        too.
    """

    batch_size: int | None = None
    workers: int | None = None
    progress: bool = True
    axes: Mapping[str, str] | None = None
    prefix_tokens: int | None = None
    fold: bool | None = None
    precision: str = "float32"
    engine: str = "local"
    keep: str = "all"
    memory: int | str | None = None

    def __post_init__(self):
        for name, least in (("batch_size", 1), ("workers", 0), ("prefix_tokens", 0)):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole_number(name, value, least))
        object.__setattr__(self, "progress", true_or_false("progress", self.progress))
        given_layouts({} if self.axes is None else self.axes)
        if self.fold is not None:
            object.__setattr__(self, "fold", true_or_false("fold", self.fold))
        one_of("precision", self.precision, PRECISIONS)
        one_of("engine", self.engine, ENGINES)
        if self.engine == "ray" and (missing := [name for name in RAY_NEEDED if find_spec(name) is None]):
            raise ImportError(f"engine='ray' needs {' and '.join(missing)}, not installed here: {HOW_TO_RAY}")
        one_of("keep", self.keep, KEPT)
        memory_bytes("memory", self.memory)

    def stated(self) -> dict:
        """The options that change numbers, for the settings of a result."""
        stated = {"axes": dict(self.axes) if self.axes else None, "prefix_tokens": self.prefix_tokens, "fold": self.fold}
        stated["precision"] = None if self.precision == "float32" else self.precision
        return {name: value for name, value in stated.items() if value is not None}

    def key(self, layer: str, pool: str) -> dict:
        """What was stated of a layer's tokens, where it changes numbers, for the store's key."""
        key = {"axes": self.axes[layer]} if self.axes and layer in self.axes else {}
        return key | ({"prefix_tokens": self.prefix_tokens} if self.prefix_tokens is not None and pool == "patches" else {})

    def numerics(self, network: nn.Module | None, preprocess: Preprocess) -> dict:
        """How a network computes, where it is not as it stands: for the store's key."""
        key = {} if self.precision == "float32" else {"precision": self.precision}
        return key | ({"folding": FOLDING} if self.folds(network, preprocess) else {})

    def exact(self) -> "PassOptions":
        """The options of a pass that computes in float32 whatever is stated."""
        return replace(self, precision="float32")

    def folds(self, network: nn.Module | None, preprocess: Preprocess) -> bool:
        """Whether a network's batch norms are folded for images of this size."""
        pays = preprocess.size[0] * preprocess.size[1] >= FOLDED_FROM if self.fold is None else self.fold
        return pays and network is not None and has_batch_norm(network)

    def of(self, layers: Iterable[str]) -> "PassOptions":
        """The options with the axes of these layers alone."""
        layers = set(layers)
        axes = {layer: letters for layer, letters in (self.axes or {}).items() if layer in layers}
        return replace(self, axes=axes or None)

    def on(self, device: torch.device) -> "PassOptions":
        """The options with the precision settled for a device."""
        if self.precision != "auto":
            return self
        return replace(self, precision="bf16" if has_fast_bf16(device) else "float32")

    def images_at_once(self, preprocess: Preprocess, device: torch.device) -> int:
        """The batch size, or what it is where it is not stated and memory is not measured."""
        return self.batch_size or at_once(preprocess.size, device)


def quick_target(target: Target, layers: Collection[str], options: PassOptions, device: torch.device) -> Target:
    """A target on a device, with a copy of its network that is folded where the options ask for it; `layers` are recorded."""
    target = target.to(device)
    if not options.folds(target.module, target.preprocess):
        return target
    shown = small_image(target.preprocess.channels, target.preprocess.size, device)
    bf16 = options.precision == "bf16"
    return replace(target, module=quick(target.module, lambda network: network(shown), layers, device, bf16))


@contextmanager
def running(modules: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Networks in eval mode, memory kept and cores counted, for the length of a pass."""
    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(evaluating(module))
        stack.enter_context(kept_memory(device))
        stack.enter_context(own_cores(device))
        yield


@dataclass(frozen=True)
class Group:
    """A batch: positions in the probe, all of one chunk, and the ways in which they are to be prepared."""

    chunk: int
    positions: range
    contracts: tuple[Preprocess, ...]


Contracts = Mapping[int, tuple[Preprocess, ...]]  # of each chunk that is missing


def image_groups(entry: Entry, contracts: Contracts, batch_size: int) -> list[Group]:
    """The images of the missing chunks, in order."""
    groups = []
    for chunk in sorted(contracts):
        rows = range(entry.n_rows)[entry.rows(chunk)]
        parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        groups += [Group(chunk, part, contracts[chunk]) for part in parts]
    return groups


class PreparedImages(torch.utils.data.Dataset):
    """Groups of images to prepared batches; each image is read once, and prepared once in each way that is asked for."""

    def __init__(self, probe: Probe, groups: list[Group]):
        self.probe, self.groups = probe, groups

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch | Exception:
        group = self.groups[index]
        try:
            prepared = [self._prepared(position, group.contracts) for position in group.positions]
            return {
                contract: torch.stack(images)
                for contract, images in zip(group.contracts, zip(*prepared, strict=True), strict=True)
            }
        except Exception as error:
            if torch.utils.data.get_worker_info() is None:
                raise
            return error  # raised by a worker process, it would be buried under that one's traceback

    def _prepared(self, position: int, contracts: Sequence[Preprocess]) -> list[Tensor]:
        """An image prepared in each way; errors name it."""
        try:
            image = self.probe[position]
            return [prepare(image) for prepare in contracts]
        except ImageFileError:
            raise
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"image {self.probe.ids[position]!r} of probe {self.probe.name!r}: {error}") from error


def prepared_batches(probe: Probe, groups: list[Group], workers: int | None) -> Iterator[Batch]:
    """The groups' batches, in order, read ahead by worker processes."""
    if workers is None:
        n_images = sum(len(group.positions) for group in groups)
        workers = 0 if n_images <= 128 else min(8, os.cpu_count() or 1)
    images = PreparedImages(probe, groups)
    for batch in torch.utils.data.DataLoader(images, batch_size=None, num_workers=workers, collate_fn=_as_it_is):
        if isinstance(batch, Exception):
            raise batch
        yield batch


def _as_it_is(batch: Batch) -> Batch:
    return batch
