"""The three explorers in JupyterLab for those without a mouse, without sight, or with a small screen; screenshots in build/."""

import json

import pytest
from laboratory import ROOT, wait_until

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install axe-playwright-python")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SERIOUS = ("serious", "critical")
# Light and dark, wide and narrow.
SIZES = [(1400, False), (1400, True), (800, False), (390, True)]
SETUP = """
import numpy as np, twins, toys, mdissect
from mdissect.explorers import Notes
from mdissect.probes import Probe
rng = np.random.default_rng(0)
images = [rng.integers(0, 255, (240, 140), dtype=np.uint8) for _ in twins.IDS]
probe = Probe.from_arrays(images, ids=twins.IDS)
found = twins.twins()
"""
NEURON = 'explorer = mdissect.explore(found, probe=probe, notes=Notes("v.csv", "M"))\nexplorer'
CONCEPT = "concepts = mdissect.explore_concepts(found, probe=probe)\nconcepts"
COMPARE = "models = mdissect.explore_models(found, probe=probe)\nmodels"
# What stands out of the view to the right, or is cut in a box that does not scroll, but for what lies in a table.
CLIPPED = """root => {
  const edge = root.getBoundingClientRect().right + 1, found = [];
  for (const node of root.querySelectorAll("*")) {
    const box = node.getBoundingClientRect(), scrolls = node.closest(".mdissect-table-scroll, .mdissect-counts");
    if (scrolls || !box.width || node.closest("svg, .noUi-target, .mdissect-frame, .mdissect-viewer")) continue;
    if (box.right > edge) found.push(`${node.tagName} ${node.className} stands out by ${Math.round(box.right - edge)}`);
    const cut = node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX === "hidden";
    const dots = getComputedStyle(node).textOverflow === "ellipsis";
    if (cut && node.clientWidth && !dots) found.push(`${node.tagName} ${node.className} is cut`);
  }
  return found;
}"""
UNNAMED = "root => [...root.querySelectorAll('img')].filter(one => one.getClientRects().length && !one.alt).length"
FOCUSED = "() => document.activeElement.className"


@pytest.fixture(scope="module")
def page(lab, browser):
    page = lab.open(browser, "access.ipynb", SETUP, NEURON, CONCEPT, COMPARE, size=(1400, 1400))
    for name in ("mdissect-explorer", "mdissect-concept-explorer", "mdissect-compare-explorer"):
        page.locator(f".{name}").first.wait_for(state="attached")
    page.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
    page.evaluate("window.jupyterapp.shell.collapseLeft()")
    yield page
    lab.close(page)


@pytest.fixture(params=["explorer", "concept-explorer", "compare-explorer"])
def view(request, page):
    """Each explorer in turn."""
    view = page.locator(f".mdissect-{request.param}").first
    view.scroll_into_view_if_needed()
    return view


def violations(page, selector):
    """What axe-core finds serious in a part of the page."""
    found = axe.Axe().run(page, context={"include": [[selector]]}).response["violations"]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]][:3]) for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_no_serious_violation_and_nothing_clipped(lab, page, view, width, dark):
    page.set_viewport_size({"width": width, "height": 1400})
    lab.theme(page, dark)
    name = view.get_attribute("class").partition("mdissect-view ")[2].split()[0]
    view.locator("img:visible").first.wait_for()
    page.wait_for_timeout(500)  # until the layout rests
    (ROOT / "build").mkdir(exist_ok=True)
    view.screenshot(path=ROOT / "build" / f"{name}_{width}_{'dark' if dark else 'light'}.png")
    assert view.evaluate(CLIPPED) == []
    assert violations(page, f".{name}") == []
    assert view.evaluate(UNNAMED) == 0


@pytest.fixture
def wide(lab, page):
    page.set_viewport_size({"width": 1400, "height": 1400})
    lab.theme(page, dark=False)
    return page


