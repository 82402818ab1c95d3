"""Speed and memory in sentences: the tables of `make bench` in, Markdown out."""

from collections.abc import Mapping

import pandas as pd

from mdissect.store import CHUNK_ROWS
from mdissect.study.sentences import bullets, percent
from mdissect.study.speed import STAGES, Bench, goals

BUSY = 0.7  # load per core, from which on a machine was busy with other work
SLOWEST = 2  # stages that are named
WORTH = 0.01  # of the time: a stage below it is not named
SLOW = 2  # times the floor, from which on a stage has room


def device(bench: Bench) -> str:
    """The machine, in a sentence; it says where no GPU ran and where other work did."""
    one = bench.device
    gpu = one["gpu"] or "no GPU"
    words = f"{one['processor']} ({one['instructions']}), {one['threads']} of {one['cores']} cores, {gpu}, torch {one['torch']}"
    busy = f"; the machine was busy (load average {one['load']:g})" if one["load"] > BUSY * one["cores"] else ""
    quick = "; quick sizes, for trying only" if bench.size != "full" else ""
    return f"Measured on {words}{busy}{quick}."


def in_short(found: Mapping[str, Bench]) -> str:
    """The answer: what a pass costs, what most of it is, and how many goals are met."""
    bench, stages = found[STAGES], _stages(found[STAGES])
    whole, first = stages["ms an image"].sum() / 1000, stages.iloc[stages["ms an image"].argmax()]
    lines = [
        f"**In short.** An image takes {_time(whole)} on this machine, **{percent(first.share)}** of it in the stage "
        f"*{first.stage}*."
    ]
    if "pass" in found:
        ways = next(iter(found["pass"].tables.values())).set_index("way").times
        named = [
            f"{times:.1f} times as fast in {_precision(way)}" for way, times in ways.items() if way in ("mdissect", "bf16")
        ]
        lines.append(f"Beside the published pipeline, the pass is {' and '.join(named)}.")
    every = goals(found)
    if len(every):
        missed = every[~every.met.astype(bool)]
        named = f" Missed: {'; '.join(f'{row.what} ({row.found:.3g}, {row.goal})' for row in missed.itertuples())}."
        lines.append(f"**{len(every) - len(missed)} of {len(every)}** goals are met.{named if len(missed) else ''}")
    return f"{' '.join(lines)} {device(bench)}"


def by_stage(bench: Bench) -> str:
    """Which stages take the time, and how far each is from what the machine reaches."""
    stages = _stages(bench)
    slowest = stages.sort_values("ms an image", ascending=False).head(SLOWEST)
    slowest = slowest[slowest.share >= WORTH]
    named = [
        f"*{row.stage}* {percent(row.share)} ({_time(row['ms an image'] / 1000)} an image)" for _, row in slowest.iterrows()
    ]
    lines = [f"Most of the time goes to {' and '.join(named)}."]
    known = stages.dropna(subset="times its floor").set_index("stage")["times its floor"]
    lines.append(
        f"Beside their floors on the same machine: {', '.join(f'{name} {times:.1f} times' for name, times in known.items())}."
    )
    room = [name for name, times in known.items() if times > SLOW]
    lines.append(f"Room is left in {' and '.join(room)}." if room else f"No stage takes more than {SLOW} times its floor.")
    return " ".join(lines)


def growth(bench: Bench) -> str:
    """By how much time and memory grow when a number doubles, for each rule."""
    table, lines = bench.tables["Against N, K and M"], []
    for rule, rows in table.groupby("rule", sort=False):
        middle = rows[rows.varied == "all"].iloc[0]
        parts = []
        for name in "NKM":
            most = rows[rows.varied == name].sort_values(name).iloc[-1]
            factor = most[name] / middle[name]
            parts.append(
                f"{factor:g} times {name}: {most.seconds / middle.seconds:.1f} times the time, "
                f"{most.megabytes / max(middle.megabytes, 1):.1f} times the memory"
            )
        lines.append(
            f"{rule}, {middle.N:,} images, {middle.K:,} neurons, {middle.M:,} concepts: {_time(middle.seconds)}, "
            f"{middle.megabytes:,.0f} MB beside its inputs; {'; '.join(parts)}"
        )
    return bullets(lines)


def costs_in_words(table: pd.DataFrame, gpu_rate: float, bench: Bench) -> str:
    """What `speed.costs` works out, and which of it was measured."""
    lines = []
    for _, row in table.iterrows():
        counts = [name.split("_")[1] for name in row.index if name.startswith("gpu_")]
        named = [
            f"{_hours(row[f'gpu_{n}_h'])} on {n} GPU{'s' * (n != '1')} ({row[f'cores_{n}']:.0f} cores decode)" for n in counts
        ]
        lines.append(
            f"{row['data set']}, {row.images:,} images: {_hours(row.here_h)} here; {', '.join(named)}; {row.stored_gb:,.1f} GB "
            "stored"
        )
    gpu = f"{bench.device['gpu']} ran the stages, but" if bench.device["gpu"] else "no GPU ran;"
    return (
        f"{bullets(lines)}\n\nHere: the stages' sum times the number of images. On GPUs **not measured** ({gpu} {gpu_rate:g} "
        "images a second and GPU are stated): images / (GPUs x rate)."
    )


def plan(table: pd.DataFrame, neurons: float) -> str:
    """How the largest data set is dissected: the steps, with what each needs."""
    last = table.sort_values("images").iloc[-1]
    count = max(int(name.split("_")[1]) for name in table if name.startswith("gpu_"))
    lines = [
        "A random sample of patients first: notebook 06 measures label stability, and how many labels of planted neurons are "
        "correct by the number of images",
        "Prepare once: `python -m mdissect prepare` decodes each DICOM file, in parallel, and resumes after an interruption",
        f"One pass for all networks: each image is decoded once; activations of {neurons:,.0f} neurons an image come to "
        f"{last.stored_gb:,.0f} GB in the store, in chunks of {CHUNK_ROWS} images: an interruption costs the chunk in hand",
        f"On a cluster: {count} GPUs take {_hours(last[f'gpu_{count}_h'])} at the stated rate and need "
        f"{last[f'cores_{count}']:,.0f} cores that decode; a shared file system holds the store",
        "Label by streaming: soft_wpmi keeps the strongest images of each neuron as it goes; rules of the whole probe read the "
        "store in blocks of neurons, so that memory does not grow with the number of images",
    ]
    return f"{last['data set']}, {last.images:,} images:\n\n" + "\n".join(f"{i}. {line}." for i, line in enumerate(lines, 1))


def tables(bench: Bench) -> str:
    """A benchmark as it was written: how it was measured, its tables, the device."""
    parts = [bench.about]
    for title, table in bench.tables.items():
        rows = [list(table), ["---"] * len(table.columns), *table.map(_number).to_numpy().tolist()]
        parts.append(f"*{title}*\n\n" + "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows))
    return f"### {bench.name.replace('_', ' ')}\n\n" + "\n\n".join([*parts, device(bench)])


def _stages(bench: Bench) -> pd.DataFrame:
    return bench.tables["By stage"]


def _precision(way: str) -> str:
    return "float32" if way == "mdissect" else way


def _number(value: object) -> str:
    """As a reader takes it in."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 100 or value == 0 else f"{value:.3g}"


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _hours(hours: float) -> str:
    """Hours, or days from four on; minutes, or seconds, below one."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 96 else f"{hours / 24:,.0f} days"
