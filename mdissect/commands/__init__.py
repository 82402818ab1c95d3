"""The commands of ``python -m mdissect``, a module each, which is imported when it is called.

`add_arguments(parser)` says what a command takes; `run(options)` returns its exit status.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(__name__, {}, modules=("doctor", "figures", "finetune", "prepare", "pretrain"))