def test_keys_step_images_close_them_and_bring_the_focus_back(wide):
    explorer = wide.locator(".mdissect-explorer").first
    tiles = explorer.locator(".mdissect-enlarge:visible")
    title = tiles.nth(1).get_attribute("title")
    tiles.nth(1).focus()
    wide.keyboard.press("Enter")
    name = explorer.locator(".mdissect-large-name b")
    wait_until(lambda: name.is_visible() and name.inner_text() in title)
    wait_until(lambda: "mdissect-close" in wide.evaluate(FOCUSED))
    wide.keyboard.press("ArrowRight")
    wait_until(lambda: name.inner_text() not in title)
    shown = name.inner_text()
    wide.keyboard.press("Escape")
    wait_until(lambda: not name.is_visible())
    wait_until(lambda: "mdissect-enlarge" in wide.evaluate(FOCUSED))
    assert wide.evaluate("() => document.activeElement.title") == f"enlarge {shown}"
    heading = explorer.locator(".mdissect-heading")
    assert heading.get_attribute("role") == "heading"
    assert explorer.locator(".mdissect-live").first.get_attribute("aria-live") == "polite"
    before = heading.inner_text()
    wide.keyboard.press("ArrowRight")  # no image is large: the next neuron
    wait_until(lambda: heading.inner_text() != before)
    wide.keyboard.press("v")
    wait_until(lambda: wide.evaluate("() => Boolean(document.activeElement.closest('.mdissect-verdict'))"))


def test_the_table_is_sorted_filtered_and_walked_through_by_keys(wide):
    explorer = wide.locator(".mdissect-explorer").first
    table = explorer.locator(".mdissect-table").first
    grid, rows = table.get_by_role("grid"), table.locator(".mdissect-table-row")
    assert grid.get_attribute("aria-rowcount") == "7"
    head = table.get_by_role("columnheader", name="similarity")
    assert head.get_attribute("aria-sort") == "descending"  # at first
    head.get_by_role("button").click()
    wait_until(lambda: head.get_attribute("aria-sort") == "ascending")
    head.get_by_role("button").click()
    head.get_by_role("button").click()
    wait_until(lambda: head.get_attribute("aria-sort") == "descending")
    shown = [float(row.locator("[role=gridcell]").nth(2).inner_text()) for row in rows.all()]
    assert shown == sorted(shown, reverse=True)
    assert table.locator("[aria-sort=descending]").count() == 1
    table.get_by_role("searchbox").fill("impl")
    wait_until(lambda: grid.get_attribute("aria-rowcount") == "4")
    assert "3 of 6 neurons" in table.get_by_role("status").inner_text()
    grid.focus()
    wide.keyboard.press("Home")
    wide.keyboard.press("ArrowDown")
    wanted = table.locator(".mdissect-active [role=gridcell]").first.inner_text()
    wide.keyboard.press("Enter")
    wait_until(lambda: f"neuron {wanted}:" in explorer.locator(".mdissect-heading").inner_text())
    assert table.locator("[aria-selected=true]").count() == 1
    table.get_by_role("searchbox").fill("implants")  # the plural finds what it is of
    wait_until(lambda: "3 of 6 neurons" in table.get_by_role("status").inner_text())
    table.get_by_role("searchbox").fill("")


def test_the_heading_follows_the_concept_chosen(wide):
    models = wide.locator(".mdissect-compare-explorer").first
    models.get_by_role("button", name="same concept").click()
    concept, heading = models.get_by_label("concept", exact=True), models.locator(".mdissect-heading").first
    concept.wait_for()
    below = concept.bounding_box()["y"] + concept.bounding_box()["height"]
    assert 0 < heading.bounding_box()["y"] - below < 60
    models.get_by_role("button", name="same channel").click()
    concept.wait_for(state="hidden")


STUCK = """grid => {
  grid.scrollTop = grid.scrollHeight;
  return grid.firstElementChild.getBoundingClientRect().top - grid.getBoundingClientRect().top;
}"""


def test_the_heads_of_a_table_stay_in_view(wide):
    grid = wide.locator(".mdissect-concept-explorer .mdissect-table").first.get_by_role("grid")
    assert grid.evaluate("grid => { grid.style.height = '90px'; return grid.scrollHeight > grid.clientHeight }")
    assert abs(grid.evaluate(STUCK)) < 3


