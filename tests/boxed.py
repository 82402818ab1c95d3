"""Images with a bright or a dark square whose place is known, as a probe with boxes and labels, and texts for both."""

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mdissect.models import Dissector
from mdissect.probes import Probe
from mdissect.probes.probe import ImageSource

SHAPE, SIDE = (64, 48), 8
NAMES = ("bright spot", "dark spot")


class Spots(ImageSource):
    """Grey images; half of the patients' have a bright square, every third a dark one."""

    def __init__(self, n_images: int, seed: int):
        rng = np.random.default_rng(seed)
        self.images, self.marked = [], []
        for i in range(n_images):
            image, boxes = rng.integers(110, 140, SHAPE).astype(np.uint8), []
            for name, there, value in zip(NAMES, ((i // 2) % 2 == 0, (i // 2) % 3 == 0), (250, 5), strict=True):
                row, column = (SIDE * int(rng.integers(0, size // SIDE)) for size in SHAPE)
                if there:
                    image[row : row + SIDE, column : column + SIDE] = value
                    corners = {"xmin": column, "ymin": row, "xmax": column + SIDE, "ymax": row + SIDE}
                    boxes.append({"finding": name, **corners})
            self.images.append(image)
            self.marked.append(boxes)

    def read(self, position: int) -> np.ndarray:
        return self.images[position].copy()

    def fingerprint(self, position: int) -> str:
        return hashlib.sha256(self.images[position].tobytes()).hexdigest()

    def row(self, position: int) -> dict:
        findings = "; ".join(box["finding"] for box in self.marked[position])
        return {"patient": f"P{position // 2}", "findings": findings, "bright_flag": "bright" in findings}

    def boxes(self, position: int) -> list[dict]:
        return [dict(box) for box in self.marked[position]]


def spots(n_images: int = 48, seed: int = 0) -> Probe:
    """A probe of spots; two images a patient."""
    return Probe(f"spots{seed}", [f"spots{seed}-{i:03d}" for i in range(n_images)], [Spots(n_images, seed)])


class Words(Dissector):
    """Texts as the sum of their words' vectors; unknown words stand in a direction of their own."""

    name, aligned, needs_pixels, fingerprint, text_fingerprint = "words", True, False, "words", "words"
    known = ("bright", "dark", "spot", "implant")

    def embed_texts(self, texts) -> Tensor:
        rows = [[float(word in text.casefold().split()) for word in self.known] for text in texts]
        other = [[0.1 * (not any(row))] for row in rows]
        return F.normalize(torch.cat([torch.tensor(rows), torch.tensor(other)], dim=1), dim=1)
