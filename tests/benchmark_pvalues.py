"""Whether p-values are valid, and what they find: `python tests/benchmark_pvalues.py` prints benchmark_pvalues.md.

Each number is a mean over seeds with its standard error. Probes, noise and planted neurons are those of `clustered` and
`mdissect.trust.planted`. One choice was made after a look at seeds 1000 to 1015, and on seeds 2000 to 2009: that patients
differ by the cube of a normal number in random rankings.
"""

import sys
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from clustered import FOURS, KINDS, UNEQUAL, neurons_of, probe_of
from scipy.stats import norm

from mdissect.calibrate import auto_top_k, calibrate, judge_neurons, q_values
from mdissect.chance import TIE, random_rankings
from mdissect.metrics import auc_interval
from mdissect.trust.planted import NOISE, plant

SEEDS = range(1000, 1016)
ICCS = (0.0, 0.3, 0.6, 0.9)
TOP_K = 40


def summary(rows: list[list[float]], digits: int = 3) -> str:
    """Cells of a row of Markdown: mean and standard error of each column."""
    found = np.array(rows, dtype=float)
    spread = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    cells = zip(found.mean(axis=0), spread, strict=True)
    return " | ".join(f"{mean:.{digits}f} +- {error:.{digits}f}" for mean, error in cells)


def independent_images() -> Iterator[str]:
    yield "| images, top_k | p <= .05 | p <= .01 | p <= .001 | named at q = .05 |\n|---|---|---|---|---|"
    for n_images, top_k in ((60, 10), (200, 20), (600, 40), (600, "auto")):
        rows = []
        for seed in SEEDS:
            sims, noise = (
                plant(n_images=n_images, n_neurons=4, seed=seed).image_concept_sims,
                torch.randn(n_images, 1000, generator=torch.Generator().manual_seed(seed)),
            )
            p = calibrate(sims, noise, top_k, seed=seed).p
            rows.append([(p <= a).mean() for a in (0.05, 0.01, 0.001)] + [(q_values(p.to_numpy()) <= 0.05).mean()])
        yield f"| {n_images}, {top_k} | {summary(rows, 4)} |"


def several_top_k() -> Iterator[str]:
    """Share at the smallest p that is possible without the bound, and power, beside the smallest p over top_k (as before)."""
    yield "| way | p <= 1/301 (.0033) | p <= 1/1001 (.0010) | SNR 0.75 | SNR 1 | rare 1.5 %, SNR 2 |\n|---|---|---|---|---|---|"
    rows = {"now": [], "smallest p": []}
    for seed in SEEDS:
        found = {way: [] for way in rows}
        for n_null in (300, 1000):
            sims = plant(n_neurons=4, seed=seed).image_concept_sims
            noise = torch.randn(600, 1000, generator=torch.Generator().manual_seed(seed))
            for way, p in both_ways(sims, noise, n_null, seed).items():
                found[way].append((p <= 1 / (1 + n_null) + 1e-9).mean())
        for snr, prevalence in ((0.75, 0.08), (1, 0.08), (2, 0.015)):
            planted = plant(snr, prevalence=prevalence, seed=seed)
            for way, p in both_ways(planted.image_concept_sims, planted.activations, 1000, seed).items():
                found[way].append((q_values(p) <= 0.05)[planted.kinds != NOISE].mean())
        for way in rows:
            rows[way].append(found[way])
    for way, each in rows.items():
        yield f"| {way} | {summary(each, 4)} |"


def both_ways(sims: torch.Tensor, activations: torch.Tensor, n_null: int, seed: int) -> dict[str, np.ndarray]:
    nulls = [random_rankings(sims, k, n_null, seed) for k in auto_top_k(len(sims))]
    now = judge_neurons(sims, activations, nulls).p.to_numpy()
    statistic = torch.stack([null.evidence(null.likelihood(sims, activations)).amax(dim=1) for null in nulls], dim=1)
    maxima = torch.stack([null.maxima for null in nulls], dim=1)
    own, of_null = (
        torch.stack([share_reaching(maxima[:, j], x[:, j]) for j in range(len(nulls))], dim=1).amin(dim=1)
        for x in (statistic, maxima)
    )
    return {"now": now, "smallest p": ((1 + (of_null[None] <= own[:, None] + 1e-9).sum(dim=1)) / (1 + n_null)).numpy()}


def share_reaching(null: torch.Tensor, statistic: torch.Tensor) -> torch.Tensor:
    return (1 + (null[None] >= statistic[:, None] - TIE).sum(dim=1)) / (1 + len(null))


def patients() -> Iterator[str]:
    yield "| patients | neurons | icc | p <= .05 | p <= .005 | noise named | planted SNR 1.5 named |"
    yield "|---|---|---|---|---|---|---|"
    for name in FOURS | UNEQUAL:
        for kind in KINDS:
            for icc in ICCS if name in ("150 x 4", "50 x 4") or kind in ("normal", "few patients") else (0.6,):
                rows = [of_patients(name, kind, icc, seed) for seed in SEEDS]
                yield f"| {name} | {kind} | {icc} | {summary(rows)} |"


