"""LLaVA-3D with MapAnything V1.1 and a deep-fusion expert, at the published sizes: two views, a state, ten actions."""

import torch

from vlahub import MapAnythingLlava3DConfig, MapAnythingLlava3DForConditionalGeneration

from .placeholders import PROMPT, robot_statistics
from .recorded_shapes import Call, recorded, size_of
from .svg_drawing import Box, Drawing, shape

STACKS = "language_model_with_expert"
PARTS = (
    *("vision_tower", "vision_projector", "geometric_model", "geometric_projector", "fusion_projector", STACKS),
    *("action_expert.state_proj", "action_expert.action_in_proj", "action_expert.action_out_proj"),
)


def draw() -> Drawing:
    """The picture, after a prediction on the meta device."""
    config = MapAnythingLlava3DConfig(use_state=True, state_dim=8, norm_stats=robot_statistics(7, 8))
    with torch.device("meta"):
        model = MapAnythingLlava3DForConditionalGeneration(config).eval()
        pixels = torch.zeros(1, 2, 3, 224, 224)
        ids = torch.zeros(1, 2 * config.num_image_tokens + PROMPT, dtype=torch.long)
        with recorded(model, PARTS) as calls:
            actions = model.predict_action(ids, pixels, state=torch.zeros(1, 8), check_finite=False)
    title = "LLaVA-3D with an action expert: images are read once, actions come out of noise in steps"
    figure = Drawing(title, f"Sizes of one sample (batch 1) with {pixels.shape[1]} views; {size_of(model)}", 960)
    prefix = read(figure, model, calls, (pixels, ids))
    acted(figure, model, calls, prefix, actions)
    return figure


def read(figure: Drawing, model, calls: dict[str, list[Call]], given: tuple) -> Box:
    """From images and text to the prefix; the table of the words stands beside the towers."""
    pixels, ids = given
    views = figure.box(60, 76, 480, "pixel_values", [shape(pixels.shape), "in [-1, 1]"], "input")
    images = model.config.num_image_tokens * pixels.shape[1]
    lines = [shape(ids.shape), f"{images} image tokens and a prompt of {PROMPT}"]
    words = figure.box(560, 76, 400, "input_ids", lines, "input")
    layers = len(model.vision_tower.vision_model.encoder.layers)
    siglip = figure.box(40, 216, 240, "SigLIP so400m/14", [size_of(model.vision_tower), f"{layers} layers"])
    blocks = (
        len(model.geometric_model.encoder.model.blocks),
        len(model.geometric_model.info_sharing.self_attention_blocks),
    )
    lines = [size_of(model.geometric_model), f"DINOv2, {blocks[0]} blocks; {blocks[1]} over all views"]
    geometry = figure.box(310, 216, 270, "MapAnything", lines)
    figure.arrow(views, siglip, [shape(calls["vision_tower"][0].inputs[0])], shares=(0.2, 0.5), bend=0.2)
    figure.arrow(views, geometry, [shape(calls["geometric_model"][0].inputs[0])], shares=(0.8, 0.5), bend=0.2)
    vision = figure.box(40, 346, 240, "vision_projector", [size_of(model.vision_projector)])
    space = figure.box(
        310, 346, 270, "geometric_projector", [size_of(model.geometric_projector), "then its mean over all places"]
    )
    fusion = figure.box(
        130, 480, 360, "fusion_projector", [size_of(model.fusion_projector), "beside each other, then one layer"]
    )
    for tower, name, projector, to, share in (
        (siglip, "vision_tower", vision, "vision_projector", 0.1),
        (geometry, "geometric_model", space, "geometric_projector", 0.9),
    ):
        figure.arrow(tower, projector, [shape(calls[name][0].outputs[0])])
        figure.arrow(projector, fusion, [shape(calls[to][0].outputs[0])], shares=(0.5, share), bend=0.2)
    table = model.get_input_embeddings()
    embeds = figure.box(600, 216, 240, "embed_tokens", [size_of(table)])
    figure.arrow(words, embeds, ["ids"], shares=(0.4, 0.5))
    states = calls[STACKS][0].inputs[0]
    sequence = [f"{shape(states)}: image features in the place of the image tokens"]
    prefix = figure.box(130, 620, 560, "prefix", sequence, "note")
    figure.arrow(fusion, prefix, [shape(calls["fusion_projector"][0].outputs[0])], shares=(0.5, 180 / 560))
    figure.arrow(embeds, prefix, [shape(states)], shares=(40 / 240, 510 / 560))
    return prefix


def acted(figure: Drawing, model, calls: dict[str, list[Call]], prefix: Box, actions) -> None:
    """The language model once, and the expert in each step."""
    base, expert, config = model.language_model, model.language_model_with_expert.expert, model.config
    suffix = next(call for call in calls[STACKS] if call.words["inputs_embeds"][1] is not None).inputs[0]
    noise = figure.box(760, 400, 330, "state, noise and time", ["1 state token, a token a step, 1 time token"], "input")
    lines = [
        f"{size_of(base)}, {config.text_config.num_hidden_layers} layers",
        "runs once; sees itself in both directions",
    ]
    llama = figure.box(130, 730, 420, "Llama", lines)
    figure.arrow(prefix, llama, [shape(prefix_states(calls))], shares=(210 / 560, 0.5))
    lines = [
        f"{size_of(expert)}, {config.expert_config.num_hidden_layers} layers, {config.expert_hidden_size} wide",
        f"{config.num_inference_steps} {config.ode_solver.capitalize()} steps over the same keys and values",
    ]
    stack = figure.box(740, 730, 420, "action expert", lines)
    figure.arrow(noise, stack, [shape(suffix)], shares=(0.5, 185 / 420))
    figure.arrow(llama, stack, ["keys and values", "of every layer"], ("right", "left"), dashed=True)
    velocity = shape(calls["action_expert.action_out_proj"][0].outputs[0])
    figure.arrow(stack, noise, [f"velocity {velocity}", "each step"], ("top", "right"), (0.95, 0.5), at=(1116, 620))
    chunk = f"{shape(actions.shape)}: {config.num_action_chunks} steps of {config.action_dim} numbers, robot units"
    result = figure.box(730, 880, 440, "actions", [chunk], "output")
    figure.arrow(stack, result, ["after the last step"])


def prefix_states(calls: dict[str, list[Call]]) -> tuple[int, ...]:
    return calls[STACKS][0].inputs[0]
