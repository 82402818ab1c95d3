"""Toy networks, a toy dissector and toy images whose answers are known, for the tests of the method.

An image is a square of 8 rows; the concept "row 3" is in it when its fourth row is bright. Its number stands in its last pixel,
so that a network can tell which images it was shown. Run as a script, it fills a store, slowly, for the tests that kill it.
"""

import resource
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.embed import PassOptions
from mdissect.many import dissect_many
from mdissect.method import dissect
from mdissect.models import Dissector, Target, load_target
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe

SIDE = 8
CONCEPTS = [f"row {i}" for i in range(SIDE)]
PREPROCESS = Preprocess(size=(SIDE, SIDE), scale="dtype", channels=1)
SMALL = PassOptions(batch_size=48, workers=0, progress=False)


class TinyCNN(nn.Module):
    """Two maps and a fully connected layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.deep = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.head = nn.Linear(6, 5)

    def forward_features(self, x: Tensor) -> Tensor:
        return self.deep(self.act(self.stem(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.forward_features(x).mean(dim=(2, 3)))


class TinyViT(nn.Module):
    """Patches with a class token before them, through two blocks."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 6, 4, stride=4)
        self.cls = nn.Parameter(torch.ones(1, 1, 6))
        self.blocks = nn.Sequential(*(nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU()) for _ in range(2)))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.blocks(torch.cat([self.cls.expand(len(x), -1, -1), tokens], dim=1))
        return self.head(tokens[:, 0])


class TinyMLP(nn.Module):
    """Fully connected layers, with an activation in place between them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(SIDE * SIDE, 7)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(self.first(x.flatten(1))))


#: Of the planted network: the concept of neurons 0 to 7, then what is wrong with neurons 8 to 11.
PLANTED = [3, 0, 7, 1, 6, 2, 5, 4]
CONSTANT, NOT_FINITE, TIED, NEARLY_CONSTANT = range(8, 12)


class Planted(nn.Module):
    """A layer "neurons" whose neurons answer to one known row each, and four more that cannot, or hardly, be named."""

    def __init__(self):
        super().__init__()
        self.rows = nn.AdaptiveAvgPool2d((SIDE, 1))
        self.linear = nn.Linear(SIDE, 12)
        self.neurons = nn.ReLU()
        with torch.no_grad():
            self.linear.weight[:SIDE] = torch.eye(SIDE)[PLANTED]
            self.linear.weight[SIDE:] = 0
            self.linear.bias.zero_()
            self.linear.bias[CONSTANT] = 0.5
            self.linear.weight[NOT_FINITE] = torch.nan
            self.linear.weight[TIED, 5], self.linear.bias[TIED] = 1, -0.8  # above 0 for a few images only
            self.linear.weight[NEARLY_CONSTANT, 0], self.linear.bias[NEARLY_CONSTANT] = 1e-7, 1

    def forward(self, x: Tensor) -> Tensor:
        return self.neurons(self.linear(self.rows(x).flatten(1)))


class RowDissector(Dissector):
    """Embeds an image as the brightness of its rows, and the text "row i" as that row's axis."""

    name, aligned, needs_pixels = "rows", True, True
    fingerprint, text_fingerprint = "rows of an image", "rows by name"

    def __init__(self, preprocess: Preprocess = PREPROCESS):
        self.preprocess = preprocess
        self.batches: list[int] = []
        self.texts: list[str] = []

    def embed_images(self, batch: Tensor) -> Tensor:
        self.batches.append(len(batch))
        return F.normalize(F.interpolate(batch, (SIDE, 1), mode="area").mean(dim=1).flatten(1), dim=1)

    def embed_texts(self, texts) -> Tensor:
        self.texts += texts
        return torch.eye(SIDE)[[CONCEPTS.index(text) for text in texts]]


