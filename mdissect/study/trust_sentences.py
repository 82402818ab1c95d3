"""Notebook 06's findings in sentences: tables in, Markdown out; every number comes from the tables."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mdissect.arguments import listed
from mdissect.study.checked import RIGHT, STABLE
from mdissect.study.sentences import Tables, bullets, percent

MEANING_OF_Q = (
    "Better than chance (q) means that a neuron follows some direction of the dissector's space, not that the word is right: "
    "precision tells that."
)


def labels_in_short(checked: pd.DataFrame, n_neurons: int, place: str, top: int, n_boot: int) -> str:
    """How many labels of a layer are better than chance, right, stable, and shown by one mammogram (`study.checked_labels`)."""
    known, more = checked.dropna(subset=["precision"]), int((checked.needs != "").sum())
    clean = known.right & known.stable & (known.needs == "")
    return (
        f"**In short.** **Better than chance** (q): {_of(len(checked), n_neurons)} neurons of {place} have a label. **Right**: "
        f"the presence of {len(known)} of these labels is known; {_of(known.right.sum(), len(known))} are shown by "
        f"{percent(RIGHT)} or more of the neuron's top {top} images. On average {percent(known.precision.mean())} of the top "
        f"images show the label, of all images {percent(known.prevalence.mean())}. **Stable**: "
        f"**{percent(checked.stable.mean())}** of the labels return in at least {percent(STABLE)} of {n_boot} resamples of the "
        f"patients. **More than one mammogram** is needed to see what {more} labels say. Right, stable and visible on one "
        f"mammogram: **{percent(clean.mean())}** of the labels of known presence."
    )


def labels_that_need_more(checked: pd.DataFrame, published: pd.DataFrame, place: str) -> str:
    """How many labels one mammogram cannot show (`study.checked_labels`, `Dissection.labels` of the same layer)."""
    by, more = checked.needs[checked.needs != ""].value_counts(), int((published.needs != "").sum())
    kinds = (
        f" ({', '.join(f'{what} {n}' for what, n in sorted(by.items(), key=lambda one: (-one[1], one[0])))})" if len(by) else ""
    )
    return (
        f"**{by.sum()} of the {len(checked)}** labels of {place} that are better than chance name what a single mammogram "
        f"cannot show{kinds}; so do {more} of the {len(published)} published labels. `labels(visible_only=True)` leaves "
        f"them out: {len(checked) - by.sum()} labels better than chance are left, and {len(published) - more} published ones."
    )


def most_stable(checked: pd.DataFrame, n_boot: int, most: int = 12) -> str:
    """What is wrong with the most stable labels (`study.checked_labels`)."""
    rows = checked.head(most)
    lines = [
        f"neuron {row.neuron}, “{row.concept}” (stability {row.stability:.2f}), needs {row.needs}; its top images share: "
        f"{row.shared or 'nothing known'}"
        for row in rows[rows.needs != ""].itertuples()
    ]
    head = (
        f"Stability is the share of {n_boot} resamples in which the label returns, the mean over concept, category, broad "
        f"category and keyword. **{len(lines)} of the {len(rows)}** most stable labels name what one mammogram cannot show"
    )
    return f"{head}, although q and stability are good:\n\n{bullets(lines)}" if lines else f"{head}."


def planted_neurons(by_snr: pd.DataFrame, snr: float = 2) -> str:
    """What calibration and the published score do with planted neurons (`trust.planted.curve`)."""
    at = by_snr[by_snr.snr == snr].set_index("rule")
    return (
        f"At a signal-to-noise ratio of {snr:g} calibration labels **{percent(at.named['calibrated'])}** of the neurons that "
        f"follow a concept, **{percent(at.right['calibrated'])}** of them correctly, and "
        f"**{percent(at.false_labels['calibrated'], 1)}** of the noise. The published score is correct for "
        f"{percent(at.right['soft_wpmi'])}, and {percent(at.false_labels['soft_wpmi'])} of the noise reaches tau. Plain cosine "
        f"similarity is correct for {percent(at.right['cos_similarity'])} here, where the dissector's noise is the same for "
        "all concepts."
    )


def neuron_kinds(kinds: pd.DataFrame, snr: float = 2) -> str:
    """The two rules on neurons of several kinds (`trust.planted.curve` with ALL_KINDS)."""
    at = kinds[kinds.snr == snr].set_index("rule")
    new, old = at.loc["calibrated"], at.loc["soft_wpmi"]
    return (
        f"At a signal-to-noise ratio of {snr:g}, of the neurons that follow either of two concepts "
        f"**{percent(new.right_of_two)}** are labelled with one of the two (published score: {percent(old.right_of_two)}). "
        f"{percent(new.negative_labels)} of those that respond to the absence of a concept get a label, which cannot be right "
        f"(published: {percent(old.negative_labels)} reach tau), and {percent(new.noise_labels)} of the noise "
        f"(published: {percent(old.noise_labels)})."
    )


def few_images(scores: Tables) -> str:
    """The two rules on a classifier of many classes with few images (`trust.planted.few_images_scores` by top_k)."""
    tables = {top_k: table.set_index("rule") for top_k, table in scores.items()}
    said = [
        f"top_k {top_k}: {percent(table.named['calibrated'])} get a label better than chance, "
        f"**{percent(table.right['calibrated'])}** of these correctly (published score: "
        f"{percent(table.right['soft_wpmi'])} of all)"
        for top_k, table in tables.items()
    ]
    return f"Outputs labelled with their own class, by the number of top images:\n\n{bullets(said)}"


def digit_names(accuracy: Tables) -> str:
    """How often a classifier's outputs get their own name by each rule (`trust.class_accuracy`)."""
    lines = []
    for neurons, table in accuracy.items():
        said = [f"**{percent(row.top_1)}** by the {row.Index} rule{_auc(row.auc)}" for row in table.itertuples()]
        lines.append(f"{neurons}: correct {', '.join(said)}")
    return bullets(lines)


