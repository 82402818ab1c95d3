"""Servers that cannot be reached: told within seconds, on this machine alone."""

import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from mdissect.models import CheckpointError, load_target, reach

MODEL = "test_resnet"


@pytest.fixture
def serve(monkeypatch):
    """A function that starts a server on this machine, gives its address, and makes it the hub."""
    servers = []

    def start(answer: bytes | None) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run():
            held = []
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=run, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        return url

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield start
    for server in servers:
        server.close()


@pytest.fixture
def refusing(serve):
    """A hub that refuses connections; gives its address."""
    url = serve(b"")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    constants.ENDPOINT = url  # undone with what `serve` set
    return url


def answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "403 Forbidden", "404 Not Found", "429 Too Many Requests"])
def test_any_answer_of_the_server_will_do(serve, status):
    serve(answer(status))
    assert reach.out_of_reach() is None


@pytest.mark.parametrize(
    "status", ["407 Proxy Authentication Required", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"]
)
def test_an_answer_of_what_stands_between_will_not(serve, status):
    url = serve(answer(status))
    assert reach.out_of_reach() == f"{url} is out of reach (HTTP Error {status[:3]}: {status[4:]})"


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 nonsense\r\n\r\n"], ids=["none", "ssh", "broken"]
)
def test_servers_of_something_else(serve, content):
    url = serve(content)
    assert reach.out_of_reach().startswith(f"{url} is out of reach (")


def test_a_server_that_never_answers(serve, monkeypatch):
    monkeypatch.setattr(reach, "REACH_SECONDS", 0.2)
    assert "is out of reach (timed out)" in reach.out_of_reach(serve(None))


def test_a_look_up_of_the_name_that_hangs(monkeypatch):
    monkeypatch.setattr(reach, "WAIT_SECONDS", 0.2)
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(10) and [])
    started = time.perf_counter()
    assert reach.out_of_reach("http://hub.invalid") == "http://hub.invalid is out of reach (no answer within 0.2 s)"
    assert time.perf_counter() - started < 5
    released.set()


@pytest.mark.parametrize("url", ["not a url", "http://", "http://[::1", "gopher://127.0.0.1/"])
def test_addresses_that_are_none(url):
    assert reach.out_of_reach(url).startswith(f"{url} is out of reach (")


def test_a_certificate_that_only_the_library_knows_is_an_answer(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError(ssl.SSLCertVerificationError("self-signed certificate in certificate chain"))

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    assert reach.out_of_reach("https://hub.invalid") is None


def test_proxies_are_asked(serve, monkeypatch):
    proxy = serve(answer("403 Forbidden"))
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", proxy)
    assert reach.out_of_reach("http://hub.invalid") is None  # the name is the proxy's to look up


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return tmp_path


def test_pretrained_models_are_refused_at_once(refusing, empty_cache):
    started = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_target("timm/resnet50", pretrained=True)
    assert time.perf_counter() - started < 5
    for part in ("timm/resnet50: its pretrained weights (timm/resnet50.", f"{refusing} is out of reach (", "give checkpoint=<"):
        assert part in str(caught.value)


def test_offline_mode_is_respected(serve, empty_cache, monkeypatch, no_network):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"timm/resnet18: .*, and HF_HUB_OFFLINE is set; give checkpoint="):
        load_target("timm/resnet18", pretrained=True)


def test_models_that_have_no_pretrained_weights(no_network):
    with pytest.raises(CheckpointError, match="timm has no pretrained weights for 'botnet50ts_256'; give checkpoint="):
        load_target("timm/botnet50ts_256", pretrained=True)


def test_weights_fetched_before_need_no_network(refusing, empty_cache, monkeypatch):
    model = timm.create_model(MODEL)
    path = empty_cache / "model.safetensors"
    save_file(model.state_dict(), path)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, file, revision: str(path))
    target = load_target(f"timm/{MODEL}", pretrained=True)
    torch.testing.assert_close(target.module.state_dict(), model.state_dict())


def test_a_hub_that_refuses_the_file_names_the_model(serve, empty_cache, monkeypatch):
    serve(answer("200 OK"))

    def refuse(*_, **__):
        raise OSError("401 Client Error: the repository is gated\nlong story")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(CheckpointError, match=rf"timm/{MODEL}: its pretrained weights cannot be loaded \(401 .* gated\); give"):
        load_target(f"timm/{MODEL}", pretrained=True)


def test_options_that_no_model_can_be_made_with():
    with pytest.raises(ValueError, match="timm/test_vit cannot be made with img_size: "):
        load_target("timm/test_vit", img_size=-3)
