"""Tests of the size of a cluster's pool of workers."""

import math

import numpy as np
import pytest

from mdissect.engine.pool import Node, Pool, pool_of, share

GIB = 2**30


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "expected"),
    [
        ([Node(2)], None, "auto", Pool(2, 1, 1, 0, 1)),
        ([Node(2)], 2, "cpu", Pool(2, 1, 1, 0, 1)),
        ([Node(2)], 1, "auto", Pool(1, 2, 2, 0, 1)),
        ([Node(2)], 4, "auto", Pool(4, 1, 0.5, 0, 1)),
        ([Node(1)], None, "auto", Pool(1, 1, 1, 0, 1)),
        ([Node(0), Node(16), Node(16)], None, "auto", Pool(32, 1, 1, 0, 8)),  # a head that does not work
        ([Node(2), Node(2), Node(2)], 2, "auto", Pool(2, 2, 2, 0, 1)),
        ([Node(16, memory=16 * GIB)], None, "auto", Pool(4, 4, 4, 0, 4)),
        ([Node(16, memory=1 * GIB)], None, "auto", Pool(1, 16, 16, 0, 4)),
        ([Node(64)], 4, "auto", Pool(4, 16, 16, 0, 16)),
        ([Node(16, gpus=4)], None, "auto", Pool(4, 1, 0, 1, 12)),
        ([Node(4, gpus=4)], None, "auto", Pool(4, 1, 0, 1, 1)),
        ([Node(16, gpus=4), Node(64)], None, "cuda", Pool(4, 1, 0, 1, 76)),
        ([Node(16, gpus=1)], 2, "auto", Pool(2, 1, 0, 0.5, 14)),
        ([Node(4, gpus=4)], None, "cpu", Pool(4, 1, 1, 0, 1)),
    ],
)
def test_pools(nodes, workers, device, expected):
    assert pool_of(nodes, workers, device) == expected


def test_every_pool_fits():
    rng = np.random.default_rng(0)
    for _ in range(300):
        nodes = [Node(int(rng.integers(1, 65)), memory=float(rng.integers(1, 300) * GIB)) for _ in range(rng.integers(1, 6))]
        workers = None if rng.random() < 0.5 else int(rng.integers(1, 80))
        pool = pool_of(nodes, workers)
        held = [math.inf if not pool.cpus else int(node.cpus / pool.cpus + 1e-9) for node in nodes]
        assert sum(held) >= pool.size == (workers or pool.size)
        assert pool.cpus < 1 or pool.cpus == int(pool.cpus), "Ray counts whole CPUs above one"
        assert 1 <= pool.threads <= max(node.cpus for node in nodes)


def test_a_share_is_the_largest_that_fits():
    rng = np.random.default_rng(1)
    for _ in range(100):
        free, size = rng.integers(1, 20, rng.integers(1, 4)) / 2, int(rng.integers(1, 12))
        found = share(free.tolist(), size, 3)
        grid = np.linspace(0.01, 3, 1500)
        fits = [one for one in grid if sum((free / one + 1e-9).astype(int)) >= size]
        assert found >= max(fits, default=0) - 1e-9
        assert sum((free / found + 1e-9).astype(int)) >= size


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "message"),
    [
        ([Node(2)], 0, "auto", "workers=0 must be 1 or more with engine='ray'"),
        ([Node(0)], None, "auto", "no machine of the Ray cluster gives a CPU"),
        ([], None, "auto", "no machine of the Ray cluster gives a CPU"),
        ([Node(2)], None, "cuda", "no machine of the Ray cluster gives a GPU; 'auto' takes what is there"),
    ],
)
def test_what_a_cluster_lacks_is_told(nodes, workers, device, message):
    with pytest.raises(ValueError, match=message):
        pool_of(nodes, workers, device)