class SharedTower(Dissector):
    """A dissector whose image tower is the target itself."""

    name, aligned, needs_pixels = "shared", True, True
    text_fingerprint = "six axes"

    def __init__(self, target: Target):
        self.image_tower, self.preprocess = target.module, target.preprocess
        self.image_fingerprint, self.fingerprint = target.fingerprint, f"{target.fingerprint}, pooled"

    def embed_images(self, batch: Tensor) -> Tensor:
        return F.normalize(self.image_tower.forward_features(batch).mean(dim=(2, 3)), dim=1)

    def embed_texts(self, texts) -> Tensor:
        return torch.eye(6)[: len(texts)]


class Seen:
    """The numbers of the images that a module was shown, batch by batch, from its first call on.

    Copies of one image, which settle the axes of layers before a pass, are not counted.
    """

    def __init__(self, module: nn.Module, tell: Callable[[list[int]], None] = lambda numbers: None):
        self.batches: list[list[int]] = []
        self.tell = tell
        module.register_forward_pre_hook(self._note)

    def _note(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        numbers = (inputs[0][:, 0, -1, -1] * 65535).round().int().tolist()
        if len(numbers) == 1 or len(set(numbers)) > 1:
            self.batches.append(numbers)
            self.tell(numbers)

    @property
    def images(self) -> list[int]:
        return [number for batch in self.batches for number in batch]


def seeded(network: type[nn.Module]) -> nn.Module:
    """A network whose random weights are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return network()


def toy_target(network: type[nn.Module] = Planted, layers=("neurons",), preprocess: Preprocess = PREPROCESS) -> Target:
    return load_target(seeded(network), preprocess=preprocess, layers=layers, name=network.__name__)


def toy_images(n_images: int) -> np.ndarray:
    """uint16 images (n_images, 8, 8); image i has row i % 8 bright, more or less, before a dim background."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 0.1, (n_images, SIDE, SIDE))
    images[np.arange(n_images), np.arange(n_images) % SIDE] += rng.permutation(np.linspace(0.6, 0.88, n_images))[:, None]
    images = (images * 65535).astype(np.uint16)
    images[:, -1, -1] = np.arange(n_images)
    return images


def toy_probe(n_images: int = 160) -> Probe:
    table = {"row": np.arange(n_images) % SIDE, "patient": [f"00{i // 4}" for i in range(n_images)]}
    return Probe.from_arrays(toy_images(n_images), table=table, name="rows")


def toy_dissect(target: Target, dissector: Dissector | None = None, probe: Probe | None = None, concepts=CONCEPTS, **options):
    """The toys dissected: by the rows of 160 images, if nothing else is given."""
    given = {"top_k": 16, "device": "cpu", "options": SMALL} | options
    return dissect(target, dissector or RowDissector(), probe or toy_probe(), concepts, **given)


@contextmanager
def full_disk(most: int):
    """No file may grow past so many bytes: the system's own error, in the middle of a file, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def toy_targets() -> dict[str, Target]:
    """Three targets, of one number per neuron, of maps and of tokens."""
    return {
        "planted": toy_target(),
        "cnn": toy_target(TinyCNN, layers=("stem", "deep")),
        "vit": toy_target(TinyViT, layers=("blocks.0", "blocks.1")),
    }


def fill(store: str, log: str, go: str, n_images: int, targets: dict[str, Target]) -> None:
    """Dissect into a store, as soon as the file `go` is there, telling in a log which images the first target was shown."""

    def slowly(numbers: list[int]) -> None:
        with open(log, "a") as file:
            file.write(f"{' '.join(map(str, numbers))}\n")
        time.sleep(0.05)

    Seen(targets["planted"].module, slowly)
    while not Path(go).exists():
        time.sleep(0.005)
    dissect_many(targets, RowDissector(), toy_probe(n_images), CONCEPTS, top_k=16, store=store, options=SMALL)


if __name__ == "__main__":
    several = sys.argv[5:] == ["many"]
    fill(*sys.argv[1:4], int(sys.argv[4]), toy_targets() if several else {"planted": toy_target()})
