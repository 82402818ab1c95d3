"""Tests of what runs on a cluster's machines, in this process and without Ray."""

import re

import numpy as np
import pytest
import torch
import toys

from mdissect.engine import worker
from mdissect.engine.worker import CarriedError, Chunk, Reading, Running, Worker, parts_of, read, versions
from mdissect.filling import Embedded, Recorded, groups_of
from mdissect.filling import _steps as steps_of
from mdissect.passing import PassOptions
from mdissect.preprocess import Preprocess
from mdissect.store import MemoryStore

OTHER = Preprocess(size=(toys.SIDE, toys.SIDE), scale="image", channels=1)


@pytest.fixture
def steps(cnn, probe):
    """A target and a dissector that see images in two ways; of the embeddings the first chunk alone is missing."""
    store = MemoryStore()
    embeddings = store.entry({}, len(probe))
    for chunk in (1, 2):
        embeddings.write(chunk, np.zeros((len(range(160)[embeddings.rows(chunk)]), 8), np.float32))
    entries = {layer: store.entry({"layer": layer}, len(probe)) for layer in ("stem", "head")}
    dissector = toys.RowDissector(OTHER)
    return steps_of([Recorded(cnn, entries)], [Embedded(dissector, embeddings)], "mean", PassOptions())


def reading_of(steps, probe, batch_size=48):
    groups = groups_of(steps, batch_size)
    chunks = {}
    for group in groups:
        first = chunks[group.chunk].first if group.chunk in chunks else group
        chunks[group.chunk] = Chunk(first, group.positions.stop)
    ways = list(dict.fromkeys(way for group in groups for way in group.contracts))
    assert [group for chunk in chunks.values() for group in chunk.groups()] == groups
    return Reading(probe.without_table(), list(chunks.values()), ways)


def rows_of(reading):
    return list(read({"id": np.arange(len(reading.chunks))}, lambda: reading))


def test_batches_go_to_a_worker_and_back(steps, probe, cnn):
    reading = reading_of(steps, probe)
    rows = rows_of(reading)
    assert [(int(row["chunk"][0]), int(row["start"][0])) for row in rows] == [(0, 0), (0, 48), (1, 64), (1, 112), (2, 128)]
    assert [row["images 1"].shape[1] for row in rows] == [48, 16, 0, 0, 0]  # prepared for the dissector where it is to embed
    run = Worker(lambda: Running(steps, versions()), reading.ways, "cpu", torch.get_num_threads())
    images = torch.stack([toys.PREPROCESS(probe[i]) for i in range(len(probe))])
    with torch.no_grad():
        head = cnn.module(images)
    for row in rows:
        answer = run(row)
        note = worker.json.loads(answer["note"][0])
        assert note["warnings"] == []
        recorded, embedded = parts_of(steps, int(answer["chunk"][0]), answer["values"][0], note["widths"])
        start, stop = int(row["start"][0]), int(row["start"][0]) + row["images 0"].shape[1]
        torch.testing.assert_close(recorded[0].activations["head"], head[start:stop], atol=1e-6, rtol=0)
        assert len(embedded) == (int(row["chunk"][0]) == 0)


def test_images_in_memory_that_is_read_only_are_copied(steps, probe):
    reading = reading_of(steps, probe)
    row = rows_of(reading)[0]
    before = {name: values.copy() for name, values in row.items()}
    for values in row.values():
        values.setflags(write=False)
    Worker(lambda: Running(steps, versions()), reading.ways, "cpu", torch.get_num_threads())(row)
    assert all((row[name] == values).all() for name, values in before.items())


def test_a_machine_with_other_versions_is_refused(steps, probe):
    reading = reading_of(steps, probe)
    row = rows_of(reading)[0]
    run = Worker(lambda: Running(steps, versions() | {"torch": "2.0"}), reading.ways, "cpu", 1)
    with pytest.raises(CarriedError) as error:
        run(row)
    assert isinstance(error.value.args[0], RuntimeError)
    assert re.search(r"of the Ray cluster has torch .*, but this process has torch 2\.0.*: install the same", str(error.value))


def test_what_travels_is_unpacked_once_in_a_process(steps, probe):
    reading, asked = reading_of(steps, probe), []

    def made():
        asked.append(1)
        return reading

    for number in (0, 1):
        list(read({"id": np.array([number])}, made))
    assert asked == [1]


def test_a_probe_travels_without_its_table(probe):
    bare = probe.without_table()
    assert (bare.ids, len(bare.table), bare.key()) == (probe.ids, 0, probe.key())
    np.testing.assert_array_equal(bare[3], probe[3])
