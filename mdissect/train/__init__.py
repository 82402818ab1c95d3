"""Fine-tune a target into a classifier or a detector, or pretrain an image-text model: studies, splits, loops, checkpoints.

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
        "pretrain": "Pretrained pretrain write_published",
        "recipe": "Augment Balance ContrastiveRecipe Recipe Running",
    },
)