@cache
def probe_and_null(name: str, seed: int) -> tuple:
    sims, who, presence = probe_of((FOURS | UNEQUAL)[name], seed)
    return sims, who, presence, random_rankings(sims, min(TOP_K, len(who) // 6), seed=seed, patients=who)


def of_patients(name: str, kind: str, icc: float, seed: int, n_neurons: int = 400) -> list[float]:
    """Half of the neurons follow a concept in the last two numbers."""
    sims, who, presence, null = probe_and_null(name, seed)
    follows = np.random.default_rng(seed).integers(0, presence.shape[1], n_neurons)
    real = np.arange(n_neurons) % 2 == 0
    signal = 1.5 * real * presence[:, follows]
    noise, mixed = (neurons_of(who, icc, kind, n_neurons, seed + 1, one) for one in (0.0, signal))
    p = judge_neurons(sims, noise, [null]).p
    named = judge_neurons(sims, mixed, [null]).label.to_numpy() >= 0
    return [(p <= 0.05).mean(), (p <= 0.005).mean(), named[~real].mean(), named[real].mean()]


def few_real_neurons() -> Iterator[str]:
    yield "| 35 of 2,048 neurons follow a concept, SNR 3 | real named | noise named |\n|---|---|---|"
    for name, who in (("600 images", None), ("150 patients x 4", np.repeat(np.arange(150), 4))):
        rows = []
        for seed in SEEDS[:8]:
            planted = plant(3, n_neurons=2048, seed=seed, kinds={"one concept": 35 / 2048, NOISE: 1 - 35 / 2048})
            named = calibrate(planted.image_concept_sims, planted.activations, TOP_K, patients=who).label >= 0
            rows.append([named[planted.kinds != NOISE].mean(), named[planted.kinds == NOISE].mean()])
        yield f"| {name} | {summary(rows, 4)} |"


def bounds() -> Iterator[str]:
    """exp(-E / b) of one concept chosen beforehand (M = 1), as a p-value of noise."""
    yield "| patients | neurons | icc | <= .1 | <= .01 | <= .001 | <= .0001 |\n|---|---|---|---|---|---|---|"
    for name, sizes in (FOURS | UNEQUAL).items():
        for kind, icc in (("normal", 0.0), ("normal", 0.6), ("normal", 1.0), ("few patients", 0.9), ("heavy tails", 0.6)):
            rows = []
            for seed in SEEDS:
                sims, who, _ = probe_of(sizes, seed)
                null = random_rankings(sims, min(TOP_K, len(who) // 6), n_null=1, patients=who)
                noise = neurons_of(who, icc, kind, 1000, seed + 1)
                most = null.clustering(noise).most[:, None]
                bound = (-null.evidence(null.likelihood(sims, noise)) / most).exp()
                rows.append([(bound <= a).double().mean() for a in (0.1, 0.01, 0.001, 0.0001)])
            yield f"| {name} | {kind} | {icc} | {summary(rows, 5)} |"


def report_card_intervals() -> Iterator[str]:
    """How often the truth lies below or above an interval, nominal .025 each."""
    yield "| patients with / without, images each | AUC .5: low > .5 | high < .5 | AUC .8: low > .8 | high < .8 |"
    yield "|---|---|---|---|---|"
    for n_images in (4, 1):
        for present, absent in ((5, 145), (8, 142), (15, 135), (40, 110), (5, 45), (8, 8)):
            rng, counts = np.random.default_rng(1000 + present), []
            who = np.repeat(np.arange(present + absent), n_images)
            for truth in (0.5, 0.8):
                missed = np.zeros(2)
                for _ in range(2000):
                    shows = who < present
                    half = rng.standard_normal(present + absent)[who], rng.standard_normal(len(who))
                    score = np.sqrt(0.5) * (half[0] + half[1]) + shows * norm.ppf(truth) * np.sqrt(2)
                    _, low, high = auc_interval(shows, score, who)
                    missed += low > truth, high < truth
                counts += [f"{share:.3f}" for share in missed / 2000]
            yield f"| {present} / {absent}, {n_images} | {' | '.join(counts)} |"


PARTS = {
    "Noise, independent images": independent_images,
    "Several top_k": several_top_k,
    "Noise and planted neurons of patients": patients,
    "Resolution": few_real_neurons,
    "The bound for one concept": bounds,
    "Intervals of the report card": report_card_intervals,
}


def main(names: list[str]) -> None:
    for name, part in PARTS.items():
        if not names or any(one in name for one in names):
            print(f"\n## {name}\n", flush=True)
            for line in part():
                print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
