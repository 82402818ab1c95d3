"""Notebook 07 in JupyterLab, driven in a headless browser as a reader would; screenshots go to build/."""

import pytest
from laboratory import ROOT, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NOTEBOOK = "07_explorers.ipynb"
SEEN = """box => [box.innerText, ...[...box.querySelectorAll("*")].filter(node => node.checkVisibility())
  .flatMap(node => [node.title, node.ariaLabel, node.alt, node.value])].filter(one => typeof one === "string").join("\\n")"""


def test_notebook_07_answers_to_search_slider_and_clicks(lab, browser):
    page = lab.open(browser, NOTEBOOK)
    explorer = page.locator(".mdissect-explorer").first
    explorer.locator(".mdissect-bars").wait_for()
    page.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
    explorer.scroll_into_view_if_needed()
    wait_until(lambda: "implant" in _heading(explorer))  # what the notebook begins with

    _search(page, explorer, "calcification")
    assert "calcif" in _heading(explorer)
    calcification = _pictures(explorer)

    _search(page, explorer, "implant")
    assert "implant" in _heading(explorer)
    assert explorer.locator(".mdissect-bars span[style*='bold']").count() > 0
    assert "implant" in explorer.locator(".mdissect-caption").first.inner_text()
    implant = _pictures(explorer)
    assert implant != calcification
    _screenshot(explorer, "implant")

    before = _heading(explorer)
    explorer.locator(".noUi-handle").first.press("ArrowRight")
    wait_until(lambda: _heading(explorer) != before)
    wait_until(lambda: _pictures(explorer) != implant)
    assert _number(before) + 1 == _number(_heading(explorer))

    _large_image(page, explorer)
    lab.theme(page, dark=True)
    _screenshot(explorer, "dark")
    _blind_reading(page, explorer)
    lab.close(page)


def _blind_reading(page, explorer):
    """With *blind*, nothing in view tells the label of an unjudged neuron; own words show it; then the next one is opened."""
    panel = explorer.locator(".mdissect-verdict")
    panel.get_by_placeholder("initials").fill("AB")
    panel.get_by_label("blind").check()
    panel.get_by_role("button", name="next unjudged").click()
    wait_until(lambda: "label hidden" in _heading(explorer))
    _pictures(explorer)
    _ids(explorer)
    seen = explorer.evaluate(SEEN)
    assert not [word for word in ("similarity", "implant", "threshold", "calcif", "density", "MLO", " CC") if word in seen]
    _screenshot(explorer, "blind")
    words = panel.get_by_placeholder("your own words")
    words.fill("bright oval shapes")
    panel.get_by_role("button", name="save words, show label").click()
    wait_until(lambda: "label hidden" not in _heading(explorer))
    assert "similarity" in _heading(explorer) or "cannot be named" in _heading(explorer)
    assert "your own words: bright oval shapes" in panel.inner_text()
    panel.get_by_role("button", name="partly").click()
    wait_until(lambda: "1 of " in panel.inner_text())
    _screenshot(explorer, "blind_after")
    before = _number(_heading(explorer))
    panel.get_by_role("button", name="next unjudged").click()
    wait_until(lambda: "label hidden" in _heading(explorer) and _number(_heading(explorer)) != before)
    study = page.locator(".mdissect-explorer", has_text="0 of ").last  # the notebook's own study, blind from the start
    study.scroll_into_view_if_needed()
    _screenshot(study, "blind_study")


def _large_image(page, explorer):
    """A click and the key Enter make the right image large; one of its neurons is gone to; close brings the tiles back."""
    large, tiles = explorer.locator(".mdissect-large"), explorer.locator(".mdissect-enlarge")
    ids = _ids(explorer)
    tiles.nth(2).click()
    wait_until(lambda: large.locator(".mdissect-large-name b").inner_text() == ids[2])
    canvas = large.locator("canvas[role=img]")
    wait_until(lambda: ids[2] in canvas.get_attribute("aria-label"))
    assert not explorer.locator(f".mdissect-enlarge[title='enlarge {ids[2]}']").first.is_visible()
    _screenshot(explorer, "large")
    before = _heading(explorer)
    neurons = large.locator(".mdissect-neuron:visible")
    other = next(text for text in neurons.all_inner_texts() if _number(before) != int(text.partition(":")[0]))
    neurons.filter(has_text=other).first.click()
    wait_until(lambda: _heading(explorer) != before)
    assert _number(_heading(explorer)) == int(other.partition(":")[0])
    large.get_by_role("button", name="close").click()
    tiles.first.wait_for()
    chosen, now = ids[2], _ids(explorer)
    tile, image = next((i, image) for i, image in enumerate(now) if image != chosen)
    tiles.nth(tile).press("Enter")
    wait_until(lambda: large.locator(".mdissect-large-name b").inner_text() == image)
    wait_until(lambda: image in canvas.get_attribute("aria-label"))
    large.get_by_role("button", name="close").click()
    tiles.first.wait_for()


def _search(page, explorer, word):
    before = _heading(explorer)
    box = explorer.locator("input[type=text][placeholder]").first
    box.fill(word)
    box.press("Enter")
    wait_until(lambda: _heading(explorer) != before)


def _heading(explorer):
    return explorer.locator(".mdissect-heading").inner_text()


def _number(heading):
    return int(heading.partition("neuron ")[2].partition(":")[0])


def _pictures(explorer):
    """The addresses of the pictures in view: another picture has another one; all are loaded."""
    images = explorer.locator("img:visible")
    wait_until(lambda: all(images.evaluate_all("all => all.map(image => image.complete && image.naturalWidth > 0)")))
    return images.evaluate_all("all => all.map(image => image.src)")


def _ids(explorer):
    """The ids under the tiles, once they have come to rest."""
    seen, captions = [], explorer.locator(".mdissect-caption b")
    wait_until(lambda: not seen.append(captions.all_inner_texts()) and len(seen) > 7 and seen[-1] == seen[-8])
    return seen[-1]


def _screenshot(explorer, name):
    (ROOT / "build").mkdir(exist_ok=True)
    explorer.screenshot(path=ROOT / "build" / f"explorer_{name}.png")
