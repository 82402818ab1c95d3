"""The commands of ``python -m mdissect``: one module each, imported when the command is called.

`add_arguments(parser)` says what a command takes; `run(options)` returns its exit status.
"""

from mdissect.registry import hand_on

COMMANDS = {
    "figures": "run the notebooks and write their figures; --list shows the notebooks",
    "doctor": "report what is installed, which data and weights are found, and what to do next",
    "prepare": "decode and prepare mammograms once, into PNG files that are quick to read",
    "atlas": "write a result as one HTML file that opens in any browser, without Python or network",
    "predict": "class probabilities of images, breasts and patients by a classifier, as CSV",
    "zeroshot": "findings told by an image-text model from pairs of prompts, as CSV",
    "evaluate": "how good an image-text model is: zero-shot, retrieval, linear probe, fine-tuning; as CSV",
    "finetune": "fine-tune a target into a classifier",
    "store": "list, verify or remove what is kept of earlier runs",
    "pretrain": "train an image-text model on images and reports, or the demo's models again",
}

__getattr__, __dir__, __all__ = hand_on(__name__, {}, modules=tuple(COMMANDS))
