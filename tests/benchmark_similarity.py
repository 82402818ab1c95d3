"""How fast soft_wpmi is, beside the method written down literally: `python tests/benchmark_similarity.py`.

4,096 images, 763 concepts (the published set), 2,048 neurons (the last layer of EfficientNet-B5), on the processor. Both ways
run in turn, so that a busy machine slows both; the extra peak memory of each is measured in a process of its own.
"""

import multiprocessing
import re
import resource
import statistics
import time
from pathlib import Path

import torch
from bench_tables import Goal, pick, write_bench
from torch import Tensor

from mdissect.similarity import soft_wpmi

N_IMAGES, N_CONCEPTS, N_NEURONS, TOP_K = pick((512, 96, 256, 100), (4096, 763, 2048, 100))
REPEATS = pick(2, 7)
LEAST_RATIO, MOST_MEGABYTES = 1.5, 500


def literal_soft_wpmi(image_concept_sims: Tensor, activations: Tensor) -> Tensor:
    """Equation 1, one neuron after the other."""
    p = torch.softmax(10 * image_concept_sims, dim=1)
    weights = (0.998 - torch.arange(TOP_K) / TOP_K * (0.998 - 0.97))[:, None]
    likelihood = torch.empty(activations.shape[1], p.shape[1])
    for neuron in range(activations.shape[1]):
        strongest = activations[:, neuron].topk(TOP_K).indices
        likelihood[neuron] = torch.log(1 + weights * (p[strongest] - 1) + 1e-7).sum(dim=0)
    return likelihood - (torch.logsumexp(likelihood, dim=0) - torch.log(torch.tensor(float(len(likelihood)))))


WAYS = {"soft_wpmi": lambda sims, activations: soft_wpmi(sims, activations, TOP_K), "literal loop": literal_soft_wpmi}


def inputs() -> tuple[Tensor, Tensor]:
    """Similarities as of a dissector; activations without ties, so that there is one right answer."""
    generator = torch.Generator().manual_seed(0)
    sims = 0.1 * torch.randn(N_IMAGES, N_CONCEPTS, generator=generator)
    activations = torch.empty(N_IMAGES, N_NEURONS)
    for neuron in range(N_NEURONS):
        activations[:, neuron] = torch.randperm(N_IMAGES, generator=generator)
    return sims, activations


def seconds() -> tuple[dict[str, list[float]], float]:
    """How long each way took in each of its turns, and by how much the results differ at most."""
    data, times, results = inputs(), {name: [] for name in WAYS}, {}
    for turn in range(REPEATS + 1):
        for name, way in WAYS.items():
            started = time.perf_counter()
            results[name] = way(*data)
            if turn:  # the first one warms up
                times[name].append(time.perf_counter() - started)
    return times, float((results["soft_wpmi"] - results["literal loop"]).abs().max())


def extra_megabytes(name: str) -> float:
    """By how much a way raises the peak memory of a process that holds its inputs."""
    data = inputs()
    before = peak_megabytes()
    WAYS[name](*data)
    return peak_megabytes() - before


def peak_megabytes() -> float:
    """The most memory that this process has held so far."""
    if (status := Path("/proc/self/status")).exists():  # on Linux, getrusage counts the parent's memory too
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def main() -> None:
    times, difference = seconds()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        megabytes = {name: pool.apply(extra_megabytes, (name,)) for name in WAYS}
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        {"way": name, "median s": medians[name], "least s": min(all_), "most s": max(all_), "MB": megabytes[name]}
        for name, all_ in times.items()
    ]
    page = write_bench(
        "similarity",
        {"SoftWPMI": rows},
        about=f"""soft_wpmi and a literal loop over neurons in turn, on the processor: {N_IMAGES:,} images, {N_CONCEPTS}
        concepts, {N_NEURONS:,} neurons, top {TOP_K}; {REPEATS} turns each; MB is the extra peak memory, each in a process of
        its own. The results differ by {difference:.0e} at most.""",
        goals=[
            Goal("times as fast as the loop", medians["literal loop"] / medians["soft_wpmi"], least=LEAST_RATIO),
            Goal("MB of soft_wpmi", megabytes["soft_wpmi"], most=MOST_MEGABYTES),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    main()
