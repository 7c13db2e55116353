"""The time between two waypoints, and two rows of a drive, in everything that reads, measures or draws drives."""

from ...configuration.alpamayo_r1.configuration_alpamayo_r1 import AlpamayoR1Config
from ...configuration.vla_errors import ConfigError

TIME_STEP = 0.1  # seconds, as the published model was trained


def check_time_step(config: AlpamayoR1Config) -> None:
    """Raises ConfigError for a model whose waypoints lie further apart, or nearer, than rows and figures do."""
    if (dt := config.action_space_cfg["dt"]) != TIME_STEP:
        raise ConfigError(
            f"action_space_cfg['dt'] is {dt}, and drives are read, measured and drawn in steps of {TIME_STEP} s; hand "
            "what you have read yourself to the processor or the collator."
        )
