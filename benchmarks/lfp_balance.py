"""When token pruning (LFP) pays: bytes that a language model reads and operations that it does, with and without it.

    python -m benchmarks.lfp_balance [--bandwidth 4.3e12] [--operations 989e12] [--prompt-tokens 30]

Nothing is timed and no card is needed. A layer takes at least as long as its weights are read, and at least as long as
its matrix products take: the larger of the two, summed over layers, is a floor that no kernel gets below.
"""

import argparse
from dataclasses import dataclass

import torch

from vlahub import CogVLAConfig
from vlahub.modeling.cogvla.token_pruning import LFPLlamaModel

BYTES = 2  # of a weight in bfloat16
BATCHES = (1, 2, 4, 8)


@dataclass
class Layer:
    """Weights of a decoder layer, those of its router, and how many tokens of one sample the former multiply."""

    weights: int
    router_weights: int
    tokens: int

    def bytes_read(self) -> int:
        return BYTES * (self.weights + self.router_weights)

    def operations(self, batch: int) -> int:
        """Of matrix products with weights, a multiplication and an addition each; a router's run on one token."""
        return 2 * batch * (self.weights * self.tokens + self.router_weights)

    def seconds(self, batch: int, bandwidth: float, operations: float) -> float:
        return max(self.bytes_read() / bandwidth, self.operations(batch) / operations)


def layers_of(config: CogVLAConfig, prompt_tokens: int) -> list[Layer]:
    """The language model's layers; their weights are counted, not computed."""
    with torch.device("meta"):
        model = LFPLlamaModel(config.text_config, config.lfp_keep_ratios, config.lfp_enable_film)
    vision, rest = config.num_vision_tokens, prompt_tokens + config.use_state + config.num_action_tokens + 1
    found = []
    for number, layer in enumerate(model.layers):
        router = sum(each.numel() for name, each in layer.named_parameters() if name.startswith("router."))
        whole = sum(each.numel() for each in layer.parameters())
        kept = int(vision * config.lfp_keep_ratios.get(number, 1.0))
        found.append(Layer(whole - router, router, rest + kept))
    return found


def tokens_from_which_it_pays(layer: Layer, bandwidth: float, operations: float) -> float:
    """How many tokens of all samples together a layer must read without LFP, so that it does not lose by LFP.

    With LFP it is not done before layer and router are read; without, not before its tokens are multiplied.
    """
    return layer.bytes_read() / bandwidth * operations / (2 * layer.weights)


def config_of(num_images: int, **options) -> CogVLAConfig:
    """A CogVLA of 7 B with 8 actions of 7 numbers and a state."""
    return CogVLAConfig(num_images_in_input=num_images, state_dim=8, **options)


def report(bandwidth: float, operations: float, prompt_tokens: int, num_images: int = 2) -> list[str]:
    """The lines of the tables."""
    ours = layers_of(config_of(num_images), prompt_tokens)
    plain = layers_of(config_of(num_images, use_lfp=False), prompt_tokens)
    routers = sum(layer.router_weights for layer in ours)
    pruned = next(layer for layer in ours if layer.router_weights)
    lines = [
        f"{num_images} images: {plain[0].tokens} tokens a sample, {sum(x.tokens for x in ours) / len(ours):.0f} on the "
        f"mean of layers with LFP; weights {sum(x.weights for x in ours) / 1e9:.2f} G, routers {routers / 1e9:.2f} G",
        f"a layer does not lose by LFP from {tokens_from_which_it_pays(pruned, bandwidth, operations):.0f} tokens on",
        "",
        "| batch | | GB read | T operations | reading, ms | products, ms | floor, ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for batch in BATCHES:
        for name, layers in (("with LFP", ours), ("without", plain)):
            read = sum(layer.bytes_read() for layer in layers)
            done = sum(layer.operations(batch) for layer in layers)
            floor = sum(layer.seconds(batch, bandwidth, operations) for layer in layers)
            times = read / bandwidth, done / operations, floor
            numbers = " | ".join(f"{1e3 * each:.2f}" for each in times)
            lines.append(f"| {batch} | {name} | {read / 1e9:.2f} | {done / 1e12:.2f} | {numbers} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lfp_balance", description=__doc__.splitlines()[0])
    parser.add_argument("--bandwidth", type=float, default=4.3e12, help="bytes a second")
    parser.add_argument("--operations", type=float, default=989e12, help="a second, of matrix products")
    parser.add_argument("--prompt-tokens", type=int, default=30)
    parser.add_argument("--num-images", type=int, default=2)
    arguments = parser.parse_args()
    print("\n".join(report(**vars(arguments))))


if __name__ == "__main__":
    main()
