"""Where weights are looked for, and what is said when they are not there; never the network, unless asked."""

import os
import socket
import threading
import time

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from mdissect.models import MANIFEST, CheckpointError, load_dissector, load_target, whereabouts
from mdissect.models.weights import MissingWeightsError, locate

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1650000000\n"
B5 = "b5-model-best-epoch-7.tar"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty data folder; gives its weights/."""
    monkeypatch.setenv("MDISSECT_DATA", str(tmp_path))
    return tmp_path / "weights"


@pytest.fixture
def hub(monkeypatch):
    """A hub that answers, on this machine; gives a function that sets what a download does."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield lambda download: monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    server.close()


def write_weights(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": {"w": torch.ones(1)}}, path)
    return path


def test_every_missing_file_is_listed_at_once(place, no_network):
    started = time.perf_counter()
    with pytest.raises(MissingWeightsError) as caught:
        load_dissector("mammo-clip")
    assert time.perf_counter() - started < 5
    message = str(caught.value)
    for part in (
        f"1. {B5}, Mammo-CLIP with EfficientNet-B5: missing at {place / 'mammo-clip' / B5}. Source: "
        f"Pre-trained-checkpoints/{B5} of shawn24/Mammo-CLIP (revision main), 1.65 GB, licence CC BY-NC-SA 4.0, open download. "
        f"Destination: {place / 'mammo-clip' / B5}",
        "2. config.json, BioClinicalBERT's configuration and vocabulary: missing at",
        "3. vocab.txt (or tokenizer.json), BioClinicalBERT's configuration and vocabulary: missing at",
        "of emilyalsentzer/Bio_ClinicalBERT (revision main), 213 kB, licence MIT",
        f"Destination: {place / 'bio-clinical-bert' / 'vocab.txt'}",
        "download=True fetches what can be fetched",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("load", "spec", "names"),
    [
        (load_target, "mammo-clip/b2", ["b2-model-best-epoch-10.tar"]),
        (load_target, "mammo-classifier/density", ["density.pth", "classification/Models/Classifier/fine_tune/"]),
        (load_target, "mammo-classifier/birads", ["birads.pth", "not published"]),
        (load_target, "general", ["tf_efficientnet_b5.aa_in1k.safetensors", "model.safetensors of timm/tf_efficientnet_b5"]),
        (load_dissector, "general", ["tf_efficientnet_b5.aa_in1k.safetensors", "pytorch_model.bin", "vocab.txt"]),
        (load_dissector, "clip", ["config.json", "preprocessor_config.json", "tokenizer.json", "pytorch_model.bin"]),
    ],
)
def test_each_model_says_what_it_lacks(place, no_network, load, spec, names):
    with pytest.raises(MissingWeightsError) as caught:
        load(spec)
    for name in names:
        assert name in str(caught.value)


def test_files_in_their_places_are_found(place, no_network):
    path = write_weights(place / "mammo-clip" / B5)
    bert = place / "bio-clinical-bert"
    bert.mkdir()
    (bert / "config.json").write_text("{}")
    (bert / "tokenizer.json").write_text("{}")
    assert locate({"mammo-clip/b5": None, "bio-clinical-bert": None}) == {"mammo-clip/b5": path, "bio-clinical-bert": bert}
    with pytest.raises(CheckpointError, match=rf"{B5} holds no EfficientNet-B5 or -B2"):
        load_target("mammo-clip")


def test_given_paths_come_first_and_alone(place, no_network, tmp_path):
    write_weights(place / "mammo-clip" / B5)
    own = write_weights(tmp_path / "own" / "mine.tar")
    assert locate({"mammo-clip/b5": own})["mammo-clip/b5"] == own
    missing = tmp_path / "own" / "none.tar"
    with pytest.raises(MissingWeightsError, match=rf"missing at {missing}\. .* Destination: {missing}"):
        locate({"mammo-clip/b5": missing})
    named = write_weights(tmp_path / "folder" / B5)
    assert locate({"mammo-clip/b5": named.parent})["mammo-clip/b5"] == named
    with pytest.raises(MissingWeightsError, match=r"mine\.tar is not a folder"):
        locate({"bio-clinical-bert": own})


WRONG = {
    "git-lfs pointer": (LFS.encode(), "is a git-lfs pointer, not the weights (the weights have 1,650,000,000 bytes)"),
    "web page": (b"<html>Sign in</html>", "is a web page, not weights"),
    "empty": (b"", "is empty"),
    "cut off": (b"PK\x03\x04" + bytes(500), "is cut off after 504 bytes"),
    "something else": (b"hello, world", "unknown kind"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files_are_recognised(place, no_network, kind):
    content, message = WRONG[kind]
    path = write_weights(place / "mammo-clip" / B5)
    path.write_bytes(content)
    with pytest.raises(MissingWeightsError) as caught:
        load_target("mammo-clip")
    assert message in str(caught.value)
    assert "Source: Pre-trained-checkpoints/" in str(caught.value)


def test_downloads_go_to_their_places(place, hub):
    asked = []

    def download(repository, name, *, revision, local_dir, etag_timeout):
        asked.append((repository, name, revision))
        path = local_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".tar"):
            write_weights(path)
        else:
            path.write_text("{}")
        return str(path)

    hub(download)
    files = locate({"mammo-clip/b5": None, "bio-clinical-bert": None}, download=True)
    assert files == {"mammo-clip/b5": place / "mammo-clip" / B5, "bio-clinical-bert": place / "bio-clinical-bert"}
    assert asked == [
        ("shawn24/Mammo-CLIP", f"Pre-trained-checkpoints/{B5}", "main"),
        ("emilyalsentzer/Bio_ClinicalBERT", "config.json", "main"),
        ("emilyalsentzer/Bio_ClinicalBERT", "vocab.txt", "main"),
    ]
    assert sorted(path.name for path in (place / "mammo-clip").iterdir()) == [B5]
    locate({"mammo-clip/b5": None, "bio-clinical-bert": None}, download=True)
    assert len(asked) == 3


def test_failed_downloads_are_told(place, hub):
    def gated(*_, **__):
        raise PermissionError("401 Client Error: this repository is gated\nmore lines")

    hub(gated)
    with pytest.raises(MissingWeightsError, match=r"its download failed \(401 Client Error: this repository is gated\)"):
        locate({"mammo-clip/b5": None}, download=True)

    def empty(_repository, name, *, local_dir, **_):
        path = local_dir / "page"
        path.write_text("<!doctype html>")
        return str(path)

    hub(empty)
    with pytest.raises(MissingWeightsError, match="is a web page, not weights"):
        locate({"mammo-clip/b5": None}, download=True)
    with pytest.raises(MissingWeightsError, match=r"density\.pth, .*: missing at .*unpack it"):
        locate({"mammo-classifier/density": None}, download=True)


@pytest.mark.slow
def test_an_unreachable_hub_ends_soon(place, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    silent = socket.create_server(("127.0.0.1", 0))  # takes the connection and never answers
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()[1]
    for port in (silent.getsockname()[1], refusing):
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        started = time.perf_counter()
        with pytest.raises(MissingWeightsError, match=rf"and http://127\.0\.0\.1:{port} is out of reach \("):
            load_dissector("mammo-clip", download=True)
        assert time.perf_counter() - started < 5
    silent.close()


def test_offline_mode_is_respected(place, no_network, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingWeightsError, match=rf"missing at .*{B5}, and HF_HUB_OFFLINE is set"):
        load_target("mammo-clip", download=True)


def test_whereabouts_say_what_is_there_and_what_to_do(place, no_network, tmp_path):
    path = write_weights(place / "mammo-clip" / B5)
    assert whereabouts("mammo-clip/b5") == (True, f"found at {path}")
    there, told = whereabouts("imagenet-b5")
    assert not there
    assert told.startswith(f"no tf_efficientnet_b5.aa_in1k.safetensors in {place / 'imagenet'}; get model.safetensors of timm/")
    assert told.endswith(", and rename it to this")
    (place / "bio-clinical-bert").mkdir()
    (place / "bio-clinical-bert" / "config.json").write_text("{}")
    told = whereabouts("bio-clinical-bert/tower")[1]
    assert told.startswith(
        f"no vocab.txt, pytorch_model.bin in {place / 'bio-clinical-bert'}; get vocab.txt, pytorch_model.bin"
    )
    assert "not published" in whereabouts("mammo-classifier/birads")[1]
    assert whereabouts("clip", tmp_path / "none") == (False, f"the given folder {tmp_path / 'none'} does not exist")
    path.write_text(LFS)
    there, told = whereabouts("mammo-clip/b5")
    assert not there
    assert "git-lfs" in told


def test_every_entry_says_how_to_get_it():
    for known in MANIFEST.values():
        assert known.licence
        assert known.access
        assert known.what
        assert all(file.size for file in known.files)
        assert known.fetchable == bool(known.repository) or "unpack" in known.access


def test_paths_that_are_no_files(place, tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(MissingWeightsError, match=r"pipe\.tar is not a regular file\. Source:"):
        locate({"mammo-clip/b5": tmp_path / "pipe.tar"})
    with pytest.raises(ValueError, match="files of mammo-clip/b5='' is empty; give a folder or a file"):
        locate({"mammo-clip/b5": ""})
    with pytest.raises(TypeError, match="files of mammo-clip/b5=5 must be a path"):
        locate({"mammo-clip/b5": 5})


def test_the_hubs_cache_comes_after_the_own_folder(place, no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = tmp_path / "cache" / "models--shawn24--Mammo-CLIP" / "snapshots" / "0123"
    cached = write_weights(snapshot / "Pre-trained-checkpoints" / B5)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0123")
    assert locate({"mammo-clip/b5": None}) == {"mammo-clip/b5": cached}
    assert whereabouts("mammo-clip/b5") == (True, f"found at {cached}")
    own = write_weights(place / "mammo-clip" / B5)
    assert locate({"mammo-clip/b5": None}) == {"mammo-clip/b5": own}
    own.write_text("<html>")  # what is damaged is told, not passed over
    with pytest.raises(MissingWeightsError, match="is a web page"):
        locate({"mammo-clip/b5": None})
    own.unlink()
    cached.write_bytes(b"")
    with pytest.raises(MissingWeightsError, match=r"cache.*is empty: fetch it again"):
        locate({"mammo-clip/b5": None})


def test_a_part_of_a_set_in_the_hubs_cache_is_not_enough(place, no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshot = tmp_path / "cache" / "models--answerdotai--ModernBERT-base" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0123")
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(MissingWeightsError, match=r"1\. config\.json, ModernBERT.* missing at .*modernbert-base"):
        locate({"modernbert": None})
    (snapshot / "tokenizer.json").write_text("{}")
    assert locate({"modernbert": None}) == {"modernbert": snapshot}
    (snapshot / "tokenizer.json").write_text("{")
    with pytest.raises(MissingWeightsError, match=r"tokenizer\.json is not valid JSON"):
        locate({"modernbert": None})
    snapshot.with_name("0123").rename(snapshot.parent / "other")  # of another revision
    with pytest.raises(MissingWeightsError, match="missing at"):
        locate({"modernbert": None})
