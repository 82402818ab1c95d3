"""The notebooks' findings in sentences: tables in, Markdown out; every number comes from the tables."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from mdissect.study.coverage import NOT_KNOWN, SHOWN_BY
from mdissect.study.numbers import of_row, with_interval
from mdissect.study.totals import in_words
from mdissect.wording import percent as percent

Tables = Mapping[str, pd.DataFrame]


def bullets(lines: Sequence[str], nothing: str = "None.") -> str:
    """Lines as a list."""
    return "\n".join(f"- {line}" for line in lines) or nothing


def concept_set(counts: pd.DataFrame) -> str:
    """The size of a concept set, and how much of it one mammogram cannot show (`coverage.concept_counts`)."""
    sizes = counts.groupby("broad_category", sort=False)[["concepts", "needs_more"]].sum()
    said = ", ".join(f"{name} {row.concepts}" for name, row in sizes.iterrows())
    return (
        f"{len(sizes)} broad categories with {len(counts)} categories: {said}; a concept counts in each of its categories. "
        f"One mammogram cannot show **{sizes.needs_more.sum()}** of them."
    )


def tau_above(tau: Tables, base: str) -> str:
    """In how many layers a network's threshold lies above that of each other (`Study.thresholds`)."""
    above = {name: int((tau[base].threshold.to_numpy() > t.threshold.to_numpy()).sum()) for name, t in tau.items()}
    parts = [f"above that of {name} in **{above[name]} of {len(tau[name])}** layers" for name in tau if name != base]
    return f"The threshold of {base} lies {' and '.join(parts)}." if parts else ""


def tau_above_base(tau: Tables, base: str) -> str:
    """In how many layers the threshold of each other network lies above that of one (`Study.thresholds`)."""
    above = {name: int((t.threshold.to_numpy() > tau[base].threshold.to_numpy()).sum()) for name, t in tau.items()}
    parts = [f"**{above[name]} of {len(tau[base])}** layers for {name}" for name in tau if name != base]
    return f"The threshold lies above {base}'s in {', '.join(parts)}." if parts else ""


def last_counts(counts: Tables, group: str, value: str = "concepts") -> str:
    """What each network has in its last layer, by group (`Study.counts`)."""
    last = {name: t[t.layer == t.layer.iloc[-1]].set_index(group)[value] for name, t in counts.items()}
    said = [f"{name} has " + " and ".join(f"**{n:.3g}** {one}" for one, n in t.items()) for name, t in last.items()]
    return f"In the last layer {'; '.join(said)} {value}."


def leading_groups(top: Tables, group: str = "broad_category") -> str:
    """The first group of every layer (`analysis.top_groups`)."""
    first = {name: table.drop_duplicates("layer") for name, table in top.items()}
    words = {name: "; ".join(f"{row.layer} *{getattr(row, group)}*" for row in t.itertuples()) for name, t in first.items()}
    return bullets([f"{name}: {said or 'no label passes in any layer'}" for name, said in words.items()])


def enriched_groups(enriched: Tables, q: float = 0.05) -> str:
    """The groups that a network has more often than the concept set explains (`analysis.enrichment`)."""
    lines = []
    for name, table in enriched.items():
        rows = table[(table.q <= q) & (table.ratio > 1)]
        said = ", ".join(f"*{row.broad_category}* ({row.ratio:.1f} times)" for row in rows.itertuples())
        lines.append(f"{name}: {said or 'no category more often than the concept set explains'}")
    return bullets(lines, "No label passes the shared threshold in a last layer.")


def precision(tables: Tables, top: int = 20) -> str:
    """How often the neurons' top images show their label (`trust.label_precision`)."""
    return bullets(
        [
            f"{name}: {len(table)} neurons of the last layer have a label whose presence is known; their top {top} "
            "images show it "
            f"in **{percent(table.precision.mean())}**, all images in {percent(table.prevalence.mean())}."
            for name, table in tables.items()
            if len(table)
        ]
    )


def lowest_auc(scores: pd.DataFrame) -> str:
    """The lowest AUC of the classifiers (`study.classifier_scores`)."""
    if scores.auc.isna().all():
        return "The classifiers could not be measured on these images."
    worst = scores.loc[scores.auc.idxmin()]
    return f"The lowest AUC is **{worst.auc:.3f}** ({worst.setup}, {worst.task})."


