"""A whole fine-tune from its options: what `vlahub train` and examples/finetune.py share."""
