"""Shares, names and labels in words: the one spelling of per cent, and which of two labels to trust."""

VERDICT_MEANINGS = {  # of a reader on a label
    "right": "the label says what the images have in common",
    "partly": "it is too narrow or too wide, or fits some of the images",
    "wrong": "the images have something else in common, or nothing",
    "cannot tell": "one cannot see it on these images",
}
VERDICTS = tuple(VERDICT_MEANINGS)
BETTER, NOT_BETTER = "better than chance", "no label better than chance"


def percent(share: float, digits: int = 0) -> str:
    """A share in per cent, "unknown" for a missing one.

    >>> percent(0.256), percent(0.256, digits=1), percent(float("nan"))
    ('26 %', '25.6 %', 'unknown')
    """
    return "unknown" if share != share else f"{100 * share:.{digits}f} %"


def spelt(name: str) -> str:
    """A name of the code, such as that of a labelling rule, in words.

    >>> spelt("cos_similarity_cubed")
    'cos similarity cubed'
    """
    return name.replace("_", " ")


def which_label(published: str, calibrated: str, reaches: bool | None = None, known: str = "") -> str:
    """Which of a neuron's two labels to trust: the calibrated one, which was compared with chance.

    >>> which_label("implant-displaced view", "retroglandular implant")
    'better than chance: retroglandular implant (calibrated); the published rule says implant-displaced view'
    >>> which_label("nipple", "nipple"), which_label("nipple", "")
    ('better than chance: nipple', 'no label better than chance (calibrated); the published rule says nipple')

    Parameters
    ----------
    published : str
        The label with the highest similarity; "" for none.
    calibrated : str
        The label of the calibrated rule; "" for none.
    reaches : bool, optional
        Whether the published label reaches the layer's threshold; None: it is not said.
    known : str
        What is known of the calibrated label, such as "q 0.002", in its brackets.
    """
    if calibrated and calibrated == published:
        return f"{BETTER}: {calibrated}"
    by = f"(calibrated{'; ' * bool(known)}{known})"
    chosen = f"{BETTER}: {calibrated} {by}" if calibrated else f"{NOT_BETTER} {by}"
    if not published:
        return chosen
    below = ", below its threshold" if reaches is False else ""
    return f"{chosen}; the published rule says {published}{below}"
