"""A dissector and images whose scores are known: embeddings are read off the first pixels of an image."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mdissect.models import Dissector
from mdissect.preprocess import Preprocess
from mdissect.probes import Probe

WIDTH = 4
PREPROCESS = Preprocess(size=(WIDTH, WIDTH), scale="dtype", channels=1)
TEXTS = {"finding": [1, 0, 0, 0], "no finding": [-1, 0, 0, 0], "other": [0, 1, 0, 0], "nothing": [0, 0, 0, 1]}


class Tower(nn.Module):
    """The first row of an image, as features."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.row = nn.Conv2d(1, WIDTH, (1, WIDTH), bias=False)
        with torch.no_grad():
            self.row.weight.copy_(torch.eye(WIDTH)[:, None, None])
        self.end = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.row(x[:, :, :1])[:, :, 0, 0] * self.scale)


class Planted(Dissector):
    """An image's direction is its first row around a half; texts have those of `TEXTS`, or of the words that they hold."""

    name, aligned, needs_pixels = "planted", True, True
    fingerprint, text_fingerprint, image_fingerprint = "first rows", "planted texts", "tower"
    preprocess = PREPROCESS

    def __init__(self, blind: bool = False):
        self.blind, self.image_tower = blind, Tower()
        self.fingerprint = f"{self.fingerprint} {blind}"

    def embed_images(self, batch: Tensor) -> Tensor:
        rows = torch.ones(len(batch), WIDTH) if self.blind else self.image_tower(batch).detach() - 0.5
        return F.normalize(rows + 1e-6, dim=1)

    def embed_texts(self, texts) -> Tensor:
        return F.normalize(torch.tensor([self.direction(text) for text in texts], dtype=torch.float32), dim=1)

    @staticmethod
    def direction(text: str) -> list[float]:
        return TEXTS.get(text) or np.random.default_rng(list(text.encode())).normal(size=WIDTH).tolist()


def planted_probe(rows: np.ndarray, name: str = "planted", **columns) -> Probe:
    """A probe of images with these first rows (n, 4) in -0.5 to 0.5; four images a patient unless `patient` is given."""
    images = np.zeros((len(rows), WIDTH, WIDTH), np.uint16)
    images[:, 0] = np.round((np.clip(rows, -0.5, 0.5) + 0.5) * 65535)
    table = {"patient": [f"p{i // 4}" for i in range(len(rows))]} | columns
    return Probe.from_arrays(images, table=pd.DataFrame({k: v for k, v in table.items() if v is not None}), name=name)


def labelled(n: int = 80, seed: int = 0, separation: float = 0.2, **columns) -> Probe:
    """Images whose first pixel is brighter where the column "seen" is True; patients have one image in four with it."""
    rng = np.random.default_rng(seed)
    seen = np.arange(n) % 4 == rng.integers(0, 4, n // 4 + 1).repeat(4)[:n]
    rows = rng.normal(0, 0.1, (n, WIDTH))
    rows[:, 0] += separation * np.where(seen, 1, -1)
    return planted_probe(rows, seen=seen, **columns)
