"""Fine-tune a target into a classifier or a detector: tasks and splits, augmented images, the loop, metrics, checkpoints.

Also the training of Mammo-FActOR on a frozen target.

demo/ has how the shipped models were made.
"""

from mdissect.registry import hand_on

__getattr__, __dir__, __all__ = hand_on(
    __name__,
    {
        "base": "SavingError TrainingError",
        "detector": "DetectorRecipe train_detector",
        "factor": "FactorRecipe train_factor",
        "finetune": "Finetuned evaluate finetune",
        "recipe": "Augment Recipe Running",
    },
)
