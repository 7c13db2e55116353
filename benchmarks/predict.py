"""How much token aggregation and pruning save, and how far prediction is from its bare matrix products."""

import torch

from benchmarks.matrix_products import bare_products
from benchmarks.timing import Timing, interleaved
from vlahub import CogVLAConfig, CogVLAForActionPrediction

DEPTH, IMAGES, PROMPT_TOKENS, LANGUAGE_LAYERS = 12, 3, 30, 16
DEEP_LANGUAGE_LAYERS = 32
STATISTICS = {"q01": [-1.0] * 7, "q99": [1.0] * 7}


def make_model(device: str, dtype: torch.dtype, layers: int = LANGUAGE_LAYERS, **options) -> CogVLAForActionPrediction:
    """Two towers 192 wide at 224 px, Llama 512 wide, L1 head over 8 x 7 action tokens, random weights."""
    tower = {"hidden_size": 192, "intermediate_size": 768, "num_attention_heads": 3, "num_hidden_layers": DEPTH - 1}
    plain = {"num_registers": 0, "has_class_token": False, "has_layer_scale": False}
    text = {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": layers, "num_attention_heads": 8}
    torch.manual_seed(0)
    config = CogVLAConfig(
        featurizer_config=tower,
        fused_featurizer_config={**tower, **plain},
        text_config={**text, "vocab_size": 32064},
        num_images_in_input=IMAGES,
        num_vision_aggr=64,
        norm_stats={"benchmark": {"action": STATISTICS}},
        **options,
    )
    return CogVLAForActionPrediction(config).eval().to(device, dtype)


def make_inputs(device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """One sample; its prompt lacks the prompt-end token, which prediction appends."""
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(3, 29000, (1, PROMPT_TOKENS), generator=generator).to(device),
        "pixel_values": torch.randn(1, 6 * IMAGES, 224, 224, generator=generator).to(device, dtype),
    }


def language_model_alone(model: CogVLAForActionPrediction, inputs: dict[str, torch.Tensor]):
    """The language model of `model` as a function without arguments, on the inputs that prediction gives it."""
    recorded = {}
    run = model.language_model.read

    def record(prepared, cache=None):
        recorded["inputs"] = prepared
        return run(prepared, cache)

    model.language_model.read = record
    model.predict_action(**inputs)
    model.language_model.read = run
    return lambda: run(recorded["inputs"])


@torch.no_grad()
def main(runs: int, device: str, dtype: torch.dtype) -> None:
    """Print minima and medians in milliseconds, and the ratios that matter."""
    inputs = make_inputs(device, dtype)
    variants = {
        "full": {},
        "without LFP": {"use_lfp": False},
        "without aggregation and LFP": {"use_lfp": False, "use_aggr": False},
    }
    models = {name: make_model(device, dtype, **options) for name, options in variants.items()}
    functions = {name: lambda model=model: model.predict_action(**inputs) for name, model in models.items()}
    functions["bare matrix products of full"] = bare_products(functions["full"], device, dtype)
    times = interleaved(functions, runs, device)
    print_times(times, f"predict_action, batch 1, {device}, {dtype}, {torch.get_num_threads()} threads, {runs} runs")
    print_ratio(times, "without aggregation and LFP", "full")
    print_ratio(times, "full", "bare matrix products of full")

    deep = {"full": {}, "without LFP": {"use_lfp": False}}
    models = {name: make_model(device, dtype, DEEP_LANGUAGE_LAYERS, **options) for name, options in deep.items()}
    times = interleaved({name: language_model_alone(model, inputs) for name, model in models.items()}, runs, device)
    print_times(times, f"language model alone, {DEEP_LANGUAGE_LAYERS} layers")
    print_ratio(times, "without LFP", "full")


def print_times(times: dict[str, Timing], title: str) -> None:
    print(f"\n{title}\n{'':<32}{'minimum':>10}{'median':>10}  ms")
    for name, timing in times.items():
        print(f"{name:<32}{timing.minimum * 1e3:>10.1f}{timing.median * 1e3:>10.1f}")


def print_ratio(times: dict[str, Timing], slow: str, fast: str) -> None:
    minima, medians = times[slow].minimum / times[fast].minimum, times[slow].median / times[fast].median
    print(f"{slow} / {fast}: {minima:.2f} (minima), {medians:.2f} (medians)")
