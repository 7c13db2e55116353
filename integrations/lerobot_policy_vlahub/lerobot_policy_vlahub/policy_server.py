"""LeRobot's server of asynchronous inference, for this policy: `python -m lerobot_policy_vlahub.policy_server`.

LeRobot's own server (0.4.4 and 0.6.1 alike) has a list of the policies that it serves, imports no plugins, and resizes
images to the sizes that a policy was trained with. This one differs in these three points, and takes the same options.
"""

from concurrent import futures

import draccus

try:
    import grpc
except ImportError as error:
    raise ImportError("the policy server needs grpcio: pip install 'lerobot[async]'") from error
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.constants import SUPPORTED_POLICIES
from lerobot.async_inference.policy_server import PolicyServer
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.transport import services_pb2_grpc

from .configuration_vlahub import VlahubConfig

THREADS = 4  # as LeRobot's


class VlahubPolicyServer(PolicyServer):
    """Serves this policy, and LeRobot's."""

    def __init__(self, config: PolicyServerConfig):
        super().__init__(config)
        name = VlahubConfig.get_choice_name(VlahubConfig)
        if name not in SUPPORTED_POLICIES:
            SUPPORTED_POLICIES.append(name)

    @property
    def policy_image_features(self) -> dict[str, PolicyFeature]:
        """The robot's images, in the sizes that its cameras have: the checkpoint's processor resizes them."""
        if not isinstance(self.policy.config, VlahubConfig):
            return super().policy_image_features
        shapes = {key: feature["shape"] for key, feature in self.lerobot_features.items()}
        return {
            key: PolicyFeature(FeatureType.VISUAL, (shape[2], shape[0], shape[1]))
            for key, shape in shapes.items()
            if len(shape) == 3
        }


@draccus.wrap()
def serve(config: PolicyServerConfig) -> None:
    """Serve until it is interrupted."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(VlahubPolicyServer(config), server)
    server.add_insecure_port(f"{config.host}:{config.port}")
    server.start()
    print(f"serving at {config.host}:{config.port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    serve()
