"""The result of a dissection: similarities, labels, top images; saved, loaded, exchanged as CSV."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.concepts import ConceptSet, with_categories
from mdissect.metrics import strongest
from mdissect.tables import read_text_table, write_table


@dataclass
class Dissection:
    """The result of `dissect`.

    Attributes
    ----------
    similarity : dict of layer to (n_neurons, n_concepts) float32
        S of the paper; NaN throughout for a neuron that cannot be named.
    activations : dict of layer to (n_images, n_neurons) float32
    image_concept_sims : (n_images, n_concepts) float32
        P of the paper.
    notes : dict of layer to (n_neurons,) str
        "" or why a neuron cannot be named ("constant" up to rounding, "not finite"), or that the choice of its top images
        was arbitrary ("tied").
    concepts : ConceptSet
    probe_table : DataFrame
        The probe's metadata, indexed by image id, in the order of the images.
    settings : dict
        Everything that the result depends on, by name: models and their hashes, probe, similarity and its options.
    trusted : DataFrame, optional
        The labels that are better than chance, where they stand in for those of the published rule: see `calibrated`.
    """

    similarity: dict[str, np.ndarray]
    concepts: ConceptSet
    settings: dict
    activations: dict[str, np.ndarray] = field(default_factory=dict)
    image_concept_sims: np.ndarray | None = None
    notes: dict[str, np.ndarray] = field(default_factory=dict)
    probe_table: pd.DataFrame = field(default_factory=pd.DataFrame)
    trusted: pd.DataFrame | None = None

    @property
    def layers(self) -> list[str]:
        return list(self.similarity)

    @property
    def patients(self) -> list[str] | None:
        """Patient of each image; images without one count as their own patient. None where the probe names no patients."""
        if "patient" not in self.probe_table:
            return None
        column = self.probe_table.patient
        known = column.notna() & (column != "")
        return [f"patient {p}" if k else f"image {i}" for i, (p, k) in enumerate(zip(column, known, strict=True))]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{layer} ({len(s)})" for layer, s in self.similarity.items())
        return (
            f"Dissection of {self.settings.get('target', '?')} by {self.settings.get('dissector', '?')}: "
            f"{len(self.concepts)} concepts, neurons in {sizes}"
        )

    def labels(self, top: int = 1, *, q: float | None = None, **calibration) -> pd.DataFrame:
        """The best concepts of every neuron.

        Parameters
        ----------
        top : int
            How many concepts of each neuron; 1 when q is given.
        q : float, optional
            Label only the neurons that are better than chance at this false discovery rate per layer, by the calibrated rule
            of `mdissect.calibrate` rather than by the highest similarity.
        **calibration
            With q: what `mdissect.labels.trusted_labels` takes, such as store, stability or report_card.

        Returns
        -------
        DataFrame
            One row per layer, neuron and rank (0 = best): layer, neuron, rank, concept, category, broad_category,
            similarity, note. A concept that stands in several categories shows all of them, joined by "; ". A neuron that
            cannot be named has one row with an empty concept and NaN similarity; its note says why. With q also p, q,
            stability and flag; so too the labels (top=1) of a dissection that `calibrated` made.
        """
        if q is not None:
            if top != 1:
                raise ValueError(f"top={top} with q={q}: calibrated labels are one per neuron; leave top at 1")
            from mdissect.labels import trusted_labels  # needs torch, which looking at a saved result does without

            return trusted_labels(self, q, **calibration)
        if calibration:
            raise ValueError(f"labels() takes {', '.join(calibration)} only with q, such as labels(q=0.05)")
        return self.trusted.copy() if top == 1 and self.trusted is not None else self.top_concepts(top)

    def top_concepts(self, top: int = 5) -> pd.DataFrame:
        """The `top` concepts of every neuron by similarity, calibrated or not: columns and rows as in `labels`."""
        if top < 1:
            raise ValueError(f"top={top} must be at least 1")
        names = np.array(self.concepts.names, dtype=object)
        parts = []
        for layer, scores in self.similarity.items():
            filled = np.where(np.isnan(scores), -np.inf, scores)
            order = strongest(filled, top, axis=1)
            best = np.take_along_axis(filled, order, axis=1)
            neuron, rank = np.nonzero(np.isfinite(best) | (np.arange(order.shape[1]) == 0))
            value = best[neuron, rank]
            named = np.isfinite(value)
            parts.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "neuron": neuron,
                        "rank": rank,
                        "concept": np.where(named, names[order[neuron, rank]], ""),
                        "similarity": np.where(named, value, np.nan),
                        "note": self.notes.get(layer, np.full(len(scores), "", dtype=object))[neuron],
                    }
                )
            )
        table = pd.concat(parts, ignore_index=True)
        columns = ["layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "note"]
        return with_categories(table, self.concepts)[columns]

    def calibrated(self, q: float = 0.05, **calibration) -> "Dissection":
        """The same dissection, in which a neuron has a label only where that is better than chance.

        All later counts and plots use these labels; a label counts wherever there is one, whatever the threshold tau.
        Similarities and thresholds stay as they are.

        Parameters
        ----------
        q, **calibration
            As in `labels`.
        """
        settings = {
            **self.settings,
            "calibrated": {"q": q, **{k: v for k, v in calibration.items() if k in ("n_null", "seed")}},
        }
        return replace(self, trusted=self.labels(q=q, **calibration), settings=settings)

    @property
    def published(self) -> "Dissection":
        """The same dissection with the labels of the published rule."""
        return replace(self, trusted=None, settings={k: v for k, v in self.settings.items() if k != "calibrated"})

    def top_images(self, layer: str, neuron: int, k: int = 5) -> pd.DataFrame:
        """The k images that a neuron responds to most: rank, image (id), activation, then the probe's metadata."""
        column = self._activations(layer, neuron)
        order = strongest(column, k)
        found = pd.DataFrame({"rank": range(len(order)), "image": self.probe_table.index[order], "activation": column[order]})
        metadata = self.probe_table.iloc[order].rename(columns={name: f"{name}_of_image" for name in found})
        return pd.concat([found, metadata.reset_index(drop=True)], axis=1)

    def _activations(self, layer: str, neuron: int) -> np.ndarray:
        if layer not in self.activations:
            raise KeyError(f"no activations of layer {layer!r}; there are {', '.join(self.activations) or 'none'}")
        n_neurons = self.activations[layer].shape[1]
        if not 0 <= neuron < n_neurons:
            raise IndexError(f"neuron {neuron} is not in layer {layer!r}, whose neurons are 0 to {n_neurons - 1}")
        return self.activations[layer][:, neuron]

    def save(self, folder: str | os.PathLike) -> None:
        """Write arrays (safetensors), concepts (CSV), probe table, notes and settings (JSON) into a folder."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"similarity/{layer}": s for layer, s in self.similarity.items()}
        arrays |= {f"activations/{layer}": a for layer, a in self.activations.items()}
        if self.image_concept_sims is not None:
            arrays["image_concept_sims"] = self.image_concept_sims
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
        self.concepts.table.to_csv(folder / "concepts.csv", index=False)
        table = self.probe_table.astype(object).where(self.probe_table.notna(), None)
        (folder / "probe.json").write_text(json.dumps(table.to_dict(orient="split"), default=str))
        document = {
            "settings": self.settings,
            "layers": self.layers,
            "notes": {k: list(v) for k, v in self.notes.items()},
        }
        if self.trusted is not None:
            document["trusted"] = json.loads(self.trusted.to_json(orient="split", double_precision=15))
        (folder / "dissection.json").write_text(json.dumps(document, indent=1))

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Dissection":
        """Read what `save` wrote; notes and settings, which an older version may not have kept, may be missing.

        Raises
        ------
        FileNotFoundError
            The folder holds no dissection.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        if not (folder / "dissection.json").is_file():
            raise FileNotFoundError(f"{folder} holds no dissection (no dissection.json); Dissection.save(folder) writes one")
        document = json.loads((folder / "dissection.json").read_text())
        arrays = load_file(folder / "arrays.safetensors")
        layers = document["layers"]
        return cls(
            similarity={layer: arrays[f"similarity/{layer}"] for layer in layers},
            activations={layer: arrays[f"activations/{layer}"] for layer in layers if f"activations/{layer}" in arrays},
            image_concept_sims=arrays.get("image_concept_sims"),
            notes={layer: np.array(notes, dtype=object) for layer, notes in document.get("notes", {}).items()},
            concepts=ConceptSet.from_table(read_text_table(folder / "concepts.csv", own=True)),
            probe_table=_read_table(folder / "probe.json"),
            settings=document.get("settings", {}),
            trusted=_read_trusted(document["trusted"]) if "trusted" in document else None,
        )

    def to_csv(self, path: str | os.PathLike, images: int = 5) -> None:
        """Write the labels as CLIP-Dissect does: layer, unit, description, similarity, images (positions of the strongest)."""
        table = self.labels()
        best = {layer: strongest(activations, images).T for layer, activations in self.activations.items() if images}
        rows = pd.DataFrame(
            {"layer": table.layer, "unit": table.neuron, "description": table.concept, "similarity": table.similarity}
        )
        if best:
            rows["images"] = [f"[{' '.join(map(str, best[r.layer][r.neuron]))}]" for r in table.itertuples()]
        write_table(path, rows)

    @classmethod
    def from_csv(cls, path: str | os.PathLike, concepts: ConceptSet | Sequence[str] | None = None) -> "Dissection":
        """Read labels in CLIP-Dissect's columns; `similarity` is known for each neuron's label alone, NaN elsewhere.

        Raises
        ------
        ValueError
            A column is missing, a number is none, a label is not among `concepts`, or the units of a layer are not 0, 1, ...
        """
        table = read_text_table(path, ("layer", "unit", "description", "similarity"), own=True)
        table = table.assign(unit=_numbers(table.unit, path), similarity=_numbers(table.similarity, path))
        named = table[table.description != ""]
        if (missing := named.similarity.isna()).any():
            line = missing.idxmax()
            raise ValueError(f"{path}, line {line}: the label {named.description[line]!r} has no similarity")
        concepts = as_concepts(list(dict.fromkeys(named.description)) if concepts is None else concepts)
        if unknown := sorted(set(named.description) - set(concepts.names)):
            raise ValueError(f"{path}: {len(unknown)} labels are not among the concepts, such as {unknown[:3]}")
        position = {name: i for i, name in enumerate(concepts.names)}
        similarity = {}
        for layer, rows in table.groupby("layer", sort=False):
            if sorted(rows.unit) != list(range(len(rows))):
                raise ValueError(f"{path}: the units of layer {layer} are not 0 to {len(rows) - 1}, each once")
            scores = np.full((len(rows), len(concepts)), np.nan, dtype=np.float32)
            labelled = rows[rows.description != ""]
            scores[labelled.unit.astype(int), labelled.description.map(position)] = labelled.similarity
            similarity[layer] = scores
        return cls(similarity=similarity, concepts=concepts, settings={"source": Path(path).name})


def as_concepts(concepts: ConceptSet | Sequence[str]) -> ConceptSet:
    """A ConceptSet as it is; a list of str as a ConceptSet without categories."""
    return concepts if isinstance(concepts, ConceptSet) else ConceptSet.from_list(concepts)


def _read_table(path: Path) -> pd.DataFrame:
    """A probe table as it was: ids and values that look like numbers, dates or nothing stay strings, unlike in a CSV."""
    return pd.DataFrame(**json.loads(path.read_text())).rename_axis("image_id")


def _read_trusted(document: dict) -> pd.DataFrame:
    """Calibrated labels as they were: a number that JSON knows no word for comes back as NaN."""
    table = pd.DataFrame(**document)
    return table.astype({name: float for name in ("similarity", "p", "q", "stability") if name in table})


def _numbers(cells: pd.Series, path: str | os.PathLike) -> pd.Series:
    """A column of a table as finite numbers, NaN where it is empty."""
    numbers = pd.to_numeric(cells.replace("", "nan"), errors="coerce").astype(float)
    if (wrong := ~np.isfinite(numbers) & (cells != "")).any():
        raise ValueError(f"{path}, line {wrong.idxmax()}: {cells.name} {cells[wrong.idxmax()]!r} is no number")
    return numbers
