"""Fine-tune a target into a classifier: tasks and splits, augmented images, the loop, metrics, checkpoints.

demo/ has how the shipped models were made.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "base": "SavingError TrainingError",
        "finetune": "Finetuned evaluate finetune",
        "recipe": "Augment Recipe Running",
    },
)
