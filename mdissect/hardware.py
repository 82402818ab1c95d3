"""How a pass uses the machine: its memory, its cores, images at a time, and the precisions it computes fast.

On a CPU much time is the allocator's: glibc gives each large block back to the system when it is freed, and a network faults
all its activation maps in again for every batch (0.7 million page faults an image for a B5 at 1520 x 912).
"""

import ctypes
import os
import platform
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from mdissect.arguments import whole_number
from mdissect.signatures import validated

PIXELS_AT_ONCE = 32 * 224 * 224  # of a batch on a CPU: more images at a time are no faster, and need more memory
MOST_AT_ONCE = 32  # images of a batch on a CPU; on a GPU a chunk of the store
OF_FREE_MEMORY = 0.7  # what a batch on a GPU may take of it
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**31 - 1  # bytes
_USUAL = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}  # the largest that glibc chooses by itself
_SET_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_")
LEAST_MEMORY, UNKNOWN_MEMORY = 10**6, 4 * 10**9  # bytes
CGROUP = Path("/sys/fs/cgroup")
_FULL = ("out of memory", "can't allocate memory", "not enough memory")

_lock = threading.Lock()
_passes = 0  # that run now, in this process


@contextmanager
def kept_memory(device: torch.device) -> Iterator[bool]:
    """Let the allocator keep freed memory for the length of a pass on a CPU; True where it does.

    glibc is told by mallopt to take no block straight from the system (M_MMAP_THRESHOLD) and to give nothing back
    (M_TRIM_THRESHOLD). It has no way to ask what stood before: afterwards both get the largest values that it would choose by
    itself (32 and 64 MiB), and free memory goes back to the system. Nothing is changed on another system or C library, on a
    GPU, or where the user has set the allocator by a MALLOC_ variable or GLIBC_TUNABLES.
    """
    glibc = _glibc() if device.type == "cpu" and not _set_by_user() else None
    if glibc is None:
        yield False
        return
    _enter(glibc)
    try:
        yield True
    finally:
        _leave(glibc)


def _enter(glibc: ctypes.CDLL) -> None:
    global _passes
    with _lock:
        _passes += 1
        for name in _USUAL:
            glibc.mallopt(name, _LARGEST)


def _leave(glibc: ctypes.CDLL) -> None:
    global _passes
    with _lock:
        _passes -= 1
        if not _passes:  # another pass may run in another thread
            for name, value in _USUAL.items():
                glibc.mallopt(name, value)
            glibc.malloc_trim(0)


def _set_by_user() -> bool:
    return any(name in os.environ for name in _SET_BY_USER) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")


@lru_cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, if it is glibc."""
    if platform.system() != "Linux":
        return None
    try:
        library = ctypes.CDLL(None)
        for name in ("gnu_get_libc_version", "mallopt", "malloc_trim"):
            getattr(library, name)
    except (OSError, AttributeError, TypeError):
        return None
    library.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    library.malloc_trim.argtypes = (ctypes.c_size_t,)
    return library


@contextmanager
def own_cores(device: torch.device) -> Iterator[int]:
    """Compute on as many threads as the process has cores, for the length of a pass on a CPU; gives the number of threads.

    torch counts the cores of the machine; a container or a batch system may give the process fewer, and threads beyond
    them wait for each other. What the user set (OMP_NUM_THREADS, torch.set_num_threads) is never raised.
    """
    before = torch.get_num_threads()
    threads = min(before, n_cores()) if device.type == "cpu" else before
    if threads < before:
        torch.set_num_threads(threads)
    try:
        yield threads
    finally:
        if threads < before:
            torch.set_num_threads(before)


@validated()
def n_cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its container."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(there, _quota(Path("/sys/fs/cgroup")) or there))


def _quota(cgroup: Path) -> int | None:
    """Whole cores of a container's quota, rounded up; None where there is none."""
    for file, period_file in (("cpu.max", None), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = (cgroup / file).read_text().split()
            period = words[1] if period_file is None else (cgroup / period_file).read_text()
            if int(words[0]) > 0 and int(period) > 0:
                return -(-int(words[0]) // int(period))
        except (OSError, ValueError, IndexError):  # not there, or "max"
            continue
    return None


@validated()
def at_once(size: tuple[int, int], device: torch.device, per_image: Callable[[], int] | None = None, most: int = 64) -> int:
    """Images of a size (height, width) that a batch holds where the user does not say.

    >>> at_once((256, 160), torch.device("cpu")), at_once((512, 512), torch.device("cpu"))
    (32, 4)
    >>> at_once((1520, 912), torch.device("cpu"))
    1

    On a CPU (and Apple's GPU) a power of two, at most 1.6 million pixels and 32 images: measured, see
    tests/benchmark_pass.py. On CUDA what fits into 0.7 of the free memory, `most` at the most; `per_image` measures the bytes
    that one more image needs.
    """
    if device.type == "cuda" and per_image is not None:
        taken, free = max(per_image(), 1), _free_memory(device)
        return max(1, min(most, int(OF_FREE_MEMORY * free / taken)))
    fit = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    return min(MOST_AT_ONCE, 1 << (fit.bit_length() - 1))


def _free_memory(device: torch.device) -> int:
    """Bytes that a batch could have on a GPU: free, or reserved by torch and not in use."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def memory_of(run: Callable[[], object], device: torch.device) -> int:
    """Bytes of a GPU's memory that a call needs on top of what is in use."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was used up, on a GPU or in the machine."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _FULL)
    )


def memory_bytes(name: str, value: int | str | None) -> int:
    """Bytes that blocks of large arrays may take, from a number or a text; None: half of what is free.

    >>> memory_bytes("memory", "4GB"), memory_bytes("memory", "500 MB")
    (4000000000, 500000000)

    ValueError for a text of another form or less than 1 MB, under which no block makes sense.
    """
    if value is None:
        return max(LEAST_MEMORY, free_memory() // 2)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", value.strip()) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise ValueError(f"{name}={value!r} is no amount of memory, such as '4GB', '500 MB' or a number of bytes")
    if found:
        value = int(float(found[1]) * (1024 if found[3] else 1000) ** " kMGT".index(found[2] or " "))
    return whole_number(name, value, LEAST_MEMORY)


@validated()
def free_memory() -> int:
    """Bytes that this process may still take: what is available in the machine, or less by its container's limit."""
    limits = [_available()]
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):
        try:
            limits.append(int((CGROUP / limit).read_text()) - int((CGROUP / used).read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return max(0, min(limits))


def _available() -> int:
    """Bytes of the machine's memory that are free or could be at once; half of all where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        known = hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys()
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if known else UNKNOWN_MEMORY


@validated()
def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16 faster than in float32: a CPU with AMX, an NVIDIA GPU from Ampere on."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    try:
        return device.type == "cpu" and "amx_bf16" in Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
