"""An image of one's own beside a dissection: the neurons that respond to it most, and the concepts nearest to it.

It is read and prepared as the probe's images are, and kept in memory alone: in no file, no store, no view that is saved.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np
import pandas as pd

from mdissect.browser import DroppedFile, PassingPicture
from mdissect.explorers.html import FAINT, TEXT, lines_html, nearest_html
from mdissect.explorers.pictures import Pictures
from mdissect.explorers.reading import Reading

if TYPE_CHECKING:
    from mdissect.models import Dissector, Target
    from mdissect.probes import Probe

N_NEURONS, N_CONCEPTS = 5, 5
UPLOAD = "an image of your own"
UNLIKE = 4.0  # standard deviations, half of a layer's neurons beyond: the image is unlike all of the probe
ACCEPTED = ".png,.jpg,.jpeg,.tif,.tiff,.pgm,.ppm,.dcm,.dicom,.dic"
PASS = ("axes", "prefix_tokens", "fold", "precision")  # options of the pass that made a result, stated in its settings
ROUNDING = 1e-5  # of a neuron's largest activation: two that are not further apart are alike


@dataclass(frozen=True)
class Given:
    """What is needed for an image of one's own in one result: its tables, and the models and images that made it."""

    reading: Reading
    target: "Target | None" = None
    dissector: "Dissector | None" = None
    probe: "Probe | None" = None

    @property
    def missing(self) -> list[str]:
        """What cannot be said of an image, and why, in sentences."""
        said = [] if self.target else ["Which neurons respond to it is not known: give the explorer its target="]
        return said if self.dissector else [*said, "Which concepts are near to it is not known: give the explorer a dissector="]


def responses(given: Given, image: np.ndarray, k: int = N_NEURONS) -> pd.DataFrame:
    """The k neurons of each layer that respond to an image most, compared with what they do on the probe.

    Returns
    -------
    DataFrame
        layer, neuron, percentile (of the probe's images, those with a lower activation and half of those alike), deviations
        (from the mean over the probe, in standard deviations), activation, concept ("" for a neuron that cannot be named),
        usual (the median of all the layer's neurons' absolute deviations; large for an image unlike the probe's).
        By percentile, then by deviations. Constant neurons and those that are not finite are left out.

    Raises
    ------
    ValueError
        The target is not the one that was dissected, there are no activations, or the image cannot be prepared.
    """
    from mdissect.embed import record_probe  # torch, which looking at a saved result does without
    from mdissect.passing import PassOptions
    from mdissect.probes import Probe

    found = given.reading.dissection
    if not found.activations:
        raise ValueError("this result has no activations to compare the image with")
    _check_same("target", given.target, found.settings, "target_weights")
    stated = {name: found.settings[name] for name in PASS if name in found.settings}
    options = PassOptions(progress=False, workers=0, **stated)
    layers, pool = list(found.activations), found.settings.get("pool", "mean")
    seen = record_probe(given.target, Probe.from_arrays([image], ids=["own"]), layers, pool, options=options)
    return pd.concat([_ranked(given.reading, layer, seen[layer][0], k) for layer in layers], ignore_index=True)


def near_concepts(given: Given, image: np.ndarray, k: int = N_CONCEPTS) -> pd.DataFrame:
    """The k concepts nearest to an image by the dissector: concept, similarity, deviations (NaN where they are not known).

    Deviations are from the mean over the probe, in standard deviations. ValueError: the dissector sees no pixels, is not the
    one of this result, or the image cannot be prepared.
    """
    found, dissector = given.reading.dissection, given.dissector
    if not dissector.needs_pixels:
        raise ValueError(f"dissector {dissector.name!r} knows the images of its probe alone")
    _check_same("dissector", dissector, found.settings, "dissector_weights")
    embedded = dissector.embed_images(dissector.preprocess(image)[None]).float().cpu().numpy()[0]
    texts = found.text_embeddings
    if texts is None:
        texts = dissector.embed_texts(list(given.reading.names)).float().cpu().numpy()
    cosines, known = texts @ embedded, found.image_concept_sims
    order = np.argsort(-np.round(cosines, 4), kind="stable")[:k]
    mean, spread = (np.nan, np.nan) if known is None else (known[:, order].mean(axis=0), known[:, order].std(axis=0))
    deviations = (cosines[order] - mean) / np.where(spread > 0, spread, np.nan)
    return pd.DataFrame({"concept": given.reading.names[order], "similarity": cosines[order], "deviations": deviations})


