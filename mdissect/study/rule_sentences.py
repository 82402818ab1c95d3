"""Labelling rules side by side, and the opening of notebook 10, in sentences: tables in, Markdown out."""

from collections.abc import Mapping

import pandas as pd

from mdissect.arguments import listed
from mdissect.predictions import CausalEffects
from mdissect.study.answers import Answer
from mdissect.study.causal_sentences import changed_images, rules_compared, strongest_factors
from mdissect.study.latents import Latents
from mdissect.study.prediction_sentences import ablations, additivity, own_task_used, waterfall_in_words, what_tells_apart
from mdissect.study.rules import NOTHING_KNOWN
from mdissect.study.sae_sentences import kept_by_autoencoder, latents_against_channels
from mdissect.study.sentences import Tables, bullets, percent
from mdissect.trust.held_out import BEST, IN_SAMPLE
from mdissect.wording import spelt

NOT_CHANGED = "No image of the probe can be changed: it cannot be drawn again, and no finding is marked by a box."


def on_planted(table: pd.DataFrame) -> str:
    """How many labels of planted neurons are correct, by world (`rules.planted_rules`)."""
    lines = []
    for world, rows in table.groupby("world", sort=False):
        first, others = rows.iloc[0], rows.iloc[1:].sort_values("correct", ascending=False, kind="stable")
        gets = "" if first.labelled > 0.995 else f" of the {percent(first.labelled)} that it labels"
        said = [f"{spelt(row.rule)} {percent(row.correct)}" for row in others.itertuples()]
        lines.append(f"{world}: {spelt(first.rule)} is correct for {_share(first)}{gets}; {', '.join(said)}")
    return f"Labels of planted neurons that are correct (95 % interval over random draws):\n\n{bullets(lines)}"


def on_truth(tables: Tables) -> str:
    """The truth of labels on other patients, by rule, over all layers (`trust.held_out_auc` by setup)."""
    if not tables:
        return NOTHING_KNOWN
    lines = []
    for name, table in tables.items():
        last = table[table.layer == table.layer.iloc[-1]].set_index("rule")
        rules = [rule for rule in last.index if rule not in (BEST, IN_SAMPLE)]
        said = [f"{spelt(rule)} **{last.auc[rule]:.2f}** ({last.low[rule]:.2f} to {last.high[rule]:.2f})" for rule in rules]
        lines.append(f"{name}, {table.layer.iloc[-1]}: {', '.join(said)}; the truth's own best concept {last.auc[BEST]:.2f}")
    return f"Mean AUC of the last layer's neurons on patients that the labels were not chosen on:\n\n{bullets(lines)}"


def ahead_in_layers(tables: Tables) -> str:
    """In how many layers the first rule is ahead of each other one (`trust.held_out_auc` by setup)."""
    rows = pd.concat([table.assign(setup=name) for name, table in tables.items()]) if tables else pd.DataFrame()
    if rows.empty:
        return ""
    first, lines = rows.rule.iloc[0], []
    for rule, table in rows[~rows.rule.isin([first, BEST, IN_SAMPLE])].groupby("rule", sort=False):
        better, worse = table.ahead_low > 0, table.ahead_high < 0
        lines.append(
            f"{spelt(rule)}: the {spelt(first)} labels are ahead in **{better.sum()} of {len(table)}** layers, behind in "
            f"{worse.sum()} (the 95 % interval of the difference excludes 0); on average {table.ahead.mean():+.3f}, at worst "
            f"{table.ahead.min():+.3f}"
        )
    return f"Over the layers of {listed(list(tables), 8)}:\n\n{bullets(lines)}"


def on_patients(tables: Tables) -> str:
    """How well the rules' labels predict neurons on unseen patients (`rules.mean_predicts` by setup)."""
    lines = []
    for name, table in tables.items():
        known = table.dropna(subset=["predicts"])
        if known.empty:
            lines.append(f"{name}: no neuron is known by all rules")
            continue
        said = [f"{spelt(row.rule)} **{row.predicts:.2f}** ({row.low:.2f} to {row.high:.2f})" for row in known.itertuples()]
        lines.append(f"{name}, {known.neurons.iloc[0]} neurons: {', '.join(said)}")
    return (
        "Mean correlation of a neuron with its label on patients that the label was not chosen on (95 % interval over "
        f"neurons):\n\n{bullets(lines)}"
    )


def why(answers: Mapping[str, Answer], without: Mapping[str, str]) -> str:
    """What raised and lowered the logit of each image looked at, how exact the sums are, and who is not explained."""
    lines = [
        f"**{name}**. {waterfall_in_words(one.waterfall(), one.logit)} {additivity(one.found)}" for name, one in answers.items()
    ]
    return "\n\n".join([*lines, not_explained(without)]).strip()


def tells_apart(answers: Mapping[str, Answer], n_boot: int) -> str:
    """Which categories tell images with the finding from those without (`Answer.compared`)."""
    lines = [f"**{name}**. {what_tells_apart(one.compared(n_boot=n_boot), one.task)}" for name, one in answers.items()]
    return "\n\n".join(lines) or "No classifier is explained here."


def not_explained(without: Mapping[str, str]) -> str:
    """Of which classifiers no contributions can be given, and why (`study.explained`)."""
    return bullets([f"{name} is not explained here: {reason}" for name, reason in without.items()], "")


