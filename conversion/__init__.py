"""Reading run layouts, merging LoRA, writing checkpoints. Never imported by the code that a checkpoint carries."""
