"""vlahub's checkpoints as a policy of LeRobot: `--policy.type=vlahub --policy.checkpoint=you/your-vla`.

LeRobot imports this package by the beginning of its name, and finds config, policy and processors by the names of
their files: `configuration_vlahub`, `modeling_vlahub`, `processor_vlahub`. Weights and transformers are imported with
the policy.
"""

from .configuration_vlahub import VlahubConfig

__all__ = ["VlahubConfig"]
