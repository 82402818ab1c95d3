"""Training: contrastive pretraining and fine-tuning."""
