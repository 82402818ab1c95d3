"""How much faster a target runs with channels-last memory order: ``python tests/benchmark_channels_last.py [timm name]``."""

import statistics
import sys
import time

import timm
import torch

REPEATS, BATCH, SIZE = 5, 4, (456, 456)


@torch.inference_mode()
def seconds(model: torch.nn.Module, batch: torch.Tensor) -> float:
    started = time.perf_counter()
    model(batch)
    return time.perf_counter() - started


def main(name: str = "efficientnet_b5") -> None:
    batch = torch.randn(BATCH, 3, *SIZE)
    orders = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    models = {order: timm.create_model(name).eval().to(memory_format=layout) for order, layout in orders.items()}
    batches = {order: batch.contiguous(memory_format=layout) for order, layout in orders.items()}
    times = {order: [] for order in orders}
    for repeat in range(REPEATS + 1):  # the first one warms up
        for order in orders:
            taken = seconds(models[order], batches[order])
            if repeat:
                times[order].append(taken)
    medians = {order: statistics.median(taken) for order, taken in times.items()}
    print(f"| {name}, {BATCH} x {SIZE[0]} x {SIZE[1]}, {torch.get_num_threads()} threads | seconds | ratio |\n|---|---|---|")
    for order, median in medians.items():
        print(f"| {order} | {median:.2f} | {medians['contiguous'] / median:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
