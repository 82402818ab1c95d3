"""JupyterLab and a browser for the tests that drive explorers as a reader would; the fixtures stand in conftest.py."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE = 240_000  # milliseconds: on two busy cores the kernel starts slowly
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
WHOLE = {"windowingMode": "none"}  # cells out of sight stay in the page


@dataclass
class Lab:
    """A running JupyterLab of its own, with nobody's settings; notebooks lie in `work`."""

    address: str
    work: Path

    def open(self, browser, name: str, *cells: str, size: tuple[int, int] = (1280, 1400), dark: bool = False, run: bool = True):
        """A page with a notebook: a copy of the project's of that name, or made of the given cells; run unless told not to."""
        if cells:
            made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=KERNEL)
            nbformat.write(made, self.work / name)
        else:
            shutil.copy(ROOT / "notebooks" / name, self.work)
        page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{self.address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook")
        page.locator("#jp-bottom-panel", has_text="| Idle").wait_for()
        self.theme(page, dark)
        if run:
            page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    @staticmethod
    def theme(page, dark: bool) -> None:
        """Change to JupyterLab's light or dark theme."""
        theme = f"JupyterLab {'Dark' if dark else 'Light'}"
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.locator(f"body[data-jp-theme-light={'false' if dark else 'true'}]").wait_for(state="attached")

    @staticmethod
    def close(page) -> None:
        """Close a page, and end its kernel."""
        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.context.close()


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab in an empty folder, on a free port."""
    (folder / "work").mkdir()
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
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
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
        yield Lab(address, folder / "work")
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is true of the page."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "the view did not change in time"
        time.sleep(0.1)


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 120) -> None:
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
