"""Alpamayo-R1 at its released size: four cameras with four frames each, six trajectories."""

import torch

from vlahub import AlpamayoR1, AlpamayoR1Config
from vlahub.modeling.alpamayo_r1.expert_steps import Drive, driven
from vlahub.modeling.alpamayo_r1.prompt_pass import PromptInputs
from vlahub.modeling.alpamayo_r1.prompt_reading import read_images
from vlahub.modeling.alpamayo_r1.rollout import Rollout, keys_for, prefill

from .recorded_shapes import Call, recorded, size_of
from .svg_drawing import Box, Drawing, shape

CAMERAS, FRAMES, GRID = 4, 4, (1, 20, 36)  # 1080 by 1920 pixels become 320 by 576, in patches of 16
POSES, TEXT, WRITTEN, SAMPLES = 16, 240, 40, 6  # text tokens of a prompt, with the history's; of a reasoning
PARTS = ("vlm.model.language_model", "vlm.lm_head", "action_in_proj", "expert.norm", "action_out_proj")


def draw() -> Drawing:
    """The picture, after what `predict_trajectories` does but for the drawing of tokens, on the meta device."""
    with torch.device("meta"):
        model = AlpamayoR1(AlpamayoR1Config()).eval()
    with recorded(model, PARTS) as calls, torch.no_grad(), torch.device("meta"):
        patches = CAMERAS * FRAMES * GRID[1] * GRID[2]
        pixels = torch.zeros(patches, 3 * 2 * 16 * 16)
        images, _ = read_images(model, pixels, torch.tensor([GRID] * CAMERAS * FRAMES, device="cpu"))
        history = torch.zeros(1, POSES, 3), torch.zeros(1, POSES, 3, 3)
        ids = model.with_history(torch.zeros(1, len(images.tokens) + TEXT, dtype=torch.long), *history)
        drive = predicted(model, ids, images, history)
    title = "Alpamayo-R1: cameras and a driven path become reasoning, then trajectories"
    subtitle = (
        f"Sizes of one scene (batch 1), {CAMERAS} cameras of {FRAMES} frames, {SAMPLES} samples; {size_of(model)}"
    )
    figure = Drawing(title, subtitle, 960)
    prompt = read(figure, model, (pixels, history, ids), images)
    acted(figure, model, calls, prompt, drive)
    return figure


def predicted(model: AlpamayoR1, ids: torch.Tensor, images, history: tuple) -> Drive:
    """Prompt and trajectories, around texts of which only the lengths are known."""
    positions = torch.zeros(3, *ids.shape, dtype=torch.long)
    keys = keys_for(model, *ids.shape, SAMPLES, (WRITTEN, model.config.num_action_chunks))
    prompt = prefill(model, PromptInputs(ids, positions, None, images), SAMPLES, keys)
    text = torch.zeros(SAMPLES, WRITTEN, dtype=torch.long)
    whole = torch.cat([ids.expand(SAMPLES, -1), text], dim=1)
    sound = torch.ones(SAMPLES, dtype=torch.bool)
    rollout = Rollout(prompt, whole, text, torch.zeros(SAMPLES, dtype=torch.long), sound, None)
    noise = torch.zeros(SAMPLES, model.config.num_action_chunks, model.config.action_dim)
    ode = model.diffusion.sampling(model.config.num_inference_steps, None, None)
    return driven(model, rollout, noise, ode, history)


def read(figure: Drawing, model: AlpamayoR1, given: tuple, images) -> Box:
    """From images, path and text to the prompt."""
    pixels, history, ids = given
    visual, config = model.vlm.model.visual, model.config
    lines = [
        f"{shape(pixels.shape)}: patches of raw pixels",
        f"{CAMERAS * FRAMES} images of {GRID[1]} by {GRID[2]} patches",
    ]
    views = figure.box(50, 76, 360, "pixel_values", lines, "input")
    words = figure.box(450, 76, 330, "input_ids", [shape(ids.shape), "chat with image and history tokens"], "input")
    lines = [f"xyz {shape(history[0].shape)} m, rot {shape(history[1].shape)}", f"{POSES} poses, 0.1 s apart"]
    path = figure.box(820, 76, 330, "ego_history", lines, "input")
    lines = [size_of(visual), f"{len(visual.blocks)} blocks, 2 by 2 patches become one token"]
    tower = figure.box(50, 226, 360, "vision tower of Qwen3-VL", lines)
    table = figure.box(500, 226, 230, "embed_tokens", [size_of(model.get_input_embeddings())])
    bins = figure.box(
        820, 226, 330, "delta tokenizer", [f"{config.tokens_per_history_traj} tokens: x, y and z of each step"]
    )
    figure.arrow(views, tower, [shape(pixels.shape)])
    figure.arrow(words, table, ["ids"])
    figure.arrow(path, bins, [shape(history[0].shape)])
    figure.arrow(bins, table, ["path", "tokens"], ("left", "right"))
    text = ids.shape[1] - len(images.tokens)
    lines = [f"images {len(images.tokens)} | text and path {text}"]
    prompt = figure.box(110, 390, 620, "prompt", lines, "note")
    label = [shape(images.tokens.shape), f"and as much again for each of the first {len(images.deepstack)} layers"]
    figure.arrow(tower, prompt, label, shares=(0.5, 120 / 620))
    figure.arrow(table, prompt, [f"{text} tokens"], shares=(0.5, 505 / 620))
    return prompt


def acted(figure: Drawing, model: AlpamayoR1, calls: dict[str, list[Call]], prompt: Box, drive: Drive) -> None:
    """Reasoning, and the expert's steps over its keys and values."""
    config, text = model.config, model.vlm.model.language_model
    lines = [
        f"{size_of(text, model.vlm.lm_head)}, {len(text.layers)} layers, causal",
        f"the prompt once, then a text for each of {SAMPLES} samples",
    ]
    llm = figure.box(110, 510, 480, "language model of Qwen3-VL", lines)
    states = shape(calls["vlm.model.language_model"][0].words["inputs_embeds"].shape)
    figure.arrow(prompt, llm, [states], shares=(240 / 620, 0.5))
    reasoning = figure.box(
        110, 700, 480, "reasoning", [f"a text a sample, up to {config.tokens_per_future_traj} tokens"], "output"
    )
    figure.arrow(llm, reasoning, [f"logits over {config.vocab_size} tokens, those of trajectories left out"])
    first = calls["action_in_proj"][0]
    noise = figure.box(760, 390, 390, "noise", [f"{shape(first.inputs[0])}: acceleration, curvature"], "input")
    lines = [
        f"{size_of(model.expert, model.action_in_proj, model.action_out_proj)}, {len(model.expert.layers)} layers",
        f"{config.num_inference_steps} {config.ode_solver.capitalize()} steps; its tokens see each other",
    ]
    expert = figure.box(760, 510, 390, "expert", lines)
    figure.arrow(noise, expert, [shape(first.outputs[0])])
    figure.arrow(llm, expert, ["keys and", "values"], ("right", "left"), dashed=True)
    space = figure.box(760, 700, 390, "unicycle model", [f"integrates {config.num_action_chunks} steps of 0.1 s"])
    figure.arrow(expert, space, [f"{shape(drive.actions.shape)}: m/s\u00b2 and 1/m, normalised"])
    lines = [f"pred_xyz {shape((1, 1, *drive.xyz.shape))} m", f"pred_rot {shape((1, 1, *drive.rot.shape))}"]
    result = figure.box(760, 840, 390, "trajectories", lines, "output")
    figure.arrow(space, result, ["from the last pose on"])