def _ranked(reading: Reading, layer: str, values: np.ndarray, k: int) -> pd.DataFrame:
    """The k strongest rows of `responses` for a layer, of the activations of one image (n_neurons,)."""
    seen = reading.dissection.activations[layer].astype(np.float64)
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = ROUNDING * np.abs(seen).max(axis=0)
        mean, spread = seen.mean(axis=0), seen.std(axis=0)
        alike = np.abs(seen - values) <= near
        percentile = 100 * (((seen < values) & ~alike).mean(axis=0) + alike.mean(axis=0) / 2)
        usable = np.isfinite(seen).all(axis=0) & np.isfinite(values) & (spread > near)
    deviations = np.divide(values - mean, spread, out=np.zeros_like(mean), where=usable)
    neurons = np.flatnonzero(usable)
    order = neurons[np.lexsort((-deviations[neurons].round(3), -percentile[neurons].round(3)))][:k]
    return pd.DataFrame(
        {
            "layer": layer,
            "neuron": order,
            "percentile": percentile[order],
            "deviations": deviations[order],
            "activation": values[order],
            "concept": [reading.label(layer, int(neuron)) for neuron in order],
            "usual": np.median(np.abs(deviations[neurons])) if len(neurons) else np.nan,
        }
    )


def _check_same(what: str, model, settings: dict, name: str) -> None:
    """ValueError for a model of other weights than the dissection states."""
    if settings.get(name, model.fingerprint) != model.fingerprint:
        raise ValueError(f"{what} {model.name!r} is not the one of this result ({settings.get(what)}): give that one")


