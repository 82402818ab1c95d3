"""The pictures of an explorer: a probe's images as JPEG, small or large, with a neuron's activation and findings' boxes."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mdissect.files import without_folders

PICTURE_HEIGHT, PICTURE_WIDTH = 256, 320
LARGE_HEIGHT, LARGE_WIDTH = 1040, 1280
BOX_COLOUR = "#FF2D2D"
MOST_PICTURES, MOST_MAPS = 2000, 32  # some 100 MB of pictures; the maps of a deep layer take 4 MB an image


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

    def width_at(self, height: int) -> int:
        """In pixels, when it is shown at a height."""
        return round(self.array.shape[1] * height / self.array.shape[0])


class Pictures:
    """Pictures of a probe's images in their true aspect, each made once while it is among the last thousands seen.

    Without a probe they are grey tiles; the target shows where in an image a neuron responds.
    """

    def __init__(self, probe=None, target=None):
        self.probe, self.target = probe, target
        self._positions = {} if probe is None else {image_id: i for i, image_id in enumerate(probe.ids)}
        self._made, self._small = lru_cache(MOST_PICTURES)(self._make), lru_cache(MOST_PICTURES)(self._read)
        self._maps, self._boxes = lru_cache(MOST_MAPS)(self._map), lru_cache(None)(self._boxes_in)

    def picture(
        self,
        image_id: str,
        place: tuple[str, int] | None = None,
        *,
        boxes: bool = False,
        large: bool = False,
        label: str = "",
    ) -> Picture:
        """The picture of an image; with a place (layer, neuron), where in it that neuron responds.

        Its strongest place is compared with the boxes of the findings that its label names.

        A grey tile with the id where the image is not in the probe or cannot be read, without activation where the layer has
        no places: `Picture.problem` says so.
        """
        return self._made(image_id, place, boxes, large, label)

    def gallery(
        self, image_ids: Iterable[str], place: tuple[str, int] | None = None, boxes: bool = False, label: str = ""
    ) -> Iterator[Picture]:
        """The pictures of several images, one by one as they are made."""
        return (self.picture(image_id, place, boxes=boxes, label=label) for image_id in image_ids)

    def absent(self, image_ids: Iterable[str]) -> int:
        """How many of these images the probe does not have; 0 without a probe."""
        return 0 if self.probe is None else sum(image_id not in self._positions for image_id in image_ids)

    def _make(self, image_id: str, place: tuple[str, int] | None, boxes: bool, large: bool, label: str) -> Picture:
        small, shape, problem = self._small(image_id, large)
        if problem:
            return _picture(small, problem)
        marked, pointed = self._boxes(image_id) if boxes else None, None
        if place is not None:
            try:
                heat = self._maps(image_id, place[0])[place[1]]
                small = _heated(small, heat)
                named = [box for box in marked or () if _names(label, str(box.get("finding", "")))]
                pointed = _pointed(heat, named, shape) if named else None
            except ValueError as error:
                problem = f"no activation to show: {error}"
        if marked:
            small = _boxed(small, marked, shape, numbered=large)
        return _picture(small, problem, marked, pointed)

    def _read(self, image_id: str, large: bool) -> tuple[np.ndarray, tuple[int, int], str]:
        """An image made small (uint8), its own height and width, and what is wrong with it; a grey tile where it is gone."""
        size = (LARGE_WIDTH, LARGE_HEIGHT) if large else (PICTURE_WIDTH, PICTURE_HEIGHT)
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

        return activation_maps(self.target, layer, [self.probe[self._positions[image_id]]])[0]

    def _boxes_in(self, image_id: str) -> tuple[dict, ...] | None:
        """The findings' boxes in an image; None where nobody marked any."""
        try:
            return tuple(self.probe.boxes(self._positions[image_id]))
        except (LookupError, OSError, ValueError):  # no boxes at all, or none that can be brought into the image
            return None


def _heated(small: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture with a neuron's map (h, w) over it."""
    from mdissect.localize import overlay, upsample
    from mdissect.plots import HEAT

    colours = HEAT(overlay(upsample(heat, small.shape[:2])))
    mixed = _in_colour(small) * (1 - colours[..., 3:]) + 255 * colours[..., :3] * colours[..., 3:]
    return mixed.astype(np.uint8)


def _pointed(heat: np.ndarray, boxes: Iterable[dict], shape: tuple[int, int]) -> tuple[bool, float]:
    """Whether the strongest place of a map lies in a box, and how much of the image the boxes cover."""
    from mdissect.localize import box_region, peaks

    region, (row, column) = box_region(boxes, shape), peaks(heat, shape)
    return bool(row >= 0 and region[row, column]), float(region.mean())


def _names(label: str, finding: str) -> bool:
    """Whether a label names a finding: has its last word, as "increasing calcification" has "Suspicious Calcification"."""
    return bool(finding.strip()) and finding.split()[-1].casefold() in label.casefold()


def _boxed(small: np.ndarray, boxes: Iterable[dict], shape: tuple[int, int], numbered: bool) -> np.ndarray:
    """A picture with boxes, given in pixels of its image, in red; with their numbers beside them where there is room."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(_in_colour(small))
    draw = ImageDraw.Draw(picture)
    scale = small.shape[1] / shape[1], small.shape[0] / shape[0]
    width = max(round(small.shape[0] / 260), 2)  # one pixel would be lost when a figure is drawn smaller
    font = ImageFont.load_default(max(small.shape[0] // 32, 10))
    for number, box in enumerate(boxes, start=1):
        left, right = (box[edge] * scale[0] for edge in ("xmin", "xmax"))
        top, bottom = (box[edge] * scale[1] for edge in ("ymin", "ymax"))
        corners = (left - width, top - width, max(right, left + 1) + width - 1, max(bottom, top + 1) + width - 1)
        draw.rectangle(corners, outline=BOX_COLOUR, width=width)
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


def _picture(array: np.ndarray, problem: str = "", boxes=None, pointed=None) -> Picture:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=88)
    return Picture(array, buffer.getvalue(), problem, boxes, pointed)


def _grey(image_id: str) -> np.ndarray:
    """A grey tile that bears the id."""
    from PIL import Image, ImageDraw

    tile = Image.new("L", (160, PICTURE_HEIGHT), 128)
    lines = [image_id[start : start + 22] for start in range(0, len(image_id), 22)][:8]
    ImageDraw.Draw(tile).multiline_text((80, 128), "\n".join(lines), fill=255, anchor="mm", align="center")
    return np.asarray(tile)
