"""The breast of a mammogram phantom: outline, nipple, skin, pectoral muscle, parenchyma, ligaments and vessels.

Everything is drawn with the chest wall at column 0. A patient's four views share the breast's size and tissue pattern; a
breast's two views share its lesions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from mdissect.phantom.mammograms.drawing import Array, Grid, Plate, sigmoid, streak_tiles
from mdissect.phantom.mammograms.factors import Truth, stream

# Per BI-RADS density: share of the breast that is fibroglandular, softness of its edge, brightness.
_GLANDULAR_SHARE = {"A": (0.01, 0.05), "B": (0.16, 0.28), "C": (0.42, 0.56), "D": (0.76, 0.92)}
_GLANDULAR_SOFTNESS = {"A": 0.5, "B": 0.3, "C": 0.33, "D": 0.42}
_GLANDULAR_BRIGHTNESS = {"A": 0.18, "B": 0.32, "C": 0.38, "D": 0.43}


@dataclass(frozen=True)
class Streams:
    """The random streams of one image, by what shares them."""

    seed: int
    truth: Truth

    def patient(self, part: str) -> np.random.Generator:
        """The same in all four views."""
        return stream(self.seed, self.truth.index // 4, "", "draw " + part)

    def breast(self, part: str) -> np.random.Generator:
        """The same in the two views of a breast."""
        return stream(self.seed, self.truth.index // 4, self.truth.laterality, "draw " + part)

    def view(self, part: str) -> np.random.Generator:
        """This image's own."""
        scope = f"{self.truth.laterality} {self.truth.view}"
        return stream(self.seed, self.truth.index // 4, scope, "draw " + part)


@dataclass
class Breast:
    """Geometry of a breast on its grid.

    ``edge`` (height,) is the skin's column per row; ``inside`` (height, width) the antialiased breast; ``depth`` the
    distance to the skin; ``thickness`` 0-1 what compression leaves near the edge; ``muscle`` and ``implant`` 0-1;
    ``texture`` the coarse noise and ``ducts`` the streaks towards the nipple that tissue is made of.
    """

    grid: Grid
    oblique: bool
    edge: Array
    nipple: tuple[float, float]
    half_height: float
    inside: Array
    depth: Array
    thickness: Array
    muscle: Array
    texture: Array
    ducts: Array
    dent: tuple[float, float] | None = None
    implant: Array | None = None

    def edge_at(self, y: float) -> float:
        """The skin's column at a height."""
        return float(np.interp(y, self.grid.rows, self.edge))

    def free(self, margin: float = 3.0) -> Array:
        """Where lesions may lie (height, width): ``margin`` units below the skin, off muscle and implant."""
        free = (self.depth > margin * self.grid.unit) & (self.muscle < 0.2)
        return free if self.implant is None else free & (self.implant < 0.1)


def shape_breast(truth: Truth, streams: Streams, grid: Grid) -> Breast:
    """The geometry: outline with nipple, retractions, depth, muscle and tissue noise."""
    oblique = truth.view == "MLO"
    outline = _oblique_outline if oblique else _frontal_outline
    edge, nipple_y, half_height = outline(streams, grid)
    unit, rows = grid.unit, grid.rows
    breast_rng = streams.breast("retraction")
    offset, deep, wide = breast_rng.uniform(0.34, 0.5), breast_rng.uniform(9, 13), breast_rng.uniform(9, 13)
    above = breast_rng.random() < 0.6
    dent = None
    if truth.skin_retraction:
        dent_y = nipple_y + (-1 if above else 1) * offset * half_height * (1.1 if above else 0.9)
        edge = edge - deep * unit * np.exp(-(((rows - dent_y) / (wide * unit)) ** 2))
        dent = (dent_y, float(np.interp(dent_y, rows, edge)))
    if truth.nipple_retraction:
        edge = edge - breast_rng.uniform(12, 15) * unit * np.exp(-(((rows - nipple_y) / (8.5 * unit)) ** 2))
    else:
        edge = edge + streams.patient("nipple").uniform(3, 5) * unit * np.exp(-(((rows - nipple_y) / (3.8 * unit)) ** 2))
    inside = np.clip(edge[:, None] - grid.x + 0.5, 0, 1).astype(np.float32)
    depth = _depth(inside, oblique)
    fade = np.clip(depth / (streams.patient("thickness").uniform(24, 38) * unit), 0, 1)
    nipple = (nipple_y, float(np.interp(nipple_y, rows, edge)))
    texture = grid.field(streams.view("texture"), grid.power_law)
    return Breast(
        grid=grid,
        oblique=oblique,
        edge=edge,
        nipple=nipple,
        half_height=half_height,
        inside=inside,
        depth=depth,
        thickness=np.sqrt(1 - (1 - fade) ** 2),
        muscle=_muscle(truth, streams, grid) * (inside > 0.5),
        texture=texture,
        ducts=_ducts(streams.view("ducts"), grid, nipple),
        dent=dent,
    )


def _frontal_outline(streams: Streams, grid: Grid) -> tuple[Array, float, float]:
    """Skin column per row, nipple row and half height of a CC view."""
    patient, view = streams.patient("outline"), streams.view("outline")
    reach = grid.width * patient.uniform(0.54, 0.82) * view.uniform(0.96, 1.04)
    half_height = grid.height * patient.uniform(0.34, 0.45) * view.uniform(0.97, 1.03)
    power, roundness = patient.uniform(2.0, 2.6), patient.uniform(1.8, 2.2)
    centre = grid.height * (0.5 + view.uniform(-0.035, 0.035))
    away = np.clip(np.abs((grid.rows - centre) / half_height), 0, 1)
    edge = reach * (1 - away**power) ** (1 / roundness)
    return edge, centre + view.uniform(-0.06, 0.06) * half_height, half_height


def _oblique_outline(streams: Streams, grid: Grid) -> tuple[Array, float, float]:
    """Skin column per row, nipple row and half height of an MLO view: axilla above, inframammary fold below."""
    patient, view = streams.patient("outline"), streams.view("outline")
    reach = grid.width * (patient.uniform(0.54, 0.82) + 0.03) * view.uniform(0.96, 1.04)
    nipple = view.uniform(0.54, 0.64)
    fold = nipple + 0.345
    heights = np.array([-0.05, nipple * 0.3, nipple * 0.68, nipple, nipple + 0.13, nipple + 0.23, nipple + 0.3, fold, 1.2])
    middle = np.array([0.38, 0.57, 0.87, 1.0, 0.9, 0.58, 0.26, 0.13, 0.08])
    jitter = np.array([0.08, 0.05, 0.03, 0.0, 0.02, 0.03, 0.03, 0.02, 0.02])
    columns = (middle + jitter * view.uniform(-1, 1, len(middle))) * reach
    edge = PchipInterpolator(heights * grid.height, columns)(grid.rows)
    if view.random() < 0.75:  # the breast ends at the fold; else some abdominal wall is seen below it
        taper = 10 * grid.unit
        edge = edge * np.clip((fold * grid.height + taper - grid.rows) / taper, 0, 1)
    return edge, nipple * grid.height, 0.36 * grid.height


def _depth(inside: Array, oblique: bool) -> Array:
    """Distance to the skin (height, width), from a half-size mask; the chest wall and, in MLO, the axilla are open."""
    open_rows, open_columns = (20 if oblique else 0), 40
    small = np.pad((inside > 0.5)[::2, ::2], ((open_rows, 0), (open_columns, 0)), mode="edge")
    small = ndimage.distance_transform_edt(small)[open_rows:, open_columns:].astype(np.float32) * 2
    height, width = inside.shape
    depth = ndimage.uniform_filter(np.repeat(np.repeat(small, 2, 0), 2, 1)[:height, :width], 3)
    return np.maximum(depth * inside - 0.5, 0)


def _muscle(truth: Truth, streams: Streams, grid: Grid) -> Array:
    """Pectoral muscle 0-1: a triangle from the axilla in MLO, sometimes a sliver at the chest wall in CC."""
    rng = streams.view("muscle")
    edge_width = 1.3 * grid.unit
    if truth.view == "MLO":
        top = grid.width * rng.uniform(0.32, 0.48)
        low = grid.height * (rng.uniform(0.32, 0.42) if truth.implant else rng.uniform(0.42, 0.6))
        down = np.clip(grid.rows / low, 0, 1)
        border = top * (1 - down) + rng.uniform(-0.1, 0.14) * top * np.sin(np.pi * down)
        border[grid.rows > low] = -20 * edge_width
        return sigmoid((border[:, None] - grid.x) / edge_width)
    if rng.random() > 0.3 or truth.implant:
        return np.zeros((grid.height, grid.width), np.float32)
    wide, tall = grid.width * rng.uniform(0.03, 0.07), grid.height * rng.uniform(0.12, 0.25)
    bulge = wide * np.sqrt(np.clip(1 - ((grid.rows / grid.height - 0.5) * grid.height / tall) ** 2, 0, 1))
    bulge[bulge == 0] = -20 * edge_width
    return sigmoid((bulge[:, None] - grid.x) / edge_width)


def _ducts(rng: np.random.Generator, grid: Grid, nipple: tuple[float, float]) -> Array:
    """Streaks that converge on the nipple: a periodic tile of streaks in polar coordinates around it."""
    tiles = streak_tiles()
    dy, dx = grid.y - nipple[0], nipple[1] + 6 * grid.unit - grid.x
    along = np.hypot(dy, dx) * (1.6 / grid.unit) + rng.uniform(0, 512)
    around = np.arctan2(dy, dx) * 150 + rng.uniform(0, 512)
    tile = tiles[rng.integers(len(tiles))]
    return ndimage.map_coordinates(tile, [along, around], order=1, mode="grid-wrap", output=np.float32)


def paint_tissue(truth: Truth, streams: Streams, breast: Breast) -> Plate:
    """The plate with fat, fibroglandular tissue, skin, ligaments, vessels and muscle."""
    grid, texture, thickness = breast.grid, breast.texture, breast.thickness
    ridges = grid.field(streams.view("ridges"), grid.ridge_band)
    glandular = _glandular(truth, streams, breast)
    brightness = _GLANDULAR_BRIGHTNESS[truth.density] * streams.patient("brightness").uniform(0.94, 1.06)
    image = breast.inside * (0.05 + 0.19 * thickness) + 0.022 * texture * thickness
    image += brightness * glandular * thickness**0.6 * (0.8 + 0.15 * breast.ducts + 0.1 * texture)
    trabeculae = np.exp(-((ridges / 0.22) ** 2)) * np.clip(0.5 + 0.5 * texture, 0, 1.4)
    image += 0.055 * trabeculae * thickness * (0.35 + 0.65 * glandular)
    nearness = np.clip(1 - np.hypot(grid.y - breast.nipple[0], grid.x - breast.nipple[1]) / (0.95 * grid.width), 0, 1)
    image += 0.03 * breast.ducts * thickness * nearness
    image += 0.13 * np.exp(-(((breast.depth - 1.2 * grid.unit) / (1.1 * grid.unit)) ** 2)) * breast.inside
    muscle_brightness = streams.patient("muscle").uniform(0.54, 0.66) + 0.03 * breast.ducts + 0.02 * texture
    image += breast.muscle * (np.maximum(muscle_brightness, 0.9 * image) - image)
    plate = Plate(grid, image.astype(np.float32))
    _draw_vessels(streams.view("vessels"), breast, plate)
    _draw_ligaments(streams.view("ligaments"), breast, plate)
    return plate


def _glandular(truth: Truth, streams: Streams, breast: Breast) -> Array:
    """Fibroglandular tissue 0-1: a share of the breast given by its density, near the middle, shaped by noise."""
    grid, rng, patient = breast.grid, streams.view("gland"), streams.patient("gland")
    nipple_y, nipple_x = breast.nipple
    centre_x = nipple_x * rng.uniform(0.5, 0.58)
    centre_y = nipple_y - (rng.uniform(0.03, 0.1) * grid.height if breast.oblique else 0)
    tilt = rng.uniform(0.15, 0.4) if breast.oblique else rng.uniform(-0.1, 0.1)
    dx, dy = grid.x - centre_x, grid.y - centre_y
    spread = (dx / (nipple_x * rng.uniform(0.46, 0.56))) ** 2
    spread += ((dy - tilt * dx) / (breast.half_height * rng.uniform(0.62, 0.8))) ** 2
    score = 1.15 * np.maximum(1 - spread, -2) + 0.62 * breast.texture + 0.22 * breast.ducts
    share = patient.uniform(*_GLANDULAR_SHARE[truth.density])
    threshold = np.quantile(score[breast.free(2.0)][::7], 1 - share)
    gland = sigmoid((score - threshold) / _GLANDULAR_SOFTNESS[truth.density])
    return gland * np.clip((breast.depth - 4 * grid.unit) / (9 * grid.unit), 0, 1)  # subcutaneous fat


def _draw_vessels(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    grid, (nipple_y, nipple_x) = breast.grid, breast.nipple
    for _ in range(rng.integers(2, 5)):
        start = rng.uniform(0.2, 0.8) * grid.height, rng.uniform(0, 0.25) * nipple_x
        end = nipple_y + rng.uniform(-0.25, 0.25) * grid.height, nipple_x * rng.uniform(0.55, 0.9)
        plate.strands.curve(start, end, rng.uniform(0.16, 0.34), bend=rng.uniform(-14, 14) * grid.unit)


def _draw_ligaments(rng: np.random.Generator, breast: Breast, plate: Plate) -> None:
    """Cooper's ligaments: thin arcs from the gland's surface through the subcutaneous fat to the skin."""
    unit, (nipple_y, _) = breast.grid.unit, breast.nipple
    for offset in rng.uniform(-0.85, 0.85, 14):
        y = nipple_y + offset * breast.half_height
        x = breast.edge_at(y) - 2 * unit
        length, lean = rng.uniform(14, 26) * unit, rng.uniform(-0.7, 0.7) + 0.9 * offset
        inner = y - length * np.sin(lean), x - length * np.cos(lean)
        plate.strands.curve((y, x), inner, rng.uniform(0.2, 0.4), bend=rng.uniform(-4, 4) * unit, taper=True)


def draw_skin(truth: Truth, streams: Streams, breast: Breast, plate: Plate) -> None:
    """Skin thickening, skin retraction and nipple retraction (their dents are in the outline already)."""
    unit, rows, (nipple_y, nipple_x) = breast.grid.unit, breast.grid.rows, breast.nipple
    if truth.skin_thickening:
        rng = streams.breast("skin_thickening")
        band, diffuse = rng.uniform(5.5, 8) * unit, rng.random() < 0.5
        middle = nipple_y + rng.uniform(-0.12, 0.12) * breast.grid.height
        extent = np.exp(-(((rows - middle) / (0.17 * breast.grid.height)) ** 2))
        extent = np.ones_like(rows) if diffuse else extent.astype(np.float32)
        layer = sigmoid((band - breast.depth) / (0.8 * unit)) * breast.inside * (1 - 0.9 * breast.muscle)
        plate.image += 0.4 * layer * extent[:, None]
        plate.note("skin thickening", (breast.inside > 0.5) & (breast.depth < band) & (extent[:, None] > 0.4))
    if truth.skin_retraction:
        _draw_pull(streams.breast("skin_pull"), breast, plate, breast.dent, "skin retraction")
    if truth.nipple_retraction:
        _draw_pull(streams.breast("nipple_pull"), breast, plate, breast.nipple, "nipple retraction")
        plate.disc(nipple_y, nipple_x - 1.5 * unit, 3.2 * unit, 0.22)


def _draw_pull(rng: np.random.Generator, breast: Breast, plate: Plate, tip: tuple[float, float], finding: str) -> None:
    """Thick skin in a dent, strands that pull it inward, and the footprint of both."""
    unit, (y, x) = breast.grid.unit, tip

    def near(reach: float) -> Callable[[Array, Array], Array]:
        return lambda dy, dx: np.exp(-((dy**2 + dx**2) / (reach * unit) ** 2))

    window, dy, dx = plate.window(y, x, 24 * unit)
    skin = np.exp(-((breast.depth[window] / (3.2 * unit)) ** 2)) * breast.inside[window]
    plate.image[window] += 0.4 * skin * near(13)(dy, dx)
    plate.add(y, x - 5 * unit, 20 * unit, lambda dy, dx: 0.12 * near(8)(dy, dx))
    for lean in np.linspace(-0.85, 0.85, 8) + rng.normal(0, 0.08, 8):
        length = rng.uniform(16, 28) * unit
        start = y + 6 * unit * np.sin(lean), x - rng.uniform(1, 4) * unit
        end = y + length * np.sin(lean), x - length * np.cos(lean)
        plate.strands.curve(start, end, 0.85, bend=rng.normal(0, 1.5) * unit, taper=True)
    plate.note(finding, (np.hypot(dy, dx) < 13 * unit) & (breast.inside[window] > 0.5), window)


def place(breast: Breast, rng: np.random.Generator, radius: float, free: Array | None = None) -> tuple[float, float]:
    """A place (y, x) where a lesion of ``radius`` fits into the free part of the breast.

    Candidates are in fractions of the breast, so that a lesion lies about equally deep in both views. Where none fits (a large
    implant), the place with most room is taken.
    """
    free = breast.free(5.0) if free is None else free
    height, width = free.shape
    nipple_y, nipple_x = breast.nipple
    x = rng.uniform(0.06, 0.95, 300) * nipple_x
    y = nipple_y + rng.uniform(-1.15, 1.0, 300) * breast.half_height
    angles = np.arange(8) * (np.pi / 4)
    rings = np.concatenate([[0.0], np.full(8, radius), np.full(8, radius / 2)])
    angles = np.concatenate([[0.0], angles, angles])
    rows = np.round(y[:, None] + rings * np.sin(angles)).astype(int)
    columns = np.round(x[:, None] + rings * np.cos(angles)).astype(int)
    seen = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
    room = seen & free[np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)]
    weights = np.where(rings == 0, 40, np.where(rings == radius, 1, 2))
    best = int(np.argmax(room @ weights))
    return float(y[best]), float(x[best])