def redundancy_and_tau(redundancy: Tables, tau: Tables, base: str) -> str:
    """Redundancy of the last layers, and its rank correlation with tau over the networks."""
    last = pd.DataFrame(
        {
            "redundancy": {name: table.redundancy.iloc[-1] for name, table in redundancy.items()},
            "tau": {name: tau[name].threshold.iloc[-1] for name in redundancy},
        }
    )
    others = ", ".join(f"{last.redundancy[name]:.2f} in {name}" for name in last.index if name != base)
    return (
        f"In the last layer redundancy is {last.redundancy[base]:.2f} in {base} and {others}; over the {len(last)} "
        "networks its "
        f"rank correlation with tau is **{last.redundancy.corr(last.tau, method='spearman'):.2f}**."
    )


def task_changes(captured: pd.DataFrame, pairs: Mapping[str, tuple[str, str]], value: str = "concepts") -> str:
    """How many more concepts of its task each fine-tuned network has (`coverage.task_counts`)."""
    wide = captured.pivot_table(index=["task", "layer"], columns="setup", values=value, aggfunc="first", sort=False)
    lines = []
    for task, (base, name) in pairs.items():
        said = [f"{layer}: **{row[name] - row[base]:+.3g}**" for (_, layer), row in wide.loc[[task]].iterrows()]
        lines.append(f"{task}, {name} compared with {base}: {', '.join(said)} {value}")
    return bullets(lines)


def unique_by_category(unique: pd.DataFrame, names: Sequence[str], task: str, layer: str) -> str:
    """How many concepts of a task only one of two networks has, by category (`coverage.unique_concepts`)."""
    groups = unique.groupby(["only", "category"], sort=False).size()
    said = [
        f"**{(unique.only == name).sum()}** only in {name}"
        + "".join(f"; {category} {n}" for category, n in (groups[name].items() if name in groups else ()))
        for name in names
    ]
    return f"Concepts of {task} in {layer}: {' — '.join(said)}."


def channel_changes(by_similarity: Tables, by_evidence: Tables) -> str:
    """What fine-tuning did to the channels (`trust.paired_summary`, one layer)."""
    lines = []
    for name, table in by_evidence.items():
        row, score = table.iloc[0], by_similarity[name].iloc[0]
        lines.append(
            f"{name}: similarity changes by **{score.change:+.2f}** per channel (d = {score.effect:+.2f}), evidence by "
            f"**{row.change:+.1f}** nats ({row.low:+.1f} to {row.high:+.1f}; d = {row.effect:+.2f}). "
            f"{percent(row.kept)} of the "
            f"channels keep their label, {percent(row.kept_category)} its category; activations before and after correlate by "
            f"{row.correlation:.2f} (median)."
        )
    return bullets(lines)


def learned_and_missed(name: str, by_category: pd.DataFrame, totals: pd.DataFrame, n_neurons: int) -> str:
    """How much a network learned and missed (`coverage.covered`, `coverage.totals`)."""
    more = [row.broad_category for row in by_category.itertuples() if row.learned > row.missed]
    of = totals.of
    return (
        f"{name} learned **{in_words(totals, 'learned')}** of {of['learned']} concepts with {n_neurons} neurons; of the "
        f"{of['missed, mammography']} of mammography it missed **{in_words(totals, 'missed, mammography')}**. It learned more "
        f"than it missed in {len(more)} of {len(by_category)} broad categories{': ' if more else ''}{', '.join(more)}."
        f"{_intervals(totals)}"
    )


def distinct_missed(totals: pd.DataFrame) -> str:
    """What the distinct missed concepts need to be seen (`coverage.totals`)."""
    shown_by = [what for what in (*dict.fromkeys(SHOWN_BY.values()), NOT_KNOWN) if f"distinct: {what}" in totals.index]
    parts = [f"{in_words(totals, f'distinct: {what}')}: {what}" for what in shown_by if totals.n[f"distinct: {what}"]]
    return (
        f"**{in_words(totals, 'distinct')}** distinct concepts of mammography are missed ({'; '.join(parts)}). "
        f"{in_words(totals, 'distinct: ultrasound or MRI')} show on ultrasound or MRI only, "
        f"{in_words(totals, 'distinct: distortion')} contain “architectur” or “distort”.{_intervals(totals)}"
    )


