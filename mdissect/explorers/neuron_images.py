"""Which of a dissection's images are shown of a neuron, and what is known of them."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection
from mdissect.explorers.choosing import OF_LABEL, between, known_of, one_of_each, ordered, other_views, why_not
from mdissect.wording import percent


class NeuronImages:
    """The images of a dissection's neurons."""

    def __init__(self, dissection: Dissection):
        self.dissection = dissection
        self.names = np.array(dissection.concepts.names, dtype=object)

    def label(self, layer: str, neuron: int) -> str:
        """A neuron's most similar concept; "" when it cannot be named."""
        scores = self.dissection.similarity[layer][neuron]
        return "" if np.isnan(scores).all() else self.names[np.nanargmax(scores)]

    def images_kept(self, layer: str) -> int:
        """How many images of a neuron have known activations: all, the strongest where these alone were kept, or none (0)."""
        if layer in self.dissection.activations:
            return len(self.dissection.probe_table)
        top = self.dissection.top_activations.get(layer)
        return 0 if top is None else top.images.shape[1]

    def strongest_alone(self, layer: str) -> bool:
        """Whether only each neuron's strongest images were kept (`dissect(keep="top")`)."""
        return layer not in self.dissection.activations and self.images_kept(layer) > 0

    def activations_of(self, layer: str, neuron: int) -> np.ndarray:
        """A neuron's activations (n_images,); NaN where they were not kept."""
        if layer in self.dissection.activations:
            return self.dissection.activations[layer][:, neuron]
        top, found = self.dissection.top_activations[layer], np.full(len(self.dissection.probe_table), np.nan, np.float32)
        found[top.images[neuron]] = top.activations[neuron]
        return found

    def images(
        self, layer: str, neuron: int, which: str = "strongest", k: int = 8, span: Sequence[float] = (), each: bool = False
    ) -> pd.DataFrame:
        """Images with a neuron's activation: image (id), activation, then the probe's metadata.

        `which` is one of `choosing.WHICH` ("weakest" begins with the weakest, "random" are the same images for every neuron);
        `span`, if given, are two activations: the images between; with `each`, one image of each patient. Empty for a result
        without activations, or one that has none of these images.
        """
        if not (kept := self.images_kept(layer)) or self.why_not_kept(layer, which):
            return pd.DataFrame(columns=["image", "activation"])
        column, k = self.activations_of(layer, neuron), min(k, kept)
        shown = self.shown(layer, neuron) if which in OF_LABEL else None
        among = one_of_each(column, which, self.dissection.probe_table.patient, shown) if each else np.arange(len(column))
        shown = None if shown is None else shown[among]
        order = among[between(column[among], *span, k) if len(span) else ordered(column[among], which, k, shown)]
        return image_rows(self.dissection.probe_table, order, "activation", column)

    def other_views(self, layer: str, neuron: int, image_id: str, k: int = 6) -> pd.DataFrame:
        """The other images of an image's patient, as `images`; empty where the patient is not known."""
        order = other_views(self.dissection.probe_table, image_id)[:k]
        return image_rows(self.dissection.probe_table, order, "activation", self.activations_of(layer, neuron))

    @cached_property
    def several(self) -> bool:
        """Whether a patient is known to have several images."""
        patients = self.dissection.probe_table.get("patient", pd.Series(dtype=object)).replace("", None).dropna()
        return bool(patients.duplicated().any())

    def shown(self, layer: str, neuron: int) -> np.ndarray | None:
        """Whether each image shows the neuron's label: 1, 0 or NaN (n_images,); None: nothing is known of the label."""
        label = self.label(layer, neuron)
        if not label or label not in self._presence:
            return None
        return self._presence[label].astype("boolean").to_numpy(dtype=float, na_value=np.nan)

    def rests_on(self, layer: str, neuron: int, k: int) -> str:
        """Of how many patients the k strongest images are, and how many of them show the label, in words; "" if unknown."""
        if not self.images_kept(layer):
            return ""
        table, patients, shown = self.dissection.probe_table, self.dissection.patients, self.shown(layer, neuron)
        order = table.index.get_indexer(self.images(layer, neuron, k=k).image)
        n_patients = len({patients[i] for i in order}) if patients else 0
        truth = shown[order][np.isfinite(shown[order])] if shown is not None else np.array([])
        of = f"of {n_patients} patient{'s' * (n_patients != 1)}" * bool(patients)
        if not len(truth):
            return f"The label rests on {len(order)} images {of}." if of else ""
        among = ", ".join(filter(None, [f"Of the {len(order)} images that the label rests on", of]))
        shows = f"{int(truth.sum())} of {len(truth)}" if len(truth) < len(order) else f"{int(truth.sum())}"
        label = self.label(layer, neuron)
        return f"{among}, {shows} show “{label}” ({percent(np.nanmean(shown))} of all images do), by the images’ table."

    def why_not(self, layer: str, neuron: int, which: str) -> str:
        """Why a neuron has no such images (`choosing.WHICH`), or ""."""
        return self.why_not_kept(layer, which) or why_not(which, self.label(layer, neuron), self.shown(layer, neuron))

    def why_not_kept(self, layer: str, which: str) -> str:
        """Why a result has no such images (`choosing.WHICH`) of any neuron, or ""."""
        alone = self.strongest_alone(layer) and which != "strongest"
        return f"only the {self.images_kept(layer)} strongest images of each neuron were kept" if alone else ""

    @cached_property
    def _presence(self) -> pd.DataFrame:
        return known_of(self.dissection)


def image_rows(table: pd.DataFrame, order: Iterable[int], name: str, values: np.ndarray) -> pd.DataFrame:
    """The images at some positions: image (id), the column `name` of `values` (n_images,), then the probe's metadata."""
    found = pd.DataFrame({"image": table.index[order].astype(str), name: values[order]})
    rest = table.iloc[order].drop(columns=["image", name], errors="ignore").reset_index(drop=True)
    return pd.concat([found, rest], axis=1)
