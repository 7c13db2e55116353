"""What 1, 4 and 16 trajectories of one scene cost, beside as many scenes with one trajectory each."""

import multiprocessing
import re
from pathlib import Path

import torch
from transformers.generation import LogitsProcessor

from benchmarks.predict import print_ratio, print_times
from benchmarks.timing import interleaved
from vlahub import AlpamayoR1, AlpamayoR1Config

SAMPLES = (1, 4, 16)
NEW_TOKENS, STEPS, IMAGES, GRID, TEXT_TOKENS = 24, 10, 8, (1, 12, 20), 120
LANGUAGE = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 12, "num_attention_heads": 8}
LANGUAGE |= {"num_key_value_heads": 4, "head_dim": 64, "rope_theta": 5e6}
LANGUAGE |= {"rope_scaling": {"rope_type": "default", "mrope_section": [12, 10, 10], "mrope_interleaved": True}}
VISION = {"hidden_size": 384, "intermediate_size": 1536, "depth": 12, "num_heads": 6, "out_hidden_size": 512}
VISION |= {"deepstack_visual_indexes": [2, 5, 8]}
EXPERT = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 8, "head_dim": 64}
IDS = {"history": 290, "future": 291, "history_start": 292, "future_start": 293, "history_end": 294, "future_end": 295}
TOKENS = {"vocab_size": 300, "traj_token_start_idx": 100, "traj_vocab_size": 160, "tokens_per_history_traj": 48}
IMAGE_START, IMAGE = 298, 299


class KeepWriting(LogitsProcessor):
    """No text ends before its limit, so that all that is timed is equally long."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        return scores.index_fill(1, torch.tensor([IDS["future_start"]], device=scores.device), float("-inf"))


def make_model(device: str, dtype: torch.dtype) -> AlpamayoR1:
    torch.manual_seed(0)
    config = AlpamayoR1Config(
        vlm_config={
            "text_config": LANGUAGE,
            "vision_config": VISION,
            "image_token_id": IMAGE,
            "vision_start_token_id": IMAGE_START,
        },
        expert_cfg=EXPERT,
        traj_token_ids=IDS,
        traj_tokenizer_cfg={"num_bins": 100},
        hist_traj_tokenizer_cfg={"num_bins": 60},
        **TOKENS,
    )
    return AlpamayoR1(config).eval().to(device, dtype)


def make_scene(device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Images, prompt and a car that drives straight on."""
    tokens = GRID[1] * GRID[2] // 4
    prompt = (
        [5] * TEXT_TOKENS
        + ([IMAGE_START] + [IMAGE] * tokens) * IMAGES
        + [IDS["history"]] * TOKENS["tokens_per_history_traj"]
        + [6]
    )
    xyz = torch.zeros(1, 16, 3)
    xyz[0, :, 0] = torch.linspace(-7.5, 0, 16)
    return {
        "input_ids": torch.tensor([prompt], device=device),
        "pixel_values": torch.randn(IMAGES * GRID[1] * GRID[2], 1536, device=device, dtype=dtype),
        "image_grid_thw": torch.tensor([GRID] * IMAGES, device=device),
        "ego_history_xyz": xyz.to(device),
        "ego_history_rot": torch.eye(3, device=device).expand(1, 16, 3, 3),
    }


def sampling(model: AlpamayoR1, scene: dict[str, torch.Tensor], samples: int):
    def run() -> None:
        model.sample_trajectories(
            **scene,
            num_traj_samples=samples,
            max_new_tokens=NEW_TOKENS,
            num_inference_steps=STEPS,
            logits_processor=[KeepWriting()],
        )

    return run


def memory_of_process() -> int:
    """The largest resident memory so far, in bytes; Linux."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)) * 1024


def extra_memory(samples: int, device: str, dtype: torch.dtype) -> int:
    """Bytes that a call needs at most, on top of the model; run it in a process of its own."""
    run = sampling(make_model(device, dtype), make_scene(device, dtype), samples)
    if device == "cpu":
        before = memory_of_process()
        run()
        return memory_of_process() - before
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_allocated() - before


def main(runs: int, device: str, dtype: torch.dtype) -> None:
    """Print minima and medians in milliseconds, ratios, and the memory of each call."""
    model, scene = make_model(device, dtype), make_scene(device, dtype)
    functions = {f"{count} samples": sampling(model, scene, count) for count in SAMPLES}
    times = interleaved(functions, runs, device)
    length = scene["input_ids"].shape[1]
    print_times(times, f"prompt of {length} tokens, {IMAGES} images, {device}, {dtype}, {runs} runs")
    for count in SAMPLES[1:]:
        print_ratio(times, f"{count} samples", "1 samples")
    context = multiprocessing.get_context("spawn")
    for count in SAMPLES:
        with context.Pool(1) as pool:
            print(f"{count} samples: {pool.apply(extra_memory, (count, device, dtype)) / 2**20:.0f} MiB")