class OwnImagePanel(widgets.VBox):
    """A control to give an image, and what it means: neurons to go to, layer by layer, and concepts.

    >>> panel = OwnImagePanel(lambda layer, neuron: print(layer, neuron))
    >>> panel.use(Given(reading, target, dissector, probe))                                     # doctest: +SKIP
    >>> panel.take("mammogram.dcm")                                                             # doctest: +SKIP

    `go` is called with the layer and number of a neuron that the reader chooses. `responses` and `concepts` are the tables
    shown, None while there is no image.
    """

    def __init__(self, go: Callable[[str, int], None]):
        self._go, self._given, self._image = go, None, None
        self.responses: pd.DataFrame | None = None
        self.concepts: pd.DataFrame | None = None
        wide, auto = widgets.Layout(width="auto"), widgets.Layout(width="auto")
        self.upload = widgets.FileUpload(accept=ACCEPTED, multiple=False, description="", tooltip=UPLOAD, layout=auto)
        self.upload.add_class("mdissect-upload")  # its words stand in STYLE: the widget counts files behind its description
        self.upload.observe(self._uploaded, "value")
        self.dropped = DroppedFile(self._take_file)
        self.remove = widgets.Button(description="remove it", icon="times", layout=wide)
        self.remove.on_click(lambda _: self.clear())
        self.message, self.neurons = widgets.HTML(), widgets.VBox()
        self.picture, self.near = PassingPicture(), widgets.HTML()
        self._found = widgets.HBox([self.picture, self.neurons, self.near], layout=widgets.Layout(flex_flow="row wrap"))
        super().__init__(
            [
                widgets.HBox([self.upload, self.dropped, self.remove], layout=widgets.Layout(flex_flow="row wrap")),
                self.message,
                self._found,
            ]
        )
        self.add_class("mdissect-own-image")
        self._draw()

    def use(self, given: Given) -> None:
        """Compare with another result from now on."""
        if given != self._given:
            self._given = given
            self.upload.disabled = self.dropped.disabled = not (given.target or given.dissector)
            self._look()

    def take(self, image: str | Path | bytes | np.ndarray, name: str = "") -> None:
        """Take an image as it is given; ValueError, TypeError: it cannot be read, or is no image."""
        from mdissect.preprocess import Preprocess
        from mdissect.probes import own_image

        name = name or (Path(image).name if isinstance(image, (str, Path)) else "the image")
        array = own_image(image, self._given and self._given.probe, name)
        Preprocess(size=(8, 8))(array)  # refuses what no model can be shown
        self._image = (name, array)
        self._look()

    def clear(self) -> None:
        """Forget the image."""
        self._image = None
        self._look()

    def _uploaded(self, change) -> None:
        """Take the file that the reader gave; it does not stay in the control, whose state a notebook may save."""
        if not change.new:
            return
        (file,) = change.new
        self.upload.value = ()
        self._take_file(bytes(file["content"]), file["name"])

    def _take_file(self, content: bytes, name: str) -> None:
        """Take the bytes of a file, or say why not."""
        try:
            self.take(content, name)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            self.clear()
            self.message.value = lines_html([f"This file cannot be used: {error}"])

    def _look(self) -> None:
        """Compute all that is said of the image."""
        self.responses = self.concepts = None
        problems = [] if self._given is None else list(self._given.missing)
        if self._image is not None and self._given is not None:
            for wanted, name, compute in (("target", "responses", responses), ("dissector", "concepts", near_concepts)):
                if getattr(self._given, wanted) is not None:
                    try:
                        setattr(self, name, compute(self._given, self._image[1]))
                    except (ValueError, TypeError, RuntimeError) as error:
                        problems.append(f"{wanted}: {error}")
        if self.responses is not None and (self.responses.usual > UNLIKE).any():
            far = self.responses.usual.max()
            problems.append(
                f"This image is unlike the probe’s: half of a layer’s neurons lie {far:.0f} standard deviations or more from "
                "their mean over the probe. What is said of it below tells little."
            )
        self._draw(problems)

    def _draw(self, problems: list[str] = ()) -> None:
        given = self._image is not None
        self.message.value = lines_html(problems, faint=not given)
        self.remove.layout.display = self._found.layout.display = None if given else "none"
        self.neurons.children = [] if self.responses is None else self._lists(self.responses)
        self.near.value = "" if self.concepts is None else nearest_html(self.concepts)
        if not given:
            return self.picture.show(b"", "")
        from mdissect.probes import Probe

        name, array = self._image
        picture = Pictures(Probe.from_arrays([array], ids=[name])).picture(name)
        return self.picture.show(picture.jpeg, f"Your image {name}, {array.shape[1]} x {array.shape[0]} pixels")

    def _lists(self, table: pd.DataFrame) -> list[widgets.Widget]:
        """A heading and buttons for each layer."""
        parts: list[widgets.Widget] = []
        for layer, rows in table.groupby("layer", sort=False):
            parts.append(widgets.HTML(f'<div style="{TEXT}"><b>Neurons of {escape(layer)} that respond most</b></div>'))
            parts += [self._button(row) for row in rows.itertuples()]
        n_images = len(self._given.reading.dissection.probe_table)
        explained = f"Above so many of the {n_images} images of the probe; sd: standard deviations from their mean"
        return [*parts, widgets.HTML(f'<div style="{TEXT};{FAINT};font-size:11px">{explained}</div>')]

    def _button(self, row) -> widgets.Button:
        words = f"{row.neuron}: {row.concept or 'cannot be named'} (above {row.percentile:.0f} %, {row.deviations:+.1f} sd)"
        button = widgets.Button(description=words, tooltip=f"go to neuron {row.neuron}", layout=widgets.Layout(width="auto"))
        button.add_class("mdissect-neuron")
        button.on_click(lambda _: self._go(row.layer, int(row.neuron)))
        return button
