"""The result of a dissection: similarities, labels, top images; saved, loaded, exchanged as CSV."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mdissect.arguments import AT_LEAST_ONE, INTEGER, RATE, some_path
from mdissect.columns import KEYS, attached, checked_columns
from mdissect.concepts import ConceptSet, with_categories
from mdissect.metrics import TopImages, strongest
from mdissect.saved import read_parts, write_parts
from mdissect.signatures import validated
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
        "" or why a neuron cannot be named ("constant" up to rounding, "not finite", or, of all neurons, "no contrast" where the
        dissector does not distinguish the concepts), or that the choice of its top images was arbitrary ("tied").
    concepts : ConceptSet
    probe_table : DataFrame
        The probe's metadata, indexed by image id, in the order of the images.
    settings : dict
        Everything that the result depends on, by name: models and their hashes, probe, similarity and its options.
    trusted : DataFrame, optional
        The labels that are better than chance, where they stand in for those of the published rule: see `calibrated`.
    image_embeddings : (n_images, d) float32, optional
        The dissector's, of unit norm; `image_concept_sims` are their products with `text_embeddings`. None in a result that is
        older than these fields, or read from a CSV.
    text_embeddings : (n_concepts, d) float32, optional
        The same of the concepts.
    columns : DataFrame, optional
        What `labels` shows beside a neuron or label: see `with_columns`.
    top_activations : dict of layer to TopImages
        Of each neuron's strongest images alone, where ``dissect(keep="top")`` kept no others; `top_images` shows them.
        `activations` are empty then, and there are no image_concept_sims or image_embeddings.

    Arrays of a result that is larger than memory are memory-mapped files (numpy.memmap), as are those of `load(lazy=True)`.
    """

    similarity: dict[str, np.ndarray]
    concepts: ConceptSet
    settings: dict
    activations: dict[str, np.ndarray] = field(default_factory=dict)
    image_concept_sims: np.ndarray | None = None
    notes: dict[str, np.ndarray] = field(default_factory=dict)
    probe_table: pd.DataFrame = field(default_factory=pd.DataFrame)
    trusted: pd.DataFrame | None = None
    image_embeddings: np.ndarray | None = None
    text_embeddings: np.ndarray | None = None
    columns: pd.DataFrame | None = None
    top_activations: dict[str, TopImages] = field(default_factory=dict)

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

    @property
    def pseudonyms(self) -> dict[str, str]:
        """Pseudonyms of the patients for display and files: "1", "2", ... in the order of the images.

        Patients of phantoms are not real and keep their names.
        """
        return pseudonyms_in(self.probe_table)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{layer} ({len(s)})" for layer, s in self.similarity.items())
        return (
            f"Dissection of {self.settings.get('target', '?')} by {self.settings.get('dissector', '?')}: "
            f"{len(self.concepts)} concepts, neurons in {sizes}"
        )

    @validated(top=AT_LEAST_ONE, q=RATE)
    def labels(self, top: int = 1, *, q: float | None = None, visible_only: bool = False, **calibration) -> pd.DataFrame:
        """The best concepts of every neuron.

        Parameters
        ----------
        top : int
            How many concepts of each neuron; 1 when q is given.
        q : float, optional
            Label only the neurons that are better than chance at this false discovery rate per layer, by the calibrated rule
            of `mdissect.calibrate` rather than by the highest similarity.
        visible_only : bool
            Leave out the concepts that a single mammogram cannot show (those that need something, see below). To label by the
            others alone, dissect with ``concepts.subset(evidence="single view")``.
        **calibration
            With q: what `mdissect.labels.trusted_labels` takes, such as store, stability or report_card.

        Returns
        -------
        DataFrame
            One row per layer, neuron and rank (0 = best): layer, neuron, rank, concept, category, broad_category,
            similarity, needs (what it requires beyond one mammogram: "prior exam", "several views", "ultrasound", ...; "" for
            nothing, or if the concept set does not say), note. A concept that stands in several categories shows all of
            them, joined by "; ". A neuron that cannot be named has one row with an empty concept and NaN similarity; its note
            says why. With q also p and q (of the neuron), p_label (of the label), stability, flag and rule (by which the label
            was chosen); so too the labels (top=1) of a dissection that `calibrated` made.
            Last come the columns that `with_columns` attached.
        """
        if q is not None:
            if top != 1:
                raise ValueError(f"top={top} with q={q}: calibrated labels are one per neuron; leave top at 1")
            from mdissect.labels import trusted_labels  # needs torch, which looking at a saved result does without

            table = trusted_labels(self, q, **calibration)
        elif calibration:
            raise ValueError(f"labels() takes {', '.join(calibration)} only with q, such as labels(q=0.05)")
        else:
            table = self.trusted.copy() if top == 1 and self.trusted is not None else self.top_concepts(top)
        table = attached(table, self.columns)
        return table[table.needs == ""].reset_index(drop=True) if visible_only else table

    @validated(top=AT_LEAST_ONE)
    def top_concepts(self, top: int = 5) -> pd.DataFrame:
        """The `top` concepts of every neuron by similarity, calibrated or not: columns and rows as in `labels`."""
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
        columns = ["layer", "neuron", "rank", "concept", "category", "broad_category", "similarity", "needs", "note"]
        return with_categories(table, self.concepts)[columns]

    @validated(q=RATE)
    def calibrated(self, q: float = 0.05, **calibration) -> "Dissection":
        """The same dissection with labels only for neurons whose label is better than chance.

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
        trusted = self.labels(q=q, **calibration)
        settings["calibrated"]["rule"] = str(trusted.rule.iloc[0])
        return replace(self, trusted=trusted, settings=settings)

    @validated()
    def with_columns(self, table: pd.DataFrame) -> "Dissection":
        """The same dissection whose `labels` show more columns, such as those of `mdissect.trust.predicts`.

        >>> found.with_columns(trust.predicts(found)).labels()[["neuron", "concept", "predicts"]]      # doctest: +SKIP

        Parameters
        ----------
        table : DataFrame
            layer, neuron, and the columns to attach, a row per neuron at most. With a column concept its values belong to that
            label, and only a row of `labels` with this concept shows them; a row per neuron and concept then. Columns
            attached before stay; of the same name, the new ones are taken.

        Raises
        ------
        ValueError
            No column to attach, a column that `labels` has already, a layer or neuron that the dissection does not have, or
            several rows for one.
        """
        return replace(self, columns=checked_columns(table, self.columns, {k: len(s) for k, s in self.similarity.items()}))

    @property
    def published(self) -> "Dissection":
        """The same dissection with the labels of the published rule."""
        return replace(self, trusted=None, settings={k: v for k, v in self.settings.items() if k != "calibrated"})

    @validated(neuron=INTEGER, k=AT_LEAST_ONE)
    def top_images(self, layer: str, neuron: int, k: int = 5) -> pd.DataFrame:
        """The k images that a neuron responds to most: rank, image (id), activation, then the probe's metadata."""
        order, activations = self._strongest(layer, neuron, k)
        found = pd.DataFrame({"rank": range(len(order)), "image": self.probe_table.index[order], "activation": activations})
        metadata = self.probe_table.iloc[order].rename(columns={name: f"{name}_of_image" for name in found})
        return pd.concat([found, metadata.reset_index(drop=True)], axis=1)

    def _strongest(self, layer: str, neuron: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions and activations of a neuron's strongest images."""
        if layer in self.activations or layer not in self.top_activations:
            column = self.activations_of(layer, neuron)
            order = strongest(column, k)
            return order, column[order]
        top = self.top_activations[layer]
        _check_neuron(layer, neuron, len(top.images))
        if k > (kept := top.images.shape[1]) and kept < len(self.probe_table):
            raise ValueError(f'k={k} images of a result that keeps the {kept} strongest; dissect with top_k={k} or keep="all"')
        return top.images[neuron, :k], top.activations[neuron, :k]

    def activations_of(self, layer: str, neuron: int | None = None) -> np.ndarray:
        """Activations of a neuron (n_images,), or of a layer (n_images, n_neurons); KeyError, IndexError: no such one."""
        if layer not in self.activations:
            of_top = '; those of top images alone were kept, dissect with keep="all"' if layer in self.top_activations else ""
            raise KeyError(f"no activations of layer {layer!r}; there are {', '.join(self.activations) or 'none'}{of_top}")
        if neuron is None:
            return self.activations[layer]
        _check_neuron(layer, neuron, self.activations[layer].shape[1])
        return self.activations[layer][:, neuron]

    def save(self, folder: str | os.PathLike) -> None:
        """Write arrays (safetensors), concepts, probe table, notes and settings (JSON) into a folder, as a whole.

        What stands there stays until the new result is complete. Only its owner can read it, because the probe's table may
        identify patients; settings and notes are written without the folders of this machine.

        Raises
        ------
        ValueError
            The parts do not fit together.
        OSError
            The folder cannot be written; the previous result is untouched.
        """
        write_parts(some_path("folder", folder), vars(self))

    @classmethod
    @validated()
    def load(cls, folder: str | os.PathLike, lazy: bool = False) -> "Dissection":
        """Read what `save` wrote, and check that it is unchanged.

        `lazy`: map the arrays into memory instead, so that a result of any size opens at once; of their file only the size
        and the header are checked. What is written to these arrays changes nothing in the file.

        A result that was saved before there were checksums is read with a warning, and its settings say so ("unverified").

        Raises
        ------
        FileNotFoundError
            The folder holds no dissection.
        DamagedFileError
            A file is not what was saved, or is missing; the message names it.
        """
        return cls(**read_parts(some_path("folder", folder), lazy))

    @validated()
    def to_csv(self, path: str | os.PathLike, images: int = 5) -> None:
        """Write the labels as CLIP-Dissect does: layer, unit, description, similarity, images (positions of the strongest).

        A further column, needs, says what it takes beyond one mammogram to see the concept (see `labels`). Then come the
        columns that `with_columns` attached, "_attached" behind a name that one of the others has.
        """
        table = self.labels()
        best = {layer: top.images[:, :images] for layer, top in self.top_activations.items() if images}
        best |= {layer: strongest(activations, images).T for layer, activations in self.activations.items() if images}
        rows = pd.DataFrame(
            {"layer": table.layer, "unit": table.neuron, "description": table.concept, "similarity": table.similarity}
        )
        if best:
            rows["images"] = [f"[{' '.join(map(str, best[r.layer][r.neuron]))}]" for r in table.itertuples()]
        rows["needs"] = table.needs
        more = [] if self.columns is None else [name for name in self.columns if name not in KEYS]
        write_table(path, rows.assign(**{f"{name}_attached" if name in rows else name: table[name] for name in more}))

    @classmethod
    def from_csv(cls, path: str | os.PathLike, concepts: ConceptSet | Sequence[str] | None = None) -> "Dissection":
        """Read labels in CLIP-Dissect's columns; `similarity` is known for each neuron's label alone, NaN elsewhere.

        Raises
        ------
        ValueError
            A column is missing, a number is not one, a label is not among `concepts`, or the units of a layer are not 0, 1, ...
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


def _check_neuron(layer: str, neuron: int, n_neurons: int) -> None:
    if not 0 <= neuron < n_neurons:
        raise IndexError(f"neuron {neuron} is not in layer {layer!r}, whose neurons are 0 to {n_neurons - 1}")


def pseudonyms_in(table: pd.DataFrame) -> dict[str, str]:
    """`Dissection.pseudonyms` of a probe's table."""
    if "patient" not in table:
        return {}
    unreal = table.index.astype(str).str.fullmatch(r"phantom-\d+-\d+").all()
    named = (patient for patient in table.patient.dropna().unique() if patient != "")
    return {patient: str(patient) if unreal else str(number) for number, patient in enumerate(named, start=1)}


def shown_id(image_id: str, patient: object, instead: str = "patient") -> str:
    """An image's id for display and files, with the patient's id replaced by "patient", or by another word.

    >>> shown_id("P0017_L_CC.png", "P0017")
    'patient_L_CC.png'
    """
    own = "" if patient is None or patient != patient else str(patient)
    return re.sub(rf"(?<![^\W_]){re.escape(own)}(?![^\W_])", instead, image_id) if own else image_id


def as_concepts(concepts: ConceptSet | Sequence[str]) -> ConceptSet:
    """A ConceptSet unchanged; a list of str as a ConceptSet without categories."""
    if isinstance(concepts, (str, os.PathLike)):
        name = str(concepts)
        raise TypeError(f"concepts={name!r} must be a ConceptSet, load_concepts({name!r}), or a list of str, [{name!r}]")
    return concepts if isinstance(concepts, ConceptSet) else ConceptSet.from_list(concepts)


def _numbers(cells: pd.Series, path: str | os.PathLike) -> pd.Series:
    """A column of a table as finite numbers, NaN where it is empty."""
    numbers = pd.to_numeric(cells.replace("", "nan"), errors="coerce").astype(float)
    if (wrong := ~np.isfinite(numbers) & (cells != "")).any():
        raise ValueError(f"{path}, line {wrong.idxmax()}: {cells.name} {cells[wrong.idxmax()]!r} is not a number")
    return numbers
