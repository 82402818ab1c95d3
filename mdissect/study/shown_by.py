"""What it takes to see a concept, by the evidence for it."""

ONE_MAMMOGRAM, MORE_MAMMOGRAMS, NO_MAMMOGRAM = (
    "one mammogram can show it",
    "it takes more than one mammogram",
    "no mammogram can show it",
)
SHOWN_BY = {
    "single view": ONE_MAMMOGRAM,
    "several views": MORE_MAMMOGRAMS,
    "prior exam": MORE_MAMMOGRAMS,
    "clinical": NO_MAMMOGRAM,
    "ultrasound": NO_MAMMOGRAM,
    "MRI": NO_MAMMOGRAM,
}
"""What the evidence for a concept means to a network that is shown one image at a time."""
NOT_KNOWN = "the concept set does not tell"
