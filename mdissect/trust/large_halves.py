"""The numbers of `trust.predicts` for a layer that does not fit into memory, in blocks of neurons and of images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mdissect.streaming import Rows
from mdissect.trust.correlation import influence, interval, standardised
from mdissect.trust.halves import Halves
from mdissect.trust.large_sums import LayerSums, SimsSums, ridge_of_sums
from mdissect.trust.measured_sims import MeasuredSims
from mdissect.trust.reached import mean_of_known, reached

OF_NEURON = 8  # bytes of a neuron and image while sums are taken
OF_INFLUENCE = 120  # and while the patients' influence is; its labels' similarities come on top
FEWEST_ROWS = 256  # of a block of images


@dataclass(frozen=True)
class LargeHalves:
    """A layer's activations (n_images, n_neurons), the similarities that labels are measured by, and halves of the patients.

    `memory` in bytes is what all blocks together may take.
    """

    activations: np.ndarray
    sims: MeasuredSims
    halves: Halves
    memory: int

    def held(self, label: np.ndarray, chosen: np.ndarray) -> dict[str, np.ndarray]:
        """By name, the numbers (n_ways, n_neurons) of each half, and in_sample, low and high (n_neurons,).

        `label` (n_neurons,) are the labels on all images, `chosen` (n_ways, n_neurons) those of each half.
        """
        names = ("predicts", "optimism", "ceiling", "floor", "ridge")
        found = {what: np.full(chosen.shape, np.nan) for what in names}
        for split in range(len(self.halves.splits)):
            for way, place, numbers in self._of_split(split, chosen):
                for what, values in numbers.items():
                    found[what][way, place] = values
        value, counted = mean_of_known(found["predicts"]), np.isfinite(found["predicts"]).sum(axis=0)
        ends = np.empty((3, len(label)))
        for place in self._neurons(OF_INFLUENCE + 4 * (len(chosen) + 1)):
            ends[0, place], shares = self._shares(place, label, chosen, found["predicts"])
            ends[1:, place] = interval(value[place], shares / np.maximum(counted[place], 1))
        return found | dict(zip(("in_sample", "low", "high"), ends, strict=True))

    def _of_split(self, split: int, chosen: np.ndarray) -> Iterator[tuple[int, slice, dict]]:
        """The numbers of both ways of a split for blocks of neurons: which way, which neurons, and by name (n,)."""
        halves = [self._parts(half) for half in self.halves.splits[split]]
        of_sims = [[self._sims_of(part) for part in half] for half in halves]
        whole = [half[0] if len(half) == 1 else half[0] + half[1] for half in of_sims]
        for place in self._neurons(OF_NEURON):
            block = self._block(place)
            finite = np.isfinite(block).all(axis=0)
            inner = [
                [self._with(block, *each) for each in zip(half, known, strict=True)]
                for half, known in zip(halves, of_sims, strict=True)
            ]
            sums = [one[0] if len(one) == 1 else one[0].with_more(one[1], of) for one, of in zip(inner, whole, strict=True)]
            on = [one.correlations() for one in sums]
            for choose, test in ((0, 1), (1, 0)):
                way = 2 * split + choose
                numbers = reached(on[test], on[choose], chosen[way, place], chosen[way])
                ridge = ridge_of_sums(inner[choose], sums[choose], sums[test])
                yield way, place, numbers | {"ridge": np.where(finite, ridge, np.nan)}

    def _shares(self, place: slice, label: np.ndarray, chosen: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of a block of neurons: in_sample (n,), and each patient's influence (n_patients, n) summed over the ways."""
        block, label, chosen = self._block(place), label[place], chosen[:, place]
        concepts = np.unique(np.concatenate([label, chosen.ravel()]))
        concepts = concepts[concepts >= 0]
        sims = np.empty((len(concepts), len(block)), dtype=np.float32)
        for rows in self._images(len(concepts)):
            sims[:, rows] = self.sims.rows(rows)[:, concepts].T
        in_sample, named = np.full(len(label), np.nan), np.flatnonzero(label >= 0)
        for neuron in named:
            z = [standardised(x.astype(np.float64)) for x in (block[:, neuron], sims[np.searchsorted(concepts, label[neuron])])]
            in_sample[neuron] = np.clip((z[0] * z[1]).mean(), -1, 1)
        shares = np.zeros((self.halves.n_patients, len(label)))
        for (_, test), its, own in zip(self.halves.both_ways, chosen, r[:, place], strict=True):
            known = np.flatnonzero(np.isfinite(own))
            if len(known):
                columns = np.searchsorted(concepts, its[known])
                of_test = sims[columns][:, test].T.astype(np.float64)
                patient = self.halves.patient[test]
                each = block[test][:, known].astype(np.float64), of_test, np.arange(len(known)), own[known]
                shares[:, known] += influence(*each, patient, self.halves.n_patients)
        return in_sample, shares

    def _sims_of(self, images: np.ndarray) -> SimsSums:
        return _added(SimsSums.of(self.sims.rows(images[rows])) for rows in self._images(0, len(images)))

    def _with(self, block: np.ndarray, images: np.ndarray, sims: SimsSums) -> LayerSums:
        """The sums of a block of neurons over some images."""
        mean = block[images].mean(axis=0, dtype=np.float64)
        squares, size, products = np.zeros(len(mean)), np.zeros(len(mean)), np.zeros((len(sims.mean), len(mean)))
        for rows in self._images(len(mean), len(images)):
            activations = block[images[rows]].astype(np.float64)
            np.maximum(size, np.abs(activations).max(axis=0), out=size)
            activations -= mean
            squares += np.square(activations).sum(axis=0)
            products += (self.sims.rows(images[rows]) - sims.mean).T @ activations
        return LayerSums(sims, mean, squares, size, products)

    def _neurons(self, bytes_of_image: int) -> Iterator[slice]:
        """Blocks of neurons, each of which takes so many bytes an image."""
        n_images, n_neurons = self.activations.shape
        width = max(1, self.memory // 4 // (bytes_of_image * n_images))
        return (slice(start, min(start + width, n_neurons)) for start in range(0, n_neurons, width))

    def _images(self, more: int, n_images: int | None = None) -> Iterator[slice]:
        """Blocks of images, with similarities to all concepts and so many other columns."""
        n_images = len(self.activations) if n_images is None else n_images
        size = max(FEWEST_ROWS, self.memory // 8 // (40 * (self.sims.n_concepts + more)))
        return (slice(start, min(start + size, n_images)) for start in range(0, n_images, size))

    def _block(self, place: slice) -> np.ndarray:
        """Activations of a block of neurons (n_images, n), NaN where they are not finite."""
        block = Rows(self.activations).columns(np.arange(place.start, place.stop), FEWEST_ROWS)
        block[~np.isfinite(block)] = np.nan
        return block

    def _parts(self, half: np.ndarray) -> list[np.ndarray]:
        """The images of a half in two parts, as `ridge_correlations` parts them; one where it has a single patient."""
        patient = self.halves.patient[half]
        first = np.isin(patient, np.unique(patient)[::2])
        return [part for part in (half[first], half[~first]) if len(part)]


def _added(sums: Iterator[SimsSums]) -> SimsSums:
    total = next(sums)
    for one in sums:
        total = total + one
    return total
