"""The pictures of an explorer: a probe's images as JPEG, small or large, with a neuron's activation and findings' boxes."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mdissect.browser import COARSE, Over
from mdissect.explorers.findings import names_finding
from mdissect.explorers.scales import Scale, Scales
from mdissect.files import without_folders

PICTURE_HEIGHT, PICTURE_WIDTH = 256, 320
LARGE_HEIGHT, LARGE_WIDTH = 1040, 1280
BOX_COLOUR, OTHER_BOX = "#FF2D2D", "#FFB3B3"  # of the finding that the label names; of another
HEAT_COLOUR = (0, 229, 255)
CONTOURS = (0.25, 0.5, 0.75)  # of a neuron's scale
EDGE = 0.6  # opacity of a contour’s dark edge
MOST_PICTURES, MOST_MAPS = 2000, 32  # some 100 MB of pictures; the maps of a deep layer take 4 MB an image


@dataclass(frozen=True)
class Look:
    """How what lies over a picture is drawn."""

    opacity: int = 60  # per cent, of an activation map
    contour: bool = False  # lines in place of a veil
    height: int = PICTURE_HEIGHT  # of the picture, in pixels, at most


PLAIN = Look()


@dataclass(frozen=True)
class Picture:
    """A picture of an image."""

    array: np.ndarray  # uint8 (height, width[, 3])
    jpeg: bytes
    problem: str = ""  # why it is not what was asked for
    boxes: tuple[dict, ...] | None = None  # the findings' in pixels of the image; None: nobody marked any, or not asked for
    pointed: tuple[bool, float] | None = (
        None  # whether the strongest place lies in a box of the label's finding; their share of the image
    )
    findings: tuple[str, ...] = ()  # those in the image that the label names
    scale: Scale | None = None  # of the activation drawn over it

    def width_at(self, height: int) -> int:
        """In pixels, when it is shown at a height."""
        return round(self.array.shape[1] * height / self.array.shape[0])


class Pictures:
    """Pictures of a probe's images in their true aspect, each made once while it is among the last thousands seen.

    Without a probe they are grey tiles; the target shows where in an image a neuron responds, on one scale for each neuron of
    the dissection (`Scales`, kept in the store); without a dissection each image has its own scale. `kept` is a decorator of
    functions that keeps their results, such as `mdissect.study.Study.kept`: of the maps. A `factor` (`mdissect.localize.
    FactorModel`) shows where a text is seen: in the place of (layer, neuron) stands the text.
    """

    def __init__(self, probe=None, target=None, dissection=None, store=None, kept=None, factor=None):
        self.probe, self.target, self.factor, self.kept = probe, target, factor, kept
        self._positions = {} if probe is None else {image_id: i for i, image_id in enumerate(probe.ids)}
        self._made, self._small = lru_cache(MOST_PICTURES)(self._make), lru_cache(MOST_PICTURES)(self._read)
        self._maps, self._boxes = lru_cache(MOST_MAPS)(self._map), lru_cache(None)(self._boxes_in)
        self._seen = lru_cache(MOST_MAPS)(self._seen_in)
        self.scales = dissection and Scales(dissection, probe, target, self._maps, store)

    def picture(
        self,
        image_id: str,
        place: tuple[str, int] | str | None = None,
        *,
        boxes: bool = False,
        large: bool = False,
        label: str = "",
        look: Look = PLAIN,
    ) -> Picture:
        """The picture of an image; with a place (layer, neuron), where in it that neuron responds; a text: where it is seen.

        The strongest place is compared with the boxes of the findings that the label names.

        A grey tile with the id where the image is not in the probe or cannot be read, without activation where the layer has
        no places: `Picture.problem` says so.
        """
        return self._made(image_id, place, boxes, large, label, look)

    def gallery(
        self,
        image_ids: Iterable[str],
        place: tuple[str, int] | str | None = None,
        boxes: bool = False,
        label: str = "",
        look: Look = PLAIN,
    ) -> Iterator[Picture]:
        """The pictures of several images, one by one as they are made."""
        return (self.picture(image_id, place, boxes=boxes, label=label, look=look) for image_id in image_ids)

    def scale(self, place: tuple[str, int] | str) -> Scale | None:
        """The scale of a neuron (layer, neuron) or a text; None where it is not known."""
        if isinstance(place, str):
            return self._reading_of(place)
        try:
            return self.scales.of(*place) if self.scales and self.target is not None else None
        except (OSError, ValueError, LookupError, RuntimeError):  # no places in this layer, or a top image cannot be read
            return None

    def measure(self, layer: str) -> None:
        """Make a layer's scales exact: one pass over the probe."""
        self.scales.measure([layer])
        self._made.cache_clear()

    def original(self, image_id: str) -> np.ndarray:
        """An image as the probe has it; its grey tile where it is not there or cannot be read."""
        small, _, problem = self._small(image_id, PICTURE_HEIGHT)
        return small if problem else self.probe[self._positions[image_id]]

    def over(self, image_id: str, place: tuple[str, int] | str | None = None, label: str = "") -> Over:
        """What the viewer lays over an image: a neuron's map on its scale, the breast, and all annotations."""
        _, shape, problem = self._small(image_id, PICTURE_HEIGHT)
        if problem:
            return Over()
        boxes = [_placed(box, names_finding(label, str(box.get("finding", "")))) for box in self._boxes(image_id) or ()]
        if place is None:
            return Over(boxes=boxes)
        try:
            heat, scale = self._heat(image_id, place), self.scale(place)
        except ValueError:
            return Over(boxes=boxes)
        highest = scale.highest if scale else float(np.nanmax(heat, initial=0.0))
        breast = self._breast(image_id, (COARSE, round(COARSE * shape[1] / shape[0])))
        codes = np.rint(255 * np.nan_to_num(_shares(heat, highest))).astype(np.uint8)
        return Over(codes, highest, scale.of if scale else "maximum in this image", breast, boxes)

    def absent(self, image_ids: Iterable[str]) -> int:
        """How many of these images the probe does not have; 0 without a probe."""
        return 0 if self.probe is None else sum(image_id not in self._positions for image_id in image_ids)

    def _make(self, image_id: str, place, boxes: bool, large: bool, label: str, look: Look) -> Picture:
        small, shape, problem = self._small(image_id, LARGE_HEIGHT if large else look.height)
        if problem:
            return _picture(small, problem)
        marked, pointed, scale = self._boxes(image_id) if boxes else None, None, None
        named = [box for box in marked or () if names_finding(label, str(box.get("finding", "")))]
        if place is not None:
            try:
                heat, scale = self._heat(image_id, place), self.scale(place)
                small = _heated(small, heat, scale, self._breast(image_id, small.shape[:2]), look)
                pointed = _pointed(heat, named, shape) if named else None
            except ValueError as error:
                problem = f"no activation to show: {error}"
        if marked:
            small = _boxed(small, marked, shape, [not label or box in named for box in marked], numbered=large)
        findings = tuple(dict.fromkeys(str(box["finding"]) for box in named))
        return _picture(small, problem, boxes=marked, pointed=pointed, findings=findings, scale=scale)

    def _heat(self, image_id: str, place: tuple[str, int] | str) -> np.ndarray:
        """What lies over an image (h, w): a neuron's map, or where a text is seen."""
        return self._seen(image_id, place) if isinstance(place, str) else self._maps(image_id, place[0])[place[1]]

    def _seen_in(self, image_id: str, text: str) -> np.ndarray:
        """Where a text is seen in an image (height, width), from 0 to 1; ValueError if it cannot be read."""
        from mdissect.localize import overlay_source

        return overlay_source(self.factor)(self.probe[self._positions[image_id]], text)

    def _reading_of(self, text: str) -> Scale | None:
        """The scale of a text's heat; None where it cannot be read."""
        try:
            return Scale(1.0, f"its greatest in this image; {self.factor.read(text)}", exact=True)
        except ValueError:
            return None

    def _breast(self, image_id: str, shape: tuple[int, int]) -> np.ndarray | None:
        """The breast in an image, at some size: uint8, 255 on it; None where the image has no air."""
        from mdissect.localize import breast_region

        found = breast_region(self._small(image_id, PICTURE_HEIGHT)[0], shape)
        return None if found is None else np.where(found, 255, 0).astype(np.uint8)

    def _read(self, image_id: str, height: int) -> tuple[np.ndarray, tuple[int, int], str]:
        """An image made small (uint8), its own height and width, and what is wrong with it; a grey tile where it is gone."""
        size = round(height * PICTURE_WIDTH / PICTURE_HEIGHT), height
        if self.probe is None:
            problem = "no probe was given"
        elif image_id not in self._positions:
            problem = f"not among the images of {self.probe.name}"
        else:
            try:
                image = self.probe[self._positions[image_id]]
                return within(image, size), image.shape[:2], ""
            except (OSError, ValueError, LookupError, RuntimeError) as error:
                problem = f"cannot be read: {without_folders(str(error))}"
        tile = _grey(image_id)
        return tile, tile.shape, problem

    def _map(self, image_id: str, layer: str) -> np.ndarray:
        """The maps of a layer's neurons in an image (n_neurons, h, w)."""
        from mdissect.localize import activation_maps  # torch is needed for overlays alone

        maps = activation_maps if self.kept is None else self.kept(activation_maps)
        return maps(self.target, layer, [self.probe[self._positions[image_id]]])[0]

    def _boxes_in(self, image_id: str) -> tuple[dict, ...] | None:
        """The findings' boxes in an image; None where nobody marked any."""
        try:
            return tuple(self.probe.boxes(self._positions[image_id]))
        except (LookupError, OSError, ValueError):  # no boxes at all, or none that can be brought into the image
            return None


