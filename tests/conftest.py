"""Fixtures of the method's tests; the toys they are made of live in toys.py."""

import os
import socket
import tempfile

import laboratory
import pytest
import toys

os.environ["MDISSECT_CACHE"] = tempfile.mkdtemp(prefix="mdissect-cache-")  # tests leave no trace in the user's
os.environ["HF_HUB_CACHE"] = tempfile.mkdtemp(prefix="mdissect-hub-")  # and find no models of the user's
pytest.register_assert_rewrite("explored")  # so that its assertions tell what they compared


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, one for all tests: two at once cannot be driven from one thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if laboratory.CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=laboratory.CHROMIUM, args=laboratory.FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running `laboratory.Lab`, one for all tests."""
    with laboratory.running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def probe():
    """160 images of rows: three chunks of the store, the last one shorter."""
    return toys.toy_probe()


@pytest.fixture
def planted():
    """The target with planted neurons."""
    return toys.toy_target()


@pytest.fixture
def cnn():
    """A target with maps."""
    return toys.toy_target(toys.TinyCNN, layers=("stem", "deep"))


@pytest.fixture
def vit():
    """A target with tokens."""
    return toys.toy_target(toys.TinyViT, layers=("blocks.0", "blocks.1"))


@pytest.fixture
def mlp():
    """A target without maps."""
    return toys.toy_target(toys.TinyMLP, layers=("first", "second"))


@pytest.fixture
def dissector():
    """It sees the brightness of rows."""
    return toys.RowDissector()


@pytest.fixture
def no_network(monkeypatch):
    """Every connection and every look-up of a name fails the test."""

    def refuse(*arguments, **_):
        pytest.fail(f"the network was asked for {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
