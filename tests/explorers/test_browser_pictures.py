"""The pictures of the neuron explorer in JupyterLab: viewer, kinds of images, size, and the histogram's bins."""

import pytest
from laboratory import ROOT, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CELL = """
import numpy as np, pandas as pd, toys, mdissect
from mdissect.probes import Probe
cnn = toys.toy_target(toys.TinyCNN, layers=("stem", "deep"))
rng = np.random.default_rng(0)
images = [rng.integers(0, 4000, (1300, 700), dtype=np.uint16) // (1 + i % 4) for i in range(24)]
table = pd.DataFrame({"patient": [f"p{i // 4}" for i in range(24)], "view": ["CC", "MLO"] * 12, "laterality": list("LLRR") * 6})
probe = Probe.from_arrays(images, ids=[f"image-{i:02d}" for i in range(24)], table=table)
found = toys.toy_dissect(cnn, probe=probe, top_k=10)
mdissect.explore(found, probe=probe, target=cnn)
"""
GREYS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0, n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3]) { sum += data[i]; n += 1; }
  return [n ? sum / n : 0, n];
}"""
VEIL = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value, i) => sum + (i % 4 === 3 ? value : 0), 0);
}"""


@pytest.fixture
def explorer(lab, browser):
    page = lab.open(browser, "pictures.ipynb", CELL)
    explorer = page.locator(".mdissect-explorer").first
    explorer.locator(".mdissect-bars").wait_for()
    wait_until(lambda: explorer.locator(".mdissect-enlarge:visible").count() == 8)
    yield explorer
    lab.close(page)


def test_pictures_can_be_looked_at_closely(explorer):
    page = explorer.page
    _kinds_and_sizes(explorer)
    explorer.locator(".mdissect-enlarge:visible").first.click()
    large, stage = explorer.locator(".mdissect-large"), explorer.locator(".mdv-stage")
    said = explorer.locator(".mdv-said")
    wait_until(lambda: "700 × 1300 pixels" in said.inner_text())
    assert "preview of 560 × 1040, 8 bits" in said.inner_text()
    assert large.locator("canvas[role=img]").get_attribute("aria-label").startswith("Image image-")
    _zoom(page, stage, said)
    _greys(explorer, stage, said)
    _overlay(explorer)
    large.screenshot(path=ROOT / "build" / "viewer.png")
    other = large.locator(".mdissect-enlarge")  # the patient's other views
    assert other.count() == 3
    name = large.locator(".mdissect-large-name b").inner_text()
    other.first.click()
    wait_until(lambda: large.locator(".mdissect-large-name b").inner_text() != name)


def _kinds_and_sizes(explorer):
    """Buttons choose the images, all are shown on request, a slider sizes them, a bin shows its own."""
    tiles, ids = explorer.locator(".mdissect-enlarge:visible"), explorer.locator(".mdissect-caption b:visible")
    strongest = ids.all_inner_texts()
    explorer.get_by_role("button", name="weakest", exact=True).click()
    wait_until(lambda: ids.all_inner_texts() != strongest)
    explorer.get_by_role("button", name="strongest", exact=True).click()
    explorer.get_by_role("button", name="show all 10").click()
    wait_until(lambda: tiles.count() == 10)
    height = tiles.first.bounding_box()["height"]
    explorer.get_by_role("slider", name="size").press("ArrowRight")
    wait_until(lambda: tiles.first.bounding_box()["height"] == height + 1)
    explorer.get_by_role("button", name="misses", exact=True).wait_for()
    assert explorer.get_by_role("button", name="misses", exact=True).is_disabled()
    bins = explorer.locator(".mdh-bin")
    assert bins.count() == 24
    bins.first.focus()
    bins.first.press("End")
    bins.last.press("Enter")
    wait_until(lambda: bins.last.get_attribute("aria-pressed") == "true")
    wait_until(lambda: 0 < tiles.count() < 10)
    bins.last.press("Enter")
    wait_until(lambda: tiles.count() == 10)


def _zoom(page, stage, said):
    """Keys, wheel, double click and drag; zooming in brings all pixels and bits."""
    stage.focus()
    fitted = said.inner_text()
    stage.press("1")
    wait_until(lambda: "zoom 100 %" in said.inner_text())
    wait_until(lambda: "full resolution, 16 bits" in said.inner_text())
    stage.press("+")
    wait_until(lambda: "zoom 125 %" in said.inner_text())
    stage.press("-")
    wait_until(lambda: "zoom 100 %" in said.inner_text())
    stage.press("0")
    wait_until(lambda: said.inner_text().split(",")[0] == fitted.split(",")[0])
    box = stage.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    wait_until(lambda: said.inner_text().split(",")[0] != fitted.split(",")[0])
    canvas = stage.locator("canvas").first
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1] + 25)
    page.mouse.up()
    wait_until(lambda: canvas.evaluate("canvas => canvas.toDataURL()") != before)
    page.mouse.dblclick(*middle)
    wait_until(lambda: said.inner_text().split(",")[0] == fitted.split(",")[0])


def _greys(explorer, stage, said):
    """Invert, level and width change the greys as they should, reset brings them back."""
    canvas = stage.locator("canvas").first
    mean, n = canvas.evaluate(GREYS)
    stage.press("i")
    wait_until(lambda: "inverted" in said.inner_text())
    assert canvas.evaluate(GREYS) == [pytest.approx(255 - mean, abs=1.5), n]
    explorer.get_by_role("button", name="reset the grey values").click()
    wait_until(lambda: "inverted" not in said.inner_text())
    assert canvas.evaluate(GREYS)[0] == pytest.approx(mean, abs=0.01)
    level = explorer.locator(".mdv-range", has_text="level").locator("input")
    level.fill("0.2")  # a lower level is brighter
    wait_until(lambda: canvas.evaluate(GREYS)[0] > mean + 20)
    assert "pixel values" in explorer.locator(".mdv-scales").inner_text()
    explorer.get_by_role("button", name="reset the grey values").click()
    wait_until(lambda: canvas.evaluate(GREYS)[0] == pytest.approx(mean, abs=0.01))


def _overlay(explorer):
    """The map is drawn, stronger with more opacity, as lines on request, and taken away again."""
    veil = explorer.locator(".mdv-stage canvas").nth(1)
    assert veil.evaluate(VEIL) == 0
    explorer.get_by_role("checkbox", name="activation map").check()
    wait_until(lambda: veil.evaluate(VEIL) > 0)
    assert "at one place, largest over its 8 strongest images" in explorer.locator(".mdv-scales").inner_text()
    plain = veil.evaluate(VEIL)
    explorer.get_by_role("slider", name="opacity").press("End")
    wait_until(lambda: veil.evaluate(VEIL) > 1.4 * plain)
    explorer.get_by_role("checkbox", name="contours").check()
    wait_until(lambda: 0 < veil.evaluate(VEIL) < plain)
    explorer.get_by_role("button", name="scale over all 24 images").click()
    wait_until(lambda: "at one place, largest over all images" in explorer.locator(".mdv-scales").inner_text())
