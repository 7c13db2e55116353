"""CogVLA at its published size: two views, a state, LIBERO's chunk, the L1 head."""

import torch
from transformers import LlamaConfig

from vlahub import CogVLAConfig, CogVLAForActionPrediction

from .placeholders import PROMPT, robot_statistics
from .recorded_shapes import Call, recorded, size_of
from .svg_drawing import Box, Drawing, shape

FEATURIZER, FUSED = "vision_backbone.featurizer", "vision_backbone.fused_featurizer"
EMBEDDINGS = "language_model.model.embed_tokens"
PARTS = (
    *(FEATURIZER, FUSED, f"{FEATURIZER}.patch_embed", f"{FUSED}.patch_embed", "vision_backbone"),
    *("language_model.model", EMBEDDINGS, "moe_aggregator", "proprio_projector", "action_head"),
)


def draw() -> Drawing:
    """The picture, after a prediction on the meta device."""
    text = LlamaConfig(vocab_size=32064, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32)
    config = CogVLAConfig(text_config=text, num_images_in_input=2, state_dim=8, norm_stats=robot_statistics(7, 8))
    with torch.device("meta"):
        model = CogVLAForActionPrediction(config).eval()
        given = {"pixel_values": torch.zeros(1, 12, 224, 224), "state": torch.zeros(1, 8)}
        ids = torch.zeros(1, PROMPT, dtype=torch.long)
        with recorded(model, PARTS) as calls:
            actions = model.predict_action(ids, **given, check_finite=False)
    first = {name: found[0] for name, found in calls.items()}
    title = "CogVLA: from two camera views and an instruction to a chunk of actions"
    figure = Drawing(
        title, f"Sizes of one sample (batch 1) with {config.num_images_in_input} views; {size_of(model)}", 985
    )
    vision, table, projector = encoders(figure, model, first, given)
    sequence = joined(figure, model, first, (vision, table, projector))
    decided(figure, model, first, sequence, actions)
    return figure


def encoders(figure: Drawing, model: CogVLAForActionPrediction, calls: dict[str, Call], given: dict) -> list[Box]:
    """Inputs, and what makes tokens of them."""
    channels = [shape(given["pixel_values"].shape), "6 channels a view, 3 for each tower"]
    pixels = figure.box(60, 76, 400, "pixel_values", channels, "input")
    words = figure.box(540, 76, 280, "input_ids", [shape((1, PROMPT)), "prompt with the instruction"], "input")
    state = figure.box(890, 76, 240, "state", [shape(given["state"].shape), "normalised to [-1, 1]"], "input")
    table = figure.box(580, 226, 200, "embed_tokens", [size_of(model.language_model.model.embed_tokens)])
    projector = figure.box(890, 226, 240, "proprio_projector", ["2 layers", size_of(model.proprio_projector)])
    experts = figure.box(
        130,
        440,
        320,
        "MoE aggregator",
        [size_of(model.moe_aggregator), "a projector for each tower,", "weighed by the text"],
    )
    for x, title, name, share in ((40, "DINOv2 ViT-L/14", FEATURIZER, 0.25), (310, "SigLIP so400m/14", FUSED, 0.75)):
        module = model.get_submodule(name)
        views, patches, _ = calls[f"{name}.patch_embed"].outputs[0]
        lines = [
            size_of(module),
            f"{views} views of {patches} patches",
            f"and {model.config.num_vision_aggr} aggregation tokens",
            f"{len(module.blocks)} blocks with FiLM",
        ]
        tower = figure.box(x, 226, 230, title, lines)
        figure.arrow(pixels, tower, [shape(calls[name].inputs[0])], shares=(share, 0.5), bend=0.3)
        figure.arrow(tower, experts, [shape(calls[name].outputs[0])], shares=(0.5, share), bend=0.3)
    mean = shape(calls["vision_backbone"].inputs[1])
    figure.arrow(table, tower, sides=("left", "right"), shares=(0.5, 0.24), dashed=True)
    label = [mean, "mean of the text,", "for FiLM and MoE"]
    figure.arrow(table, experts, label, ("bottom", "right"), (0.12, 0.5), at=(604, 400), dashed=True)
    figure.arrow(words, table, ["ids"])
    figure.arrow(state, projector, [shape(calls["proprio_projector"].inputs[0])])
    return [experts, table, projector]


def joined(figure: Drawing, model: CogVLAForActionPrediction, calls: dict[str, Call], sources: tuple) -> Box:
    """The sequence that the language model reads."""
    length = calls["language_model.model"].words["inputs_embeds"].shape[1]
    vision, places = model.config.num_vision_tokens, model.config.num_action_tokens
    prompt = length - vision - places - 3
    parts = f"begin 1 | vision {vision} | state 1 | prompt {prompt} | places of the actions {places} | stop 1"
    sequence = figure.box(130, 605, 960, "one sequence", [parts], "note")
    names = "moe_aggregator", EMBEDDINGS, "proprio_projector"
    for source, name, at in zip(sources, names, (290, 730, 1010), strict=True):
        start = (at - source.x) / source.width
        figure.arrow(source, sequence, [shape(calls[name].outputs[0])], shares=(start, (at - 130) / 960))
    return sequence


def decided(figure: Drawing, model: CogVLAForActionPrediction, calls: dict[str, Call], sequence: Box, actions) -> None:
    """From the sequence to actions."""
    config, read = model.config, calls["language_model.model"]
    kept = {layer: places.shape[1] for layer, places in read.words["pruning"].kept.items()}
    first, last = min(kept), max(kept)
    lines = [
        f"{size_of(model.language_model)}, {len(model.language_model.model.layers)} layers, causal; "
        "the actions see each other",
        f"token pruning (LFP): of {config.num_vision_tokens} vision tokens layer {first} works on {kept[first]}, "
        f"layer {last} on {kept[last]}",
    ]
    stack = figure.box(260, 705, 700, "Llama", lines)
    steps = f"reads {config.action_dim} states for each of {config.num_action_chunks} steps"
    head = figure.box(380, 825, 460, "L1 action head", [f"{size_of(model.action_head)}, {steps}"])
    chunk = f"{shape(actions.shape)}: {config.num_action_chunks} steps of {config.action_dim} numbers, robot units"
    result = figure.box(380, 917, 460, "actions", [chunk], "output")
    figure.arrow(sequence, stack, [shape(read.words["inputs_embeds"].shape)])
    figure.arrow(stack, head, [shape(calls["action_head"].inputs[0])])
    figure.arrow(head, result)
