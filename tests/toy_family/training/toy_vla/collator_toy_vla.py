"""Batches for a toy VLA."""

from ..collator_robot import RobotCollator


class ToyVLACollator(RobotCollator):
    def __call__(self, examples):
        return self.actions_behind_prompts(examples, reads_draws=False)