def _shares(heat: np.ndarray, highest: float) -> np.ndarray:
    """A map as shares of a scale."""
    from mdissect.localize import overlay

    return overlay(heat, highest)


def _heated(small: np.ndarray, heat: np.ndarray, scale: Scale | None, breast: np.ndarray | None, look: Look) -> np.ndarray:
    """A picture with a neuron's map (h, w) over it: a veil or contours, weaker off the breast."""
    from mdissect.localize import OFF_BREAST, upsample

    shares = np.clip(upsample(_shares(heat, scale.highest if scale else float(heat.max())), small.shape[:2]), 0, 1)
    width = max(small.shape[0] // 200, 1)
    alpha = _lines(shares, width) if look.contour else shares
    dark = _edges(alpha, width) if look.contour else np.zeros_like(alpha)
    weight = look.opacity / 100 * (1.0 if breast is None else OFF_BREAST + (1 - OFF_BREAST) * (breast / 255))
    alpha, dark = (alpha * weight)[..., None], (dark * weight)[..., None]
    return (_in_colour(small) * (1 - dark) * (1 - alpha) + np.array(HEAT_COLOUR) * alpha).astype(np.uint8)


def _lines(shares: np.ndarray, width: int) -> np.ndarray:
    """Lines where the shares (h, w) pass each contour, the stronger the higher: 0 to 1."""
    from scipy.ndimage import binary_dilation

    drawn = np.zeros_like(shares)
    for number, level in enumerate(CONTOURS, start=1):
        above = shares >= level
        drawn = np.maximum(drawn, (binary_dilation(above, iterations=width) & ~above) * (0.55 + 0.15 * number))
    return drawn


def _edges(lines: np.ndarray, width: int) -> np.ndarray:
    """The dark edge beside lines (h, w), so that these are seen on white too: its opacity, 0 to 1."""
    from scipy.ndimage import binary_dilation

    drawn = lines > 0
    return (binary_dilation(drawn, iterations=width) & ~drawn) * EDGE


def _placed(box: dict, named: bool) -> dict:
    """A finding's box as the viewer takes it."""
    left, top, right, bottom = (float(box[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
    place = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return {"finding": str(box.get("finding", "")), **place, "named": named}


def _pointed(heat: np.ndarray, boxes: Iterable[dict], shape: tuple[int, int]) -> tuple[bool, float]:
    """Whether the strongest place of a map lies in a box, and how much of the image the boxes cover."""
    from mdissect.localize import box_region, peaks

    region, (row, column) = box_region(boxes, shape), peaks(heat, shape)
    return bool(row >= 0 and region[row, column]), float(region.mean())


def _boxed(
    small: np.ndarray, boxes: Iterable[dict], shape: tuple[int, int], named: Sequence[bool], numbered: bool
) -> np.ndarray:
    """A picture with boxes, given in pixels of its image, in red, in pink those of findings that the label does not name."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(_in_colour(small))
    draw = ImageDraw.Draw(picture)
    scale = small.shape[1] / shape[1], small.shape[0] / shape[0]
    width = max(round(small.shape[0] / 260), 2)  # one pixel would be lost when a figure is drawn smaller
    font = ImageFont.load_default(max(small.shape[0] // 32, 10))
    for number, (box, own) in enumerate(zip(boxes, named, strict=True), start=1):
        left, right = (box[edge] * scale[0] for edge in ("xmin", "xmax"))
        top, bottom = (box[edge] * scale[1] for edge in ("ymin", "ymax"))
        corners = (left - width, top - width, max(right, left + 1) + width - 1, max(bottom, top + 1) + width - 1)
        draw.rectangle(corners, outline=BOX_COLOUR if own else OTHER_BOX, width=width if own else max(width // 2, 1))
        if numbered:
            draw.text(
                (left, top - width), str(number), fill="white", anchor="lb", font=font, stroke_width=2, stroke_fill="black"
            )
    return np.asarray(picture)


def _in_colour(array: np.ndarray) -> np.ndarray:
    return np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array


def within(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (height, width[, 3]) as uint8 of at most a width and height; other types are stretched from least to most.

    One that is much smaller is blown up a whole number of times, so that what is drawn on it is sharp.
    """
    from PIL import Image

    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
    small = Image.fromarray(image)
    if (times := min(size[0] // small.width, size[1] // small.height)) > 1:
        small = small.resize((small.width * times, small.height * times), Image.Resampling.BICUBIC)
    small.thumbnail(size, reducing_gap=1)
    return np.asarray(small)


def _picture(array: np.ndarray, problem: str = "", **known) -> Picture:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=88)
    return Picture(array, buffer.getvalue(), problem, **known)


def _grey(image_id: str) -> np.ndarray:
    """A grey tile that bears the id."""
    from PIL import Image, ImageDraw

    tile = Image.new("L", (160, PICTURE_HEIGHT), 128)
    lines = [image_id[start : start + 22] for start in range(0, len(image_id), 22)][:8]
    ImageDraw.Draw(tile).multiline_text((80, 128), "\n".join(lines), fill=255, anchor="mm", align="center")
    return np.asarray(tile)
