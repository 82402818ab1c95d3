"""The similarities by which labels are measured: a dissection's own, or those of a second dissector, row by row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mdissect.arguments import listed
from mdissect.dissection import Dissection
from mdissect.labels import why_none
from mdissect.mapped import release


@dataclass(frozen=True)
class MeasuredSims:
    """Similarities (n_images, n_concepts) in the order of a dissection's images and concepts, read row by row.

    `source` is the array that holds them, `images` (n_images,) and `concepts` (n_concepts,) int are the places there, None for
    the same order. A concept that it lacks has the place -1 and is NaN.
    """

    source: np.ndarray
    images: np.ndarray | None = None
    concepts: np.ndarray | None = None

    @classmethod
    def of(cls, dissection: Dissection, other: Dissection | None) -> "MeasuredSims":
        """Those of a dissection, or of another of the same images; ValueError where that lacks images or all concepts."""
        if other is None:
            return cls(dissection.image_concept_sims)
        if other.image_concept_sims is None:
            raise ValueError(f"dissector= has no image_concept_sims ({why_none(other)}")
        images = other.probe_table.index.get_indexer(dissection.probe_table.index)
        if (images < 0).any():
            missing = [str(image) for image in dissection.probe_table.index[images < 0]]
            raise ValueError(f"dissector= lacks {len(missing)} of the images, such as {listed(missing, 2)}; use the same probe")
        concepts = pd.Index(other.concepts.names).get_indexer(dissection.concepts.names)
        if (concepts < 0).all():
            raise ValueError("dissector= has none of the dissection's concepts; dissect with the same concepts")
        return cls(other.image_concept_sims, images, concepts)

    def __len__(self) -> int:
        return len(self.source if self.images is None else self.images)

    @property
    def n_concepts(self) -> int:
        return self.source.shape[1] if self.concepts is None else len(self.concepts)

    def rows(self, positions: np.ndarray | slice) -> np.ndarray:
        """Those of some images (n, n_concepts) float64."""
        block = self.source[positions if self.images is None else self.images[positions]].astype(np.float64)
        release(self.source)
        return block if self.concepts is None else np.where(self.concepts >= 0, block[:, self.concepts], np.nan)