def better_than_chance(shares: pd.DataFrame) -> str:
    """How many neurons of the last layers reach tau, are better than chance, and how often right (`trust.passing_share`)."""
    lines = []
    for name, rows in shares.groupby("setup", sort=False):
        last = rows.iloc[-1]
        agree = f"; both rules give {percent(last.agree)} of these the same label" if last.calibrated else ""
        right = "; the presence of none of these is known" if not last.known else (
            f"; **{percent(last.precision)}** of the top images show the label (all images: {percent(last.prevalence)}; "
            f"{last.known:.0f} labels of known presence)"
        )  # fmt: skip
        lines.append(
            f"{name}, last layer: {percent(last.published)} of the neurons reach tau, **{percent(last.calibrated)}** "
            f"are better than chance{agree}{right}."
        )
    return f"{bullets(lines)}\n\n{MEANING_OF_Q}"


def baselines(compared: pd.DataFrame) -> str:
    """A network beside its control baselines (`trust.compare_baselines`)."""
    lines = []
    for row in compared.dropna(subset=["better"]).itertuples():
        shown = "" if pd.isna(row.precision) else (
            f"; the published labels have a precision of **{percent(row.precision)}**, random labels of "
            f"{percent(row.prevalence)}"
        )  # fmt: skip
        lines.append(
            f"{row.setup}: tau {row.threshold:.2f}; **{percent(row.better)}** better than chance, by **{row.concepts:.0f}** "
            f"different concepts{shown}"
        )
    return f"{bullets(lines)}\n\n{MEANING_OF_Q}"


def tau_overlap(intervals: Tables, base: str) -> str:
    """In how many layers the intervals of a network's threshold and of each other overlap (`trust.tau_intervals`)."""
    own, said = intervals[base], []
    for name, table in intervals.items():
        if name != base:
            apart = (table.low.to_numpy() > own.high.to_numpy()) | (own.low.to_numpy() > table.high.to_numpy())
            said.append(f"those of {name} in **{len(own) - apart.sum()} of {len(own)}**")
    widest = max(float((table.high - table.low).max()) for table in intervals.values())
    others = f" The intervals of {base} overlap with {' and '.join(said)} layers." if said else ""
    return f"The widest interval spans {widest:.2f}.{others}"