def test_letters_typed_in_an_explorer_are_no_commands_of_jupyterlab(wide):
    """With the focus on a button, x cuts a cell, a and b insert one, r makes it raw text, 0 0 restarts the kernel."""
    explorer = wide.locator(".mdissect-explorer").first
    cells = wide.locator(".jp-Cell").count()
    explorer.locator(".mdissect-verdict input").first.fill("AB")
    partly = explorer.get_by_role("button", name="partly")
    partly.click()
    wide.keyboard.type("dense mass, xaarby 00")
    wide.wait_for_timeout(300)
    assert (wide.locator(".jp-Cell").count(), wide.locator(".jp-RawCell").count()) == (cells, 0)
    assert wide.locator(".jp-Dialog").count() == 0
    tile = explorer.locator(".mdissect-enlarge:visible").first
    tile.focus()
    wide.keyboard.type("xx")
    assert wide.locator(".jp-Cell").count() == cells
    wide.keyboard.press("Control+s")  # JupyterLab's own
    wide.locator(".jp-NotebookPanel .jp-mod-dirty").wait_for(state="detached")


def test_a_neuron_and_an_image_open_in_the_neuron_explorer_and_back(wide):
    concepts = wide.locator(".mdissect-concept-explorer").first
    concepts.scroll_into_view_if_needed()
    detail = concepts.locator(".mdissect-detail")
    opener = concepts.get_by_role("button", name="open ", exact=False).first
    opener.click()
    detail.locator(".mdissect-bars").wait_for()
    wait_until(lambda: "mdissect-back" in wide.evaluate(FOCUSED))
    assert "neuron" in detail.locator(".mdissect-heading").inner_text()
    detail.locator(".mdissect-back").press("Escape")
    wait_until(lambda: not detail.is_visible())
    wait_until(lambda: "open" in wide.evaluate("() => document.activeElement.textContent"))
    concepts.locator(".mdissect-enlarge:visible").first.click()
    detail.locator(".mdissect-large").wait_for()
    wide.keyboard.press("Escape")
    detail.locator(".mdissect-enlarge:visible").first.wait_for()
    wide.keyboard.press("Escape")
    wait_until(lambda: not detail.is_visible())


def test_a_row_shows_its_images_and_a_button_those_of_the_concept(wide):
    """With all concepts in view there is no such button; with one, it leads back from a row's images."""
    view = wide.locator(".mdissect-concept-explorer").first
    back = view.get_by_role("button", name="images of the concept")
    rows = view.locator(".mdissect-table-row:visible")
    rows.first.click()
    assert not back.is_visible()
    concepts = view.get_by_label("concept", exact=True)
    concepts.select_option(index=1)
    view.get_by_text("finds most similar to").wait_for()
    wide.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
    pictures = view.locator(".mdissect-frame img:visible")
    before = [one.get_attribute("alt") for one in pictures.all()]
    rows.first.click()
    back.wait_for()
    wait_until(lambda: rows.first.get_attribute("aria-selected") == "true")
    back.click()
    wait_until(lambda: not back.is_visible())
    wait_until(lambda: [one.get_attribute("alt") for one in pictures.all()] == before)
    wait_until(lambda: view.locator(".mdissect-table-row[aria-selected=true]:visible").count() == 0)
    concepts.select_option(index=0)


def test_the_state_is_copied_and_shown_where_copying_is_refused(wide):
    explorer = wide.locator(".mdissect-explorer").first
    wide.context.grant_permissions(["clipboard-read", "clipboard-write"])
    explorer.locator(".mdissect-copy button").click()
    explorer.locator(".mdissect-copied", has_text="copied").wait_for()
    state = json.loads(wide.evaluate("navigator.clipboard.readText()"))
    assert state["layer"] == "deep"
    assert f"neuron {state['neuron']}:" in explorer.locator(".mdissect-heading").inner_text()
    wide.context.clear_permissions()
    wide.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    explorer.locator(".mdissect-copy button").click()
    assert json.loads(explorer.locator(".mdissect-copy textarea").input_value()) == state


def test_a_notebook_that_was_not_run_shows_the_view_as_html(lab, browser, wide):
    bundle = wide.evaluate("""async () => {
      await window.jupyterapp.commands.execute('docmanager:save');
      return window.jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.toJSON().outputs || []);
    }""")
    htmls = ["".join(output["data"].get("text/html", "")) for outputs in bundle for output in outputs if "data" in output]
    assert len(htmls) == 3
    assert all("run this cell in JupyterLab" in html and 'role="heading"' in html for html in htmls)
