"""Notebook 07 in JupyterLab, driven in a headless browser as a reader would; screenshots go to build/."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
    pytest.mark.timeout(600),
]
ROOT = Path(__file__).parents[2]
NOTEBOOK = "07_explorers.ipynb"
PATIENCE = 240_000  # milliseconds: on two busy cores the kernel starts slowly
SEEN = """box => [box.innerText, ...[...box.querySelectorAll("*")].filter(node => node.checkVisibility())
  .flatMap(node => [node.title, node.ariaLabel, node.alt, node.value])].filter(one => typeof one === "string").join("\\n")"""
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
WHOLE = {"windowingMode": "none"}  # cells out of sight stay in the page
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab of its own, with a copy of the notebook and nobody's settings."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "work").mkdir()
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, folder / "work")
    (folder / "config" / "labconfig").mkdir(parents=True)
    (folder / "config" / "labconfig" / "default_setting_overrides.json").write_text(
        json.dumps({"@jupyterlab/apputils-extension:notification": QUIET, "@jupyterlab/notebook-extension:tracker": WHOLE})
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    own |= {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "MDISSECT_FIGURES": "figures"}
    environment = os.environ | {name: str(folder / place) for name, place in own.items()}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    options = f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 --IdentityProvider.token="
    options += (
        f" --ServerApp.disable_check_xsrf=True --LabApp.expose_app_in_browser=True --ServerApp.root_dir={folder / 'work'}"
    )
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "jupyterlab", *options.split()]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api", server, folder / "log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


def test_notebook_07_answers_to_search_slider_and_clicks(lab, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{lab}/lab/tree/{NOTEBOOK}?reset")
    page.wait_for_selector(".jp-Notebook")
    page.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    explorer = page.locator(".mdissect-explorer").first
    explorer.locator(".mdissect-bars").wait_for()
    page.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
    explorer.scroll_into_view_if_needed()
    _wait_until(lambda: "implant" in _heading(explorer))  # what the notebook begins with

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
    _wait_until(lambda: _heading(explorer) != before)
    _wait_until(lambda: _pictures(explorer) != implant)
    assert _number(before) + 1 == _number(_heading(explorer))

    _large_image(page, explorer)
    page.evaluate("window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    _screenshot(explorer, "dark")
    _blind_reading(page, explorer)
    page.close()


def _blind_reading(page, explorer):
    """With *blind*, nothing in view tells the label of an unjudged neuron; own words show it; then the next one is opened."""
    panel = explorer.locator(".mdissect-verdict")
    panel.get_by_placeholder("initials").fill("AB")
    panel.get_by_label("blind").check()
    panel.get_by_role("button", name="next unjudged").click()
    _wait_until(lambda: "label hidden" in _heading(explorer))
    _pictures(explorer)
    _ids(explorer)
    seen = explorer.evaluate(SEEN)
    assert not [word for word in ("similarity", "implant", "threshold", "calcif", "density", "MLO", " CC") if word in seen]
    _screenshot(explorer, "blind")
    words = panel.get_by_placeholder("your own words")
    words.fill("bright oval shapes")
    panel.get_by_role("button", name="save words, show label").click()
    _wait_until(lambda: "label hidden" not in _heading(explorer))
    assert "similarity" in _heading(explorer) or "cannot be named" in _heading(explorer)
    assert "your own words: bright oval shapes" in panel.inner_text()
    panel.get_by_role("button", name="partly").click()
    _wait_until(lambda: "1 of " in panel.inner_text())
    _screenshot(explorer, "blind_after")
    before = _number(_heading(explorer))
    panel.get_by_role("button", name="next unjudged").click()
    _wait_until(lambda: "label hidden" in _heading(explorer) and _number(_heading(explorer)) != before)
    study = page.locator(".mdissect-explorer", has_text="0 of ").last  # the notebook's own study, blind from the start
    study.scroll_into_view_if_needed()
    _screenshot(study, "blind_study")


def _large_image(page, explorer):
    """A click and the key Enter make the right image large; one of its neurons is gone to; close brings the tiles back."""
    large, tiles = explorer.locator(".mdissect-large"), explorer.locator(".mdissect-enlarge")
    ids = _ids(explorer)
    tiles.nth(2).click()
    _wait_until(lambda: large.locator(".mdissect-large-name b").inner_text() == ids[2])
    large.locator("img").wait_for()
    assert not tiles.first.is_visible()
    (picture,) = _pictures(explorer)
    scales = "image => [image.width / image.naturalWidth, image.height / image.naturalHeight]"
    width, height = large.locator("img").evaluate(scales)
    assert width == pytest.approx(height, rel=0.01)
    _screenshot(explorer, "large")
    before = _heading(explorer)
    neurons = large.locator(".mdissect-neuron:visible")
    other = next(text for text in neurons.all_inner_texts() if _number(before) != int(text.partition(":")[0]))
    neurons.filter(has_text=other).first.click()
    _wait_until(lambda: _heading(explorer) != before)
    assert _number(_heading(explorer)) == int(other.partition(":")[0])
    large.get_by_role("button", name="close").click()
    tiles.first.wait_for()
    chosen, now = ids[2], _ids(explorer)
    tile, image = next((i, image) for i, image in enumerate(now) if image != chosen)
    tiles.nth(tile).press("Enter")
    _wait_until(lambda: large.locator(".mdissect-large-name b").inner_text() == image)
    large.locator("img").wait_for()
    _wait_until(lambda: _pictures(explorer) != [picture])
    large.get_by_role("button", name="close").click()
    tiles.first.wait_for()


def _search(page, explorer, word):
    before = _heading(explorer)
    box = explorer.locator("input[type=text][placeholder]").first
    box.fill(word)
    box.press("Enter")
    _wait_until(lambda: _heading(explorer) != before)


def _heading(explorer):
    return explorer.locator(".mdissect-heading").inner_text()


def _number(heading):
    return int(heading.partition("neuron ")[2].partition(":")[0])


def _pictures(explorer):
    """The addresses of the pictures in view: another picture has another one; all are loaded."""
    images = explorer.locator("img:visible")
    _wait_until(lambda: all(images.evaluate_all("all => all.map(image => image.complete && image.naturalWidth > 0)")))
    return images.evaluate_all("all => all.map(image => image.src)")


def _ids(explorer):
    """The ids under the tiles, once they have come to rest."""
    seen, captions = [], explorer.locator(".mdissect-caption b")
    _wait_until(lambda: not seen.append(captions.all_inner_texts()) and len(seen) > 7 and seen[-1] == seen[-8])
    return seen[-1]


def _screenshot(explorer, name):
    (ROOT / "build").mkdir(exist_ok=True)
    explorer.screenshot(path=ROOT / "build" / f"explorer_{name}.png")


def _wait_until(true, seconds=60):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "the view did not change in time"
        time.sleep(0.1)


def _wait_for(address, server, log, seconds=120):
    until = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            tail = log.read_text()[-2000:]
            assert server.poll() is None, f"JupyterLab ended: {tail}"
            assert time.monotonic() < until, f"JupyterLab did not start: {tail}"
            time.sleep(0.5)