def report_cards(cards: Tables, unknown: Mapping[str, Sequence[str]], labels: Tables) -> str:
    """Which concepts the dissectors cannot tell from chance (`trust.report_card`, `trust.unknown_concepts`).

    Keys are the dissectors' networks ("G by M, M"); `labels` are those of all their neurons.
    """
    lines = []
    for name, card in cards.items():
        named = int(labels[name].concept.isin(list(unknown[name])).sum())
        which = f" ({listed(sorted(unknown[name]), 12)})" if 0 < len(unknown[name]) <= 20 else ""
        lines.append(
            f"Dissector of {name}: of {card.auc.notna().sum()} concepts with known presence it cannot tell "
            f"**{len(unknown[name])}** from chance or tells them the wrong way round{which}; median AUC "
            f"{card.auc.median():.2f}; {named} of {len(labels[name])} neurons are labelled with one of these."
        )
    return bullets(lines)


def label_stability(tables: Tables, place: str, n_boot: int) -> str:
    """How often labels return when the patients are resampled (`trust.stability`)."""
    return bullets(
        [
            f"{rule}: in {percent(table.same_concept.mean())} of {n_boot} resamples a neuron of {place} gets the same concept, "
            f"in {percent(table.same_category.mean())} one of the same category, in "
            f"{percent(table.same_broad_category.mean())} of the same broad category."
            for rule, table in tables.items()
        ]
    )


def other_settings(grid: pd.DataFrame, value: str = "same_category") -> str:
    """How many labels keep their category under other settings, or on fewer patients (`trust.sensitivity`)."""
    own, others = grid[grid.own], grid[~grid.own]
    if "patients" in grid:
        return _on_fewer_patients(others, value)
    if others.empty or own.empty:
        return "There are no other settings to compare with."
    kept, worst, one = others[value], others.loc[others[value].idxmin()], own.iloc[0]
    return (
        f"Compared with the reference (top {one.top_k} images, a = {one.a:g}, lambda = {one.lam:g}) **{percent(kept.min())} to "
        f"{percent(kept.max())}** of the labels keep their category. Fewest do with top {worst.top_k} images, a = {worst.a:g} "
        f"and lambda = {worst.lam:g}."
    )


def _on_fewer_patients(rows: pd.DataFrame, value: str) -> str:
    head = "The rule of the calibrated labels has none of the published one's settings (top images, a, lambda). "
    kept = value.removeprefix("same_").replace("_", " ")
    said = [
        f"**{percent(getattr(row, value))}** if chosen on {percent(row.share)} of the patients" for row in rows.itertuples()
    ]
    return f"{head}Of the labels on all images, as many keep their {kept}: {listed(said, len(said))}." if said else head.strip()


def mean_auc(truth: Tables, names: Sequence[str]) -> str:
    """The mean AUC of activations for their labels by both rules (`trust.agreement`); keys "name, rule"."""

    def words(table: pd.DataFrame) -> str:
        return f"**{table.auc.mean():.2f}** ({len(table)})" if len(table) else "none (0)"

    lines = [
        f"{name}: {words(truth[f'{name}, published'])} by the published rule, {words(truth[f'{name}, calibrated'])} by the "
        "calibrated one"
        for name in names
    ]
    return f"Mean AUC (0.5: chance), and the number of labels whose presence is known:\n\n{bullets(lines)}"


def _of(part: int, whole: int) -> str:
    """ "3 of 12 (25 %)"."""
    return f"**{part} of {whole}** ({percent(part / whole if whole else float('nan'))})"


def _auc(auc: float) -> str:
    return "" if pd.isna(auc) else f" (AUC of the score {auc:.2f})"