def missed_list(distinct: pd.DataFrame, marked: Collection[str] = ()) -> str:
    """The distinct missed concepts by what shows them and by category, folded (`coverage.distinct_missed`)."""
    parts = []
    for what, rows in distinct.groupby("shown_by", sort=False):
        lines = []
        for category, inner in rows.groupby(rows.broad_category.str.partition("; ")[0], sort=False):
            names = ", ".join(f"{name} *" if name in marked else name for name in inner.concept)
            lines.append(f"<p><b>{category or 'ungrouped'} ({len(inner)})</b>: {names}</p>")
        parts.append(f"<details><summary>{what} ({len(rows)})</summary>{''.join(lines)}</details>")
    return "\n".join(parts)


def against_texts(name: str, check: pd.DataFrame) -> str:
    """How well "missed" agrees with what the training texts never said (`study.missed_against_texts`)."""
    row = check.iloc[0]
    shares = {
        what: f"**{share_of(row, what)}** (at random {percent(row[f'{what}_by_chance'])})" for what in ("precision", "recall")
    }
    return (
        f"The training texts never mention {row.never_said} of {row.concepts} concepts of mammography; {name} misses "
        f"{of_row(row, 'missed')}. "
        f"Precision {shares['precision']}, recall {shares['recall']}, p = {row.p:.2g}. "
        f"{row.missed - row.both} of the "
        "missed concepts are in the texts."
    )


def margins(check: pd.DataFrame, reached: pd.DataFrame) -> str:
    """How close mentioned and never mentioned concepts come to being learned (`study.gaps.reached_by_group`)."""
    share = {group: share_of(row, "share") for group, row in reached.iterrows()}
    return (
        f"A concept that the texts mention has a larger margin than one that they do not in "
        f"**{share_of(check.iloc[0], 'auc')}** of "
        f"pairs (50 % by chance). Some neuron reaches tau for {share['said']} of the mentioned concepts, "
        f"{share['never said']} of those never mentioned and {share['planted gap']} of the planted gaps."
    )


def planted_gaps(gaps: pd.DataFrame) -> str:
    """Whether the planted gaps are found missing (`study.gap_check`)."""
    lines = []
    for gap, rows in gaps.groupby("gap", sort=False):
        learned = [f"“{row.concept}” counts as learned by {row.passing} neurons" for row in rows[rows.passing > 0].itertuples()]
        n, bounds = int((rows.verdict == "missed").sum()), None
        if "missed_low" in rows:
            bounds = (rows.missed_low.iloc[0], rows.missed_high.iloc[0])
        lines.append("; ".join([f"{gap}: **{with_interval(n, bounds)} of {len(rows)}** concepts are missed", *learned]))
    return bullets(lines)


def share_of(row: pd.Series, what: str) -> str:
    """A share of a row in per cent, with its interval where the row has <what>_low and <what>_high."""
    if f"{what}_low" not in row:
        return percent(row[what])
    return f"{percent(row[what])} ({percent(row[f'{what}_low'])} to {percent(row[f'{what}_high'])})"


def _intervals(totals: pd.DataFrame) -> str:
    """What the brackets behind counts are, where there are any."""
    return " In brackets: 95 % intervals over resampled patients." if totals.low.notna().any() else ""


def domains_of_images(kinds: Tables, share: float, top: int) -> str:
    """Whether neurons labelled with one domain respond to images of that domain: an answer, then the shares.

    `kinds` maps each network to a table indexed by domain with the column natural: the mean share of natural images among the
    neurons' top images; `share` is that among all images.
    """
    answers, said = [], []
    for name, table in kinds.items():
        gap = table.natural.get("other", float("nan")) - table.natural.get("mammography", float("nan"))
        answers.append(f"{name}: {'yes' if gap > 0 else 'no'} ({100 * gap:+.0f} points)")
        said.append(f"in {name} " + ", ".join(f"**{percent(row.natural)}** ({row.Index})" for row in table.itertuples()))
    return (
        f"Are natural images more frequent among the top images of neurons labelled with other concepts? {'; '.join(answers)}. "
        f"Natural images are {percent(share)} of the probe; of a neuron's top {top} images, by the domain of its label, "
        "over all "
        f"layers: {'; '.join(said)}."
    )
