"""The commands of ``python -m mdissect``, a module each, which is imported when it is called.

`add_arguments(parser)` says what a command takes; `run(options)` returns its exit status.
"""

from mdissect.registry import hand_on

COMMANDS = {
    "figures": "run the notebooks and write their figures",
    "doctor": "what is installed, which data and weights are found, what to do next",
    "prepare": "decode and prepare mammograms once, into PNG files that are quick to read",
    "finetune": "fine-tune a target into a classifier",
    "pretrain": "draw and train the demo's models and classifiers again",
}

__getattr__, __dir__, __all__ = hand_on(__name__, {}, modules=tuple(COMMANDS))
