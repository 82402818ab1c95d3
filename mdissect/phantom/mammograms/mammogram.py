"""Mammogram phantoms: an image, the boxes of its findings and their masks, all from a `Truth` and a seed.

::

    truth = sample_truth(seed=0, index=7)
    image, boxes = render_with_truth(truth, seed=0)      # uint8 (256, 160), [{"finding": "mass", "xmin": ...}, ...]
    masks(truth, seed=0)["mass"]                         # bool (256, 160)
"""

import numpy as np
from scipy import ndimage

from mdissect.phantom.mammograms import calcifications, devices, lesions
from mdissect.phantom.mammograms.anatomy import Breast, Streams, draw_skin, paint_tissue, shape_breast
from mdissect.phantom.mammograms.drawing import Array, Plate, burn_in, make_grid
from mdissect.phantom.mammograms.factors import Truth

#: To be raised whenever the same truth and seed give another image.
GENERATOR_VERSION = "2"

MIN_HEIGHT, MIN_WIDTH = 64, 40

# Tissue brighter than the knee is compressed into the shoulder above it, as film and display do: nothing but calcium
# and metal is cut off at white.
_KNEE, _SHOULDER = 0.7, 0.25

# What draws a factor, in this order; a factor that is more than present is the last argument.
_DRAWN_BY = {
    "asymmetry": lesions.draw_asymmetry,
    "distortion": lesions.draw_distortion,
    "mass": lesions.draw_mass,
    "lymph_node": lesions.draw_lymph_nodes,
    "calcification": calcifications.draw_calcification,
    "biopsy_clip": devices.draw_biopsy_clip,
    "surgical_clips": devices.draw_surgical_clips,
    "pacemaker": devices.draw_pacemaker,
    "nipple_marker": devices.draw_nipple_marker,
    "scar_marker": devices.draw_scar_marker,
}


def render(truth: Truth, seed: int, height: int = 256, width: int = 160) -> Array:
    """The phantom image, uint8 (height, width); chest wall left for L, right for R, view marker burnt in.

    A pure function of its arguments. Every part has its own random stream, so that an added finding leaves the rest of the
    image unchanged.

    Raises
    ------
    ValueError
        An image below 64 x 40 pixels.
    """
    return _expose(_draw(truth, seed, height, width), truth, seed)


def render_with_truth(truth: Truth, seed: int, height: int = 256, width: int = 160) -> tuple[Array, list[dict[str, str | int]]]:
    """The image as `render` gives it, and the boxes of its findings.

    A box is a dict ``finding, xmin, ymin, xmax, ymax`` in pixels, half open: ``image[ymin:ymax, xmin:xmax]``. A
    finding may have several (lymph nodes); the names are `mdissect.phantom.mammograms.factors.FINDING_NAMES`' values.
    """
    plate = _draw(truth, seed, height, width)
    mirrored = width if truth.laterality == "R" else None
    return _expose(plate, truth, seed), [footprint.box(mirrored) for footprint in plate.footprints]


def masks(truth: Truth, seed: int, height: int = 256, width: int = 160) -> dict[str, Array]:
    """One boolean mask (height, width) per finding name; their extents are those of the boxes."""
    found: dict[str, Array] = {}
    for footprint in _draw(truth, seed, height, width).footprints:
        mask = found.setdefault(footprint.finding, np.zeros((height, width), bool))
        rows, columns = footprint.mask.shape
        mask[footprint.top : footprint.top + rows, footprint.left : footprint.left + columns] |= footprint.mask
    if truth.laterality == "R":
        found = {finding: mask[:, ::-1] for finding, mask in found.items()}
    return found


def _draw(truth: Truth, seed: int, height: int, width: int) -> Plate:
    """The phantom before exposure, chest wall at column 0, stroke layers painted in."""
    if height < MIN_HEIGHT or width < MIN_WIDTH:
        raise ValueError(f"height={height}, width={width}: phantoms need at least {MIN_HEIGHT} x {MIN_WIDTH} pixels")
    grid, streams = make_grid(height, width), Streams(seed, truth)
    breast = shape_breast(truth, streams, grid)
    plate = paint_tissue(truth, streams, breast)
    draw_skin(truth, streams, breast, plate)
    if truth.implant:
        devices.draw_implant(streams, breast, plate, truth.implant)
    for factor, draw in _DRAWN_BY.items():
        if value := getattr(truth, factor):
            draw(streams.breast(factor), breast, plate, *([] if value is True else [value]))
    _develop(breast, plate)
    return plate


def _develop(breast: Breast, plate: Plate) -> None:
    """Paint the stroke layers into the image and blur it as a detector does."""
    visible = 1 - 0.7 * breast.muscle
    if breast.implant is not None:
        visible = visible * (1 - breast.implant)
    strands = plate.strands.paint() * visible * np.clip(breast.thickness + 0.1, 0, 1)
    image = plate.image + 0.5 * strands * (1 - 0.35 * np.clip(plate.image, 0, 1))
    image = np.where(image > _KNEE, _KNEE + _SHOULDER * np.tanh((image - _KNEE) / _SHOULDER), image)
    if plate.haze:
        image += plate.haze.paint() * (1 - 0.3 * np.clip(image, 0, 1))
    if plate.specks:
        image += 1.1 * plate.specks.paint()
    image = ndimage.gaussian_filter(image, 0.45 * plate.grid.unit)
    if plate.metal:
        metal = np.clip(1.2 * plate.metal.paint(), 0, 1)
        image += metal * (1 - image)
    plate.image = image


def _expose(plate: Plate, truth: Truth, seed: int) -> Array:
    """Exposure, noise, mirroring and the burnt-in marker: uint8 (height, width)."""
    rng, unit = Streams(seed, truth).view("exposure"), plate.grid.unit
    image = np.clip(plate.image, 0, 1) ** rng.uniform(0.88, 1.1) * rng.uniform(0.94, 1.04)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image += noise * (0.01 * np.sqrt(np.clip(image, 0, 1)) + 0.0015)
    top = int(rng.uniform(5, 12) * unit)
    left_breast = truth.laterality == "L"
    image = image if left_breast else np.ascontiguousarray(image[:, ::-1])
    label = f"{truth.laterality} {truth.view}"
    burn_in(image, label, top, max(1, round(1.6 * unit)), right=left_breast, margin=round(5 * unit))
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
