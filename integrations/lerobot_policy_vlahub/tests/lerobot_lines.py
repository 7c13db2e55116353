"""What lies elsewhere in LeRobot 0.4 and 0.6."""

try:
    from lerobot.common.control_utils import predict_action
except ImportError:
    from lerobot.utils.control_utils import predict_action

__all__ = ["predict_action"]
