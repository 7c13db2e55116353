"""A composed model: SigLIP base, a perceiver, FiLM, Gemma 2B and a flow head; two views, a state."""

import torch

from vlahub import MultimodalVLAConfig, MultimodalVLAForActionPrediction

from .placeholders import PROMPT, robot_statistics
from .recorded_shapes import Call, recorded, size_of
from .svg_drawing import Box, Drawing, shape

SIGLIP_BASE = {"model_type": "siglip_vision_model", "patch_size": 16, "image_size": 224}
SIGLIP_BASE |= {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
GEMMA_2B = {"model_type": "gemma", "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18}
GEMMA_2B |= {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 256000}
LANGUAGE, NETWORK = "backbone.language_model.model", "action_network"
PARTS = (
    *("backbone.vision_tower", "projector", "film", "proprio_projector", f"{LANGUAGE}.embed_tokens", LANGUAGE, NETWORK),
    *("action_head.action_in_proj", "action_head.action_out_proj"),
)


def draw() -> Drawing:
    """The picture, after a prediction on the meta device."""
    parts = {"vision_config": SIGLIP_BASE, "text_config": GEMMA_2B, "projector_type": "perceiver", "fusion": "film"}
    robot = {"use_state": True, "state_dim": 8, "norm_stats": robot_statistics(7, 8)}
    config = MultimodalVLAConfig(**parts, **robot, action_head="flow")
    with torch.device("meta"):
        model = MultimodalVLAForActionPrediction(config).eval()
        pixels, ids = torch.zeros(1, 2, 3, 224, 224), torch.zeros(1, PROMPT, dtype=torch.long)
        with recorded(model, PARTS) as calls:
            actions = model.predict_action(ids, pixels, state=torch.zeros(1, 8), check_finite=False)
    title = "A composed model: SigLIP, a perceiver, FiLM, Gemma and a flow head"
    figure = Drawing(title, f"Sizes of one sample (batch 1) with {pixels.shape[1]} views; {size_of(model)}", 930)
    sequence = read(figure, model, calls, (pixels, ids))
    acted(figure, model, calls, sequence, actions)
    return figure


def read(figure: Drawing, model, calls: dict[str, list[Call]], given: tuple) -> Box:
    """From images, text and state to the sequence of the language model."""
    pixels, ids = given
    config, language = model.config, model.get_submodule(LANGUAGE)
    views = figure.box(
        60, 76, 360, "pixel_values", [shape(pixels.shape), "as the tower's processor makes them"], "input"
    )
    words = figure.box(500, 76, 280, "input_ids", [shape(ids.shape), "prompt with the instruction"], "input")
    state = figure.box(870, 76, 240, "state", [f"1 \u00d7 {config.state_dim}", "normalised to [-1, 1]"], "input")
    layers = config.vision_config.num_hidden_layers
    tower = figure.box(
        100, 216, 280, "vision tower: SigLIP base", [size_of(model.backbone.vision_tower), f"{layers} layers, frozen"]
    )
    table = figure.box(540, 216, 200, "embed_tokens", [size_of(language.embed_tokens)])
    projector = figure.box(870, 216, 240, "proprio_projector", ["2 layers", size_of(model.proprio_projector)])
    figure.arrow(views, tower, [shape(calls["backbone.vision_tower"][0].inputs[0])])
    figure.arrow(words, table, ["ids"])
    figure.arrow(state, projector, [shape(calls["proprio_projector"][0].inputs[0])])
    lines = [size_of(model.projector), f"{config.num_latents} tokens of all views together"]
    perceiver = figure.box(100, 346, 280, "projector: perceiver", lines)
    figure.arrow(tower, perceiver, [shape(calls["projector"][0].inputs[0])])
    film = figure.box(100, 476, 280, "fusion: FiLM", [size_of(model.film), "the text scales and shifts"])
    features = shape(calls["projector"][0].outputs[0])
    figure.arrow(perceiver, film, [features])
    mean = [shape(calls["film"][0].inputs[0]), "mean of the text"]
    figure.arrow(table, film, mean, ("bottom", "right"), (0.15, 0.5), at=(570, 420), dashed=True)
    length = calls[LANGUAGE][0].words["inputs_embeds"].shape[1]
    parts = f"vision {config.num_latents} | prompt {length - config.num_latents - 1} | state 1"
    sequence = figure.box(100, 610, 1010, "one sequence", [parts], "note")
    figure.arrow(film, sequence, [features], shares=(0.5, 140 / 1010))
    embedded = shape(calls[f"{LANGUAGE}.embed_tokens"][0].outputs[0])
    figure.arrow(table, sequence, [embedded], shares=(0.75, 590 / 1010))
    figure.arrow(projector, sequence, [shape(calls["proprio_projector"][0].outputs[0])], shares=(0.5, 890 / 1010))
    return sequence


def acted(figure: Drawing, model, calls: dict[str, list[Call]], sequence: Box, actions) -> None:
    """The language model once, and the flow head in each step."""
    config, language = model.config, model.get_submodule(LANGUAGE)
    lines = [f"{size_of(language)}, {config.text_config.num_hidden_layers} layers", "runs once"]
    gemma = figure.box(100, 720, 340, "language model: Gemma 2B", lines)
    states = shape(calls[LANGUAGE][0].words["inputs_embeds"].shape)
    figure.arrow(sequence, gemma, [states], shares=(170 / 1010, 0.5))
    own = calls[NETWORK][-1].inputs[0]
    layers = f"{config.expert_config.num_hidden_layers} layers, {own[-1]} wide"
    lines = [
        f"{size_of(model.action_network, model.action_head)}, {layers}",
        f"{config.num_inference_steps} {config.ode_solver.capitalize()} steps; reads all states",
    ]
    head = figure.box(580, 720, 330, "action head: flow", lines)
    lines = [shape(calls["action_head.action_in_proj"][0].inputs[0]), f"with time {shape(own)}"]
    noise = figure.box(960, 720, 190, "noise", lines, "input")
    figure.arrow(gemma, head, [states], ("right", "left"))
    figure.arrow(noise, head, (), ("left", "right"))
    chunk = f"{shape(actions.shape)}: {config.num_action_chunks} steps of {config.action_dim} numbers, robot units"
    result = figure.box(525, 860, 440, "actions", [chunk], "output")
    figure.arrow(head, result, ["after the last step"])
