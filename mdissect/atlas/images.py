"""Which images an atlas shows, and what it says of each: ids without patients, a caption."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mdissect.dissection import Dissection, shown_id
from mdissect.metrics import TopImages, strongest
from mdissect.probes import Probe

CAPTION = ("view", "laterality", "density", "birads", "findings")  # of the probe's table; nothing that identifies a patient
NEAREST = 8  # images of a concept
MOST_TOP = 100  # images listed of a neuron


class Images:
    """Images of several results, each once; `of(model, positions)` are their numbers in the atlas.

    Results of one probe share images with the same id.
    """

    def __init__(self, found: Mapping[str, Dissection], probes: Mapping[str, Probe | None]):
        self.shown: list[str] = []
        self.captions: list[str] = []
        self.places: list[tuple[Probe, int] | None] = []  # the probe that has the image, and its position there
        self.without: list[bool] = []  # whether the table says that the image has no finding
        self.patients: list[int] = []  # the number of its patient; -1: no other image is known to be of the same one
        self.sides: list[str] = []
        self._numbers, known = {}, {}
        numbered: dict[tuple, int] = {}
        for model, dissection in found.items():
            probe = probes[model]
            at = {} if probe is None else {image_id: i for i, image_id in enumerate(probe.ids)}
            patients = dissection.probe_table.get("patient", pd.Series(index=dissection.probe_table.index, dtype=object))
            captions = _captions(dissection.probe_table, patients)
            findings = dissection.probe_table.get("findings", pd.Series(np.nan, index=dissection.probe_table.index))
            numbers, several = [], _patients(dissection.probe_table)
            sides = dissection.probe_table.get("laterality", pd.Series("", index=dissection.probe_table.index)).fillna("")
            ids = dissection.probe_table.index.astype(str)
            rows = zip(ids, patients, captions, findings == "", several, sides.astype(str), strict=True)
            for image_id, patient, caption, without, shared, side in rows:
                key = (id(probe), image_id)
                if key not in known:
                    known[key] = len(self.shown)
                    self.shown.append(shown_id(image_id, patient))
                    self.captions.append(caption)
                    self.without.append(bool(without))
                    own = (id(probe), shared)
                    self.patients.append(-1 if shared is None else numbered.setdefault(own, len(numbered)))
                    self.sides.append(side)
                    self.places.append((probe, at[image_id]) if image_id in at else None)
                numbers.append(known[key])
            self._numbers[model] = np.array(numbers, dtype=int)

    def __len__(self) -> int:
        return len(self.shown)

    def of(self, model: str, positions: np.ndarray) -> np.ndarray:
        """The numbers in the atlas of the images at some positions in a model's table."""
        return self._numbers[model][positions]


def safe_facts(table: pd.DataFrame) -> pd.DataFrame:
    """A probe's table without columns that name patients, studies or files."""
    patients = set(table.patient.dropna().astype(str)) - {""} if "patient" in table else set()
    ids = set(table.index.astype(str))
    unsafe = []
    for name in table.columns:
        if name == "patient":
            continue
        values = set(table[name].dropna().astype(str)) - {""}
        words = {word for value in values for word in value.split("; ")}
        numbered = str(name).casefold() == "id" or str(name).casefold().endswith(("_id", " id", "uid", "accession"))
        if numbered or words & ids or (not pd.api.types.is_numeric_dtype(table[name]) and words & patients):
            unsafe.append(name)
    return table.drop(columns=unsafe)


def top_images(dissection: Dissection, layer: str) -> TopImages | None:
    """Each neuron's strongest images: as many as were used for its label, at most 100; None where they are not known."""
    used = dissection.settings.get("top_k", 20)
    k = min(used if isinstance(used, int) else 20, MOST_TOP)
    if layer in dissection.activations:
        activations = dissection.activations[layer]
        order = strongest(activations, k)
        return TopImages(order.T, np.take_along_axis(activations, order, axis=0).T)
    kept = dissection.top_activations.get(layer)
    return None if kept is None else TopImages(kept.images[:, :k], kept.activations[:, :k])


def _patients(table: pd.DataFrame) -> list:
    """The patient of each image, None where that is not known or there is no other image."""
    if "patient" not in table:
        return [None] * len(table)
    several = table.patient.notna() & (table.patient != "") & table.patient.duplicated(keep=False)
    return [one if more else None for one, more in zip(table.patient, several, strict=True)]


def nearest_images(dissection: Dissection) -> np.ndarray | None:
    """Positions of the images that the dissector finds most similar to each concept, (n_concepts, 8); None: not known."""
    sims = dissection.image_concept_sims
    return None if sims is None else strongest(sims, NEAREST).T


def chosen(lists: Iterable[np.ndarray], others: Iterable[np.ndarray], most: int) -> list[int]:
    """The numbers of the images that get a picture, at most `most`: every neuron's strongest, then every neuron's second, ...

    `lists` are (n_neurons, k) numbers, -1 for none; `others`, likewise, come after them.
    """
    picked: dict[int, None] = {}
    for group in (list(lists), list(others)):
        for rank in range(max((one.shape[1] for one in group), default=0)):
            for one in group:
                if rank < one.shape[1]:
                    picked.update(dict.fromkeys(one[:, rank].tolist()))
            picked.pop(-1, None)
            if len(picked) >= most:
                return list(picked)[:most]
    return list(picked)


def _captions(table: pd.DataFrame, patients: Sequence) -> list[str]:
    columns = [name for name in CAPTION if name in table]
    rows = table[columns].to_dict("records") if columns else [{}] * len(table)
    captions = []
    for row, patient in zip(rows, patients, strict=True):
        parts = [_said(name, value) for name, value in row.items() if value is not None and value == value and value != ""]
        captions.append(shown_id(", ".join(parts), patient))
    return captions


def _said(name: str, value: object) -> str:
    value = f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
    return {"density": f"density {value}", "birads": f"BI-RADS {value}"}.get(name, value)
