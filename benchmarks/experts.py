"""What sampling actions costs beside the passes that it cannot do without: one of the prefix, ten of the suffix."""

import torch
from transformers import DynamicCache, LlamaConfig, LlamaModel

from benchmarks.predict import print_ratio, print_times
from benchmarks.timing import interleaved
from vlahub import FlowMatchingActionExpert, LLaVA3DWithActionExpertModel

LAYERS, WIDTH, EXPERT_WIDTH, HEADS, PREFIX, HORIZON, STEPS = 12, 1024, 512, 16, 320, 16, 10


def make_stack(width: int, key_value_heads: int) -> LlamaModel:
    config = LlamaConfig(
        hidden_size=width,
        intermediate_size=width * 11 // 4,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=key_value_heads,
        head_dim=WIDTH // HEADS,
        vocab_size=8,
    )
    return LlamaModel(config).eval()


def make_expert(key_value_heads: int, device: str, dtype: torch.dtype) -> FlowMatchingActionExpert:
    torch.manual_seed(0)
    base = make_stack(WIDTH, key_value_heads).to(device, dtype)
    network = LLaVA3DWithActionExpertModel(base, make_stack(EXPERT_WIDTH, key_value_heads).config)
    network = network.eval().to(device, dtype)
    return FlowMatchingActionExpert(network, num_action_chunks=HORIZON).to(device, dtype)


def passes_alone(expert: FlowMatchingActionExpert, prefix: torch.Tensor, suffix: torch.Tensor):
    """The same passes with stock models and a stock cache, cut back after each step, and nothing around them."""
    base, other = expert.llava_with_expert.base, expert.llava_with_expert.expert
    positions = torch.arange(prefix.shape[1] + suffix.shape[1], device=prefix.device)[None]
    rows = prefix.new_zeros(1, 1, suffix.shape[1], positions.shape[1])
    whole = prefix.new_zeros(1, 1, prefix.shape[1], prefix.shape[1])

    def run() -> None:
        cache = DynamicCache()
        base(
            inputs_embeds=prefix,
            attention_mask=whole,
            position_ids=positions[:, : prefix.shape[1]],
            past_key_values=cache,
        )
        for _ in range(STEPS):
            other(
                inputs_embeds=suffix,
                attention_mask=rows,
                position_ids=positions[:, prefix.shape[1] :],
                past_key_values=cache,
            )
            cache.crop(-suffix.shape[1])

    return run


@torch.no_grad()
def main(runs: int, device: str, dtype: torch.dtype) -> None:
    """Print minima and medians in milliseconds, and the ratio of sampling to its bare passes."""
    for key_value_heads in (HEADS, HEADS // 4):
        expert = make_expert(key_value_heads, device, dtype)
        prefix = torch.randn(1, PREFIX, WIDTH, device=device, dtype=dtype)
        suffix = torch.randn(1, HORIZON + 1, EXPERT_WIDTH, device=device, dtype=dtype)
        padded = torch.ones(1, PREFIX, dtype=torch.long, device=device)
        padded[0, -20:] = 0
        functions = {
            "sampling": lambda expert=expert, prefix=prefix: expert.sample_actions(prefix, num_inference_steps=STEPS),
            "sampling, padded": lambda expert=expert, prefix=prefix, padded=padded: expert.sample_actions(
                prefix, num_inference_steps=STEPS, attention_mask=padded
            ),
            "bare passes": passes_alone(expert, prefix, suffix),
        }
        times = interleaved(functions, runs, device)
        print_times(
            times, f"{STEPS} steps, {key_value_heads} of {HEADS} key-value heads, {device}, {dtype}, {runs} runs"
        )
        print_ratio(times, "sampling", "bare passes")
        print_ratio(times, "sampling, padded", "bare passes")
