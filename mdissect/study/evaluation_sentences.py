"""How good a dissector is, in sentences: tables in, Markdown out; every number comes from the tables."""

import pandas as pd

from mdissect.arguments import table_with
from mdissect.evaluate.result import WORDS, value_in_words
from mdissect.evaluate.zero_shot import BARE
from mdissect.signatures import validated
from mdissect.study.sentences import bullets, percent

SCORED = table_with(
    *("part", "task", "prompts", "fraction", "metric", "value", "low", "high", "chance", "n", "patients", "training_patients"),
    made_by="evaluate.evaluate_dissector(...).table",
)
COMPARED = table_with(
    *("dataset", "part", "task", "fraction", "metric", "published", "source", "ours", "low", "high", "note"),
    made_by="evaluate.against_published(...)",
)
LEARNT = ("linear probe", "fine-tune")


@validated(table=SCORED)
def zero_shot_in_words(table: pd.DataFrame, model: str, most: int = 4) -> str:
    """What a model tells from texts alone: the means, the best and the worst findings, and what chance reaches."""
    rows = table[(table.part == "zero-shot") & (table.metric == "auc") & (table.prompts == BARE)]
    if rows.empty:
        return f"Nothing was told from texts alone by {model}."
    means, findings = rows[rows.task.str.startswith("mean of")], rows[~rows.task.str.startswith("mean of")]
    said = [f"{row.task}: **{row.value:.3f}** ({row.low:.3f} to {row.high:.3f})" for row in means.itertuples()]
    ordered = findings.sort_values("value", ascending=False, kind="stable")
    best, worst = ordered.head(most), ordered.iloc[most:].tail(most)
    above = int((findings.low > 0.5).sum())
    lines = [*said, f"best: {_listed(best)}", *([f"worst: {_listed(worst)}"] if len(worst) else [])]
    return (
        f"Told from texts alone by {model} (zero-shot AUC, 95 % interval over patients; 0.5 is chance): **{above} of "
        f"{len(findings)}** findings have an interval above chance.\n\n{bullets(lines)}"
    )


@validated(table=SCORED)
def ensembles_in_words(table: pd.DataFrame) -> str:
    """What sentences around the texts change: the mean zero-shot AUC over the findings, by ensemble."""
    rows = table[(table.part == "zero-shot") & (table.metric == "auc") & ~table.task.str.startswith("mean of")]
    means = rows.groupby("prompts", sort=False).value.mean()
    if BARE not in means or len(means) < 2:
        return "Only one wording of the texts was evaluated."
    wide = rows.pivot(index="task", columns="prompts", values="value")
    lines = [
        f"{name}: {mean - means[BARE]:+.3f}, better for {int((wide[name] > wide[BARE]).sum())} of {len(wide)} findings"
        for name, mean in means.drop(BARE).items()
    ]
    return f"Bare phrases reach a mean AUC of **{means[BARE]:.3f}**; sentences change it:\n\n{bullets(lines)}"


@validated(table=SCORED)
def retrieval_in_words(table: pd.DataFrame) -> str:
    """How often the own report is found among all, and the own image, with what chance reaches."""
    rows = table[table.part == "retrieval"]
    if rows.empty:
        return "No reports were retrieved: the images have none."
    lines = []
    for task, of_task in rows.groupby("task", sort=False):
        said = [f"{row.metric} **{row.value:.3f}** ({row.low:.3f} to {row.high:.3f})" for row in of_task.itertuples()]
        lines.append(f"{task}: {', '.join(said)}; chance {', '.join(f'{one:.3f}' for one in of_task.chance)}")
    first = rows.iloc[0]
    return f"Among {first.n} images of {first.patients} patients with a report each:\n\n{bullets(lines)}"


@validated(table=SCORED, metric=tuple(WORDS))
def efficiency_in_words(table: pd.DataFrame, metric: str = "auc") -> str:
    """What the image tower reaches with few labels, and how much of the gain the smallest share already gives."""
    rows = table[table.part.isin(LEARNT) & (table.metric == metric)]
    if rows.empty:
        return "Nothing was learnt from labels."
    lines = []
    for (task, part), of_task in rows.groupby(["task", "part"], sort=False):
        of_task = of_task.sort_values("fraction")
        said = [
            f"{100 * row.fraction:g} % ({row.training_patients} patients) **{row.value:.3f}** ({row.low:.3f} to {row.high:.3f})"
            for row in of_task.itertuples()
        ]
        least, most = of_task.iloc[0], of_task.iloc[-1]
        gain, whole = least.value - least.chance, most.value - most.chance
        few = f"{100 * least.fraction:g} %"
        kept = f"; {percent(gain / whole)} of the gain with {few}" if gain > 0 else f"; no gain with {few}"
        kept = kept if whole > 0 and len(of_task) > 1 else ""
        lines.append(f"{task}, {part}: {', '.join(said)}{kept}")
    return (
        f"{WORDS[metric]} on patients of the test, by the share of the training patients (95 % interval over the test's "
        f"patients; gain: above what is reached without looking):\n\n{bullets(lines)}"
    )


@validated(table=COMPARED)
def published_in_words(table: pd.DataFrame) -> str:
    """How many published numbers lie in our intervals, and for how many there is only room."""
    both = table[table.published.notna() & table.ours.notna() & (table.note == "")]
    room = int(table.published.isna().sum())
    inside = int(((both.low <= both.published) & (both.published <= both.high)).sum())
    said = f"{room} numbers of the papers are not given here: the table has room for them."
    if both.empty:
        return f"No score of ours can be compared with a published one (other images, or not evaluated). {said}"
    lines = [
        f"{row.task}, {row.part}: published {row.published:.3f}, ours {row.ours:.3f} ({row.low:.3f} to {row.high:.3f}); "
        f"{row.source}"
        for row in both.itertuples()
    ]
    return f"**{inside} of {len(both)}** published numbers lie within our intervals. {said}\n\n{bullets(lines)}"


def _listed(rows: pd.DataFrame) -> str:
    return "; ".join(f"{row.task}, {value_in_words(row)}" for _, row in rows.iterrows())
