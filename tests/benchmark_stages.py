"""Where the time goes: ``python tests/benchmark_stages.py``, or ``make bench ONLY=stages``.

Random-weight Mammo-CLIP B5 on PNG files of 1520 x 912 (quick: 380 x 228). Each stage is timed by itself, on the same images, in
a fresh process; the floors of the machine (its matrix product and its memory) in another; and the scores against the numbers of
images N, neurons K and concepts M in one for each point, so that each has its own peak of memory. On a machine with a GPU, the
network and the scores run there.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from bench_tables import Goal, fresh, pick, write_bench
from PIL import Image

TOP_K, N_NULL = 100, 1000
SIZE, FILES = pick((380, 228), (1520, 912)), pick(3, 6)
MIDDLE = pick({"N": 512, "K": 128, "M": 96}, {"N": 4096, "K": 2048, "M": 763})
STEPS = pick((1, 2), (0.25, 1, 2))
RULES = ("soft_wpmi", "calibrate")
SQUARE, MEGABYTES = pick(512, 4096), pick(64, 1024)  # of the matrix product and of the copy
LEAST_OF_FLOOR = 3  # times the floor that soft_wpmi may take, on a GPU


def on() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def taken(run: Callable[[], object], repeats: int = 5) -> float:
    """The median of seconds, after one run that warms up."""
    found = []
    for turn in range(repeats + 1):
        started = time.perf_counter()
        run()
        if on().type == "cuda":
            torch.cuda.synchronize()
        if turn:
            found.append(time.perf_counter() - started)
    return statistics.median(found)


def floors() -> dict[str, float]:
    """What the machine reaches at the most: operations and bytes a second, in float32."""
    a = torch.randn(SQUARE, SQUARE, device=on())
    x = torch.randn(MEGABYTES * 2**18, device=on())
    y = torch.empty_like(x)
    return {"flops": 2 * SQUARE**3 / taken(lambda: a @ a), "bandwidth": 8 * x.numel() / taken(lambda: y.copy_(x))}


def write_images(folder: Path) -> None:
    """Smooth grey fields as PNG files."""
    rng = np.random.default_rng(0)
    for i in range(FILES):
        rough = Image.fromarray(rng.integers(0, 255, (SIZE[0] // 16, SIZE[1] // 16), dtype=np.uint8))
        rough.resize(SIZE[::-1]).save(folder / f"{i:03}.png")


class Maps(torch.nn.Module):
    """Hands maps on, so that recording them costs what pooling costs."""

    def __init__(self, maps: list[torch.Tensor]):
        super().__init__()
        self.maps = maps
        for i in range(len(maps)):
            self.add_module(f"layer{i}", torch.nn.Identity())

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return [getattr(self, f"layer{i}")(one) for i, one in enumerate(self.maps)][-1]


@torch.inference_mode()
def stages(folder: Path) -> dict[str, float]:
    """Seconds an image of each stage of a pass, and the network's multiplications and additions an image."""
    from torch.utils.flop_counter import FlopCounterMode

    from mdissect.hardware import kept_memory
    from mdissect.hooks import record
    from mdissect.models.efficientnet import VARIANTS
    from mdissect.models.mammo_clip import PREPROCESS
    from mdissect.preprocess import Preprocess
    from mdissect.probes import load_probe
    from mdissect.store import CHUNK_ROWS, open_store

    probe, device = load_probe("folder", path=folder), on()
    preprocess = Preprocess(size=SIZE, scale=PREPROCESS.scale, mean=PREPROCESS.mean, std=PREPROCESS.std)
    tower, layers = folded_tower(), VARIANTS["b5"].default_layers
    images = [probe[i] for i in range(FILES)]
    batch = preprocess(images[0])[None].to(device).contiguous(memory_format=torch.channels_last)
    found = {
        "decode": taken(lambda: [probe[i] for i in range(FILES)], 3) / FILES,
        "decode alone": taken(lambda: [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))], 3) / FILES,
        "prepare": taken(lambda: [preprocess(image) for image in images], 3) / FILES,
    }
    with kept_memory(device):
        found["forward"] = taken(lambda: tower(batch), pick(1, 4))
        maps = outputs(tower, layers, batch)
        holder, names = Maps(maps), [f"layer{i}" for i in range(len(maps))]
        axes = dict.fromkeys(names, "NCHW")
        with record(holder, names, axes=axes) as recorded:
            found["pool"] = taken(lambda: holder(batch))
        rows = torch.cat([recorded[name] for name in names], dim=1).cpu().numpy()
    with tempfile.TemporaryDirectory() as store, FlopCounterMode(display=False) as counted:
        chunk = np.repeat(rows, CHUNK_ROWS, axis=0) + np.random.default_rng(0).normal(size=(CHUNK_ROWS, 1)).astype(np.float32)
        entry = iter([open_store(store).entry({"kind": "bench", "turn": turn}, CHUNK_ROWS) for turn in range(4)])
        found["write"] = taken(lambda: next(entry).write(0, chunk), 3) / CHUNK_ROWS
        tower(batch)
    return found | {"neurons": rows.shape[1], "operations": counted.get_total_flops()}