def changed_or_not(effects: CausalEffects | None) -> str:
    """What was changed in the causal test, or that nothing could be (`rules.changed`)."""
    return NOT_CHANGED if effects is None else changed_images(effects)


def of_latents(made: Latents | None, cleaner: pd.DataFrame | None, place: str) -> str:
    """How much of a layer its autoencoder keeps, and whether latents are cleaner (`study.with_latents`, `sae.compare`)."""
    if made is None or cleaner is None:
        return "No images of other patients are known on which an autoencoder could be trained; `training` names some."
    return f"{kept_by_autoencoder(made.fidelity, place)}\n\n{latents_against_channels(cleaner, place)}"


def uses(used: pd.DataFrame) -> str:
    """What classifiers lose without the neurons of a label, and whether they use those of their own task."""
    return f"{ablations(used)}\n\n{own_task_used(used)}" if _by_task(used) else ablations(used)


def causes(matrix: pd.DataFrame, shares: Tables) -> str:
    """Which groups of neurons rise with what they are named by, and which rules do better (the causal test)."""
    return f"{strongest_factors(matrix)}\n\n{rules_compared(shares)}"


def more_words(table: pd.DataFrame, place: str) -> str:
    """The neurons that several words explain better than one (`trust.linear_labels` of a layer)."""
    several = table[~table.one_word_enough & (table.words > 1)]
    if several.empty:
        return f"No neuron of {place} is explained clearly better by several words than by one."
    best = several.loc[several.gain_low.idxmax()]
    return (
        f"**{len(several)} of the {len(table)}** neurons of {place} are explained clearly better by several words than by one. "
        f"Most by neuron {best.neuron}: “{best.one_word}” explains {percent(best.one_word_r2)} of its variance on unseen "
        f"patients, {best.explained_by} {percent(best.sum_r2)} ({percent(best.sum_low)} to {percent(best.sum_high)})."
    )


def in_short(
    place: str,
    truth: Tables,
    shares: Tables,
    words: pd.DataFrame,
    used: pd.DataFrame | None,
    latents: pd.DataFrame | None,
) -> str:
    """The opening of notebook 10.

    truth: `trust.held_out_auc` by setup, the first of them the one looked at; shares: `predictions.own_factor_shares` of last
    layers by setup; words: `trust.linear_by_layer` of the setup looked at; used: `study.used_categories` by task; latents:
    `sae.compare`.
    """
    said = [_best_rule(place, truth), _causal(shares)]
    last = words.iloc[-1]
    said.append(
        f"**Words**: {percent(last.several)} of the neurons of {place} need more than one word; up to three explain "
        f"{percent(last.sum_r2)} of the variance on unseen patients, one {percent(last.one_word_r2)} (gain "
        f"{100 * last.gain_low:.0f} to {100 * last.gain_high:.0f} points)."
    )
    said.append(f"**Use**: {own_task_used(used)}" if used is not None and _by_task(used) else "")
    if latents is not None and len(known := latents.dropna(subset=["difference"])):
        better, worse = (known.low > 0).sum(), (known.high < 0).sum()
        said.append(
            f"**Latents** of a sparse autoencoder are cleaner than the channels in {better} of {len(known)} measures, less "
            f"clean in {worse}."
        )
    return "**In short.** " + " ".join(one for one in said if one)


def _by_task(used: pd.DataFrame) -> bool:
    return len(used) > 0 and (used.by == "task").all()


def _best_rule(place: str, truth: Tables) -> str:
    if not truth:
        return f"**Rules**: {NOTHING_KNOWN[0].lower()}{NOTHING_KNOWN[1:]}"
    table = next(iter(truth.values()))
    rows = table[(table.layer == table.layer.iloc[-1]) & ~table.rule.isin([IN_SAMPLE])].set_index("rule")
    rules = rows.drop(index=BEST)
    best, first = rules.auc.idxmax(), rules.index[0]
    others = [rule for rule in ("published", first) if rule in rules.index and rule != best]
    beside = ", ".join(f"{spelt(rule)} {rules.auc[rule]:.2f}" for rule in dict.fromkeys(others))
    row = rules.loc[best]
    return (
        f"**Rules**: of {len(rules)} rules the {spelt(best)} one is right most often on patients that it did not see "
        f"(AUC **{row.auc:.2f}**, {row.low:.2f} to {row.high:.2f}, in {place}; {beside}; the best of all concepts reaches "
        f"{rows.auc[BEST]:.2f})."
    )


def _causal(shares: Tables) -> str:
    if not shares:
        return ""
    name, table = next(iter(shares.items()))
    known = table.dropna(subset=["share"]).set_index("rule")
    if known.empty:
        return ""
    said = [
        f"{spelt(rule)} **{percent(row.share)}** ({percent(row.low)} to {percent(row.high)}; shuffled {percent(row.chance)})"
        for rule, row in known.head(2).iterrows()
    ]
    return f"**Causes**: the factor that the label names moves the neuron of {name} most for {', '.join(said)} of the labels."


def _share(row: pd.Series) -> str:
    interval = "" if pd.isna(row.low) else f" ({percent(row.low)} to {percent(row.high)})"
    return f"**{percent(row.correct)}**{interval}"
