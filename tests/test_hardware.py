"""The machine in a pass: memory that is kept and given back, cores, sizes of batches."""

import threading

import pytest
import torch

from mdissect import hardware
from mdissect.hardware import (
    at_once,
    free_memory,
    has_fast_bf16,
    is_out_of_memory,
    kept_memory,
    memory_bytes,
    n_cores,
    own_cores,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Glibc:
    def __init__(self):
        self.calls = []

    def mallopt(self, name, value):
        self.calls.append((name, value))
        return 1

    def malloc_trim(self, pad):
        self.calls.append(("trim", pad))
        return 1


@pytest.fixture
def glibc(monkeypatch):
    found = Glibc()
    monkeypatch.setattr(hardware, "_glibc", lambda: found)
    for name in (*hardware._SET_BY_USER, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return found


AFTER = [(-3, 32 * 2**20), (-1, 64 * 2**20), ("trim", 0)]


@pytest.mark.parametrize("error", [False, True])
def test_memory_is_kept_for_the_length_of_a_pass(glibc, error):
    try:
        with kept_memory(CPU) as kept:
            assert kept
            assert glibc.calls == [(-3, 2**31 - 1), (-1, 2**31 - 1)]
            if error:
                raise KeyError("x")
    except KeyError:
        assert error
    assert glibc.calls[2:] == AFTER


def test_the_last_of_several_passes_gives_memory_back(glibc):
    inside, go_on = threading.Event(), threading.Event()

    def other():
        with kept_memory(CPU):
            inside.set()
            go_on.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with kept_memory(CPU):
        pass
    assert ("trim", 0) not in glibc.calls
    go_on.set()
    thread.join()
    assert glibc.calls[-3:] == AFTER


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "1000"), ("MALLOC_TRIM_THRESHOLD_", "1"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")],
)
def test_what_the_user_set_is_left(glibc, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with kept_memory(CPU) as kept:
        assert not kept
    assert glibc.calls == []


def test_nothing_is_set_on_a_gpu_or_without_glibc(glibc, monkeypatch):
    with kept_memory(CUDA) as kept:
        assert not kept
    monkeypatch.setattr(hardware, "_glibc", lambda: None)
    with kept_memory(CPU) as kept:
        assert not kept
    assert glibc.calls == []


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_other_systems_have_no_glibc(monkeypatch, system):
    monkeypatch.setattr("platform.system", lambda: system)
    assert hardware._glibc.__wrapped__() is None


@pytest.mark.parametrize(
    ("size", "images"),
    [
        ((8, 8), 32),
        ((224, 224), 32),
        ((256, 160), 32),
        ((256, 256), 16),
        ((384, 384), 8),
        ((512, 512), 4),
        ((1024, 768), 2),
        ((1520, 912), 1),
        ((4000, 3000), 1),
    ],
)
def test_batches_on_a_cpu(size, images):
    assert at_once(size, CPU) == images


@pytest.mark.parametrize(
    ("free", "per_image", "images"), [(10e9, 1e9, 7), (10e9, 1e6, 64), (1e9, 9e9, 1), (80e9, 2e9, 28), (1e9, 0, 64)]
)
def test_batches_on_a_gpu(monkeypatch, free, per_image, images):
    monkeypatch.setattr(hardware, "_free_memory", lambda device: int(free))
    assert at_once((1520, 912), CUDA, lambda: int(per_image)) == images


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "x"}, None),
        ({"cpu.max": ""}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert hardware._quota(tmp_path) == cores


@pytest.mark.parametrize(("set_to", "cores", "used"), [(4, 2, 2), (1, 2, 1), (2, 8, 2)])
def test_threads_are_never_raised_and_come_back(monkeypatch, set_to, cores, used):
    found = [set_to]
    monkeypatch.setattr("torch.get_num_threads", lambda: found[0])
    monkeypatch.setattr("torch.set_num_threads", lambda n: found.__setitem__(0, n))
    monkeypatch.setattr(hardware, "n_cores", lambda: cores)
    with own_cores(CPU) as threads:
        assert threads == found[0] == used
    assert found[0] == set_to
    with own_cores(CUDA):
        assert found[0] == set_to


def test_a_process_has_a_core():
    assert n_cores() >= 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


@pytest.mark.parametrize(("capability", "fast"), [((8, 0), True), ((9, 0), True), ((7, 5), False)])
def test_gpus_with_bf16(monkeypatch, capability, fast):
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert has_fast_bf16(CUDA) == fast


@pytest.mark.parametrize(
    ("flags", "fast"), [("flags : avx512f amx_bf16 x", True), ("flags : avx512_bf16", False), (None, False)]
)
def test_processors_with_bf16(monkeypatch, flags, fast):
    def read(path):
        if flags is None:
            raise FileNotFoundError(path)
        return flags

    monkeypatch.setattr("pathlib.Path.read_text", read)
    assert has_fast_bf16(CPU) == fast
    assert not has_fast_bf16(torch.device("mps"))


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [("4GB", 4e9), ("500 MB", 5e8), ("1.5 GiB", 1.5 * 2**30), ("2000000", 2e6), ("3000k", 3e6), (10**7, 1e7), ("1T", 1e12)],
)
def test_memory_is_a_number_or_a_text(given, bytes_):
    assert memory_bytes("memory", given) == bytes_


@pytest.mark.parametrize("given", ["", "GB", "4 apples", "-4GB", "1e9", "4G B", 999_999, True, 2.5, "0.5MB"])
def test_other_memory_is_refused_by_name(given):
    with pytest.raises((TypeError, ValueError), match="memory="):
        memory_bytes("memory", given)


def test_free_memory_heeds_the_container(tmp_path, monkeypatch):
    monkeypatch.setattr("mdissect.hardware.CGROUP", tmp_path)
    free = free_memory()
    assert 0 < memory_bytes("memory", None) <= free
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert free_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 2_000_000