def folded_tower() -> torch.nn.Module:
    """Mammo-CLIP's B5 with random weights, as a pass runs it."""
    from mdissect.folding import folded
    from mdissect.models.efficientnet import VARIANTS, build_tower

    torch.manual_seed(0)
    tower = build_tower(VARIANTS["b5"]).eval().to(on(), memory_format=torch.channels_last)
    for part in tower.modules():
        if getattr(part, "running_mean", None) is not None:
            torch.nn.init.uniform_(part.running_var, 0.5, 2)
            torch.nn.init.normal_(part.running_mean, 0, 0.1)
    shown = torch.rand(1, 3, 64, 64, device=on())
    return folded(tower, lambda network: network(shown), VARIANTS["b5"].default_layers) or tower


def outputs(tower: torch.nn.Module, layers: tuple[str, ...], batch: torch.Tensor) -> list[torch.Tensor]:
    """The maps that the layers give for a batch."""
    maps, modules = [], dict(tower.named_modules())
    hooks = [modules[layer].register_forward_hook(lambda *given: maps.append(given[2])) for layer in layers]
    tower(batch)
    for hook in hooks:
        hook.remove()
    return maps


def score(rule: str, n_images: int, n_neurons: int, n_concepts: int) -> dict[str, float]:
    """Seconds of a rule, and the memory that it takes on top of its inputs."""
    from mdissect.calibrate import calibrate
    from mdissect.similarity import soft_wpmi

    generator = torch.Generator().manual_seed(0)
    sims = (0.1 * torch.randn(n_images, n_concepts, generator=generator)).to(on())
    activations = torch.randn(n_images, n_neurons, generator=generator).to(on())
    top_k = min(TOP_K, n_images // 4)
    run = {
        "soft_wpmi": lambda: soft_wpmi(sims, activations, top_k),
        "calibrate": lambda: calibrate(sims, activations, top_k, n_null=N_NULL),
    }[rule]
    before, started = peak_megabytes(), time.perf_counter()
    run()
    first, megabytes = time.perf_counter() - started, peak_megabytes() - before
    return {"seconds": taken(run, 3) if first < 2 else first, "megabytes": megabytes}


def peak_megabytes() -> float:
    """The most memory used so far: of the GPU where there is one."""
    if on().type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def traffic(n_images: int, n_neurons: int, n_concepts: int) -> float:
    """The bytes that soft_wpmi moves at the least: see its docstring."""
    top_k = min(TOP_K, n_images // 4)
    return 4 * n_neurons * top_k * n_concepts + 4 * n_images * (n_neurons + 2 * n_concepts) + 28 * n_neurons * n_concepts


def stage_rows(found: dict[str, float], machine: dict[str, float], scored: float) -> list[dict]:
    """A row for each stage; its floor where there is one."""
    seconds = {name: found[name] for name in ("decode", "prepare", "forward", "pool", "write")}
    seconds["score"] = scored / MIDDLE["N"]
    floor = {
        "decode": found["decode alone"],
        "forward": found["operations"] / machine["flops"],
        "score": traffic(*MIDDLE.values()) / machine["bandwidth"] / MIDDLE["N"],
    }
    whole = sum(seconds.values())
    return [
        {
            "stage": name,
            "ms an image": 1000 * one,
            "images a second": 1 / one,
            "share": one / whole,
            "times its floor": one / floor[name] if name in floor else None,
        }
        for name, one in seconds.items()
    ]


def growth_rows() -> list[dict]:
    """A row for each rule and point: N, K and M varied one at a time about the middle."""
    points = {tuple(MIDDLE.values()): "all"}
    for name in MIDDLE:
        points |= {tuple(int(v * (s if n == name else 1)) for n, v in MIDDLE.items()): name for s in STEPS if s != 1}
    return [
        {"rule": rule, "varied": varied, "N": n, "K": k, "M": m, **fresh(["score", rule, n, k, m])}
        for rule in RULES
        for (n, k, m), varied in sorted(points.items())
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder))
        machine, found, growth = fresh(["floors"]), fresh(["stages", folder]), growth_rows()
    scored = next(row["seconds"] for row in growth if row["rule"] == "soft_wpmi" and row["varied"] == "all")
    rows = stage_rows(found, machine, scored)
    of_floor = rows[-1]["times its floor"]
    write_bench(
        "stages",
        {
            "By stage": rows,
            "The machine": [
                {"what": "matrix product, float32, operations a second", "value": machine["flops"]},
                {"what": "copy in memory, bytes a second", "value": machine["bandwidth"]},
                {"what": "operations of the network an image", "value": found["operations"]},
                {"what": "neurons recorded an image", "value": found["neurons"]},
            ],
            "Against N, K and M": growth,
        },
        about=f"""Random-weight Mammo-CLIP B5, batch norms folded, PNG files of {SIZE[0]} x {SIZE[1]}, one image at a time;
        scores of {MIDDLE["N"]:,} images, {MIDDLE["K"]:,} neurons, {MIDDLE["M"]} concepts, top {TOP_K}. Floors: decoding by
        Pillow alone, the operations at the speed of a matrix product, the memory traffic worked out in soft_wpmi's docstring.
        Medians; each part and point in a fresh process; calibrate with {N_NULL:,} random rankings.""",
        goals=[Goal("soft_wpmi over its memory floor", of_floor, most=LEAST_OF_FLOOR)] if on().type == "cuda" else [],
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        part, *given = sys.argv[1:]
        if part == "score":
            print(json.dumps(score(given[0], *map(int, given[1:]))))
        else:
            print(json.dumps(floors() if part == "floors" else stages(Path(given[0]))))
