"""The prompt of Alpamayo-R1 and the driven path that goes into it (published form: NVlabs/alpamayo, helper.py)."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ...configuration.vla_errors import InputError
from ...modeling.alpamayo_r1.ego_frame import check_poses, in_frame_of_last
from ..chat_turns import Turn
from ..prompts import instruction_of
from ..sample_inputs import finite_numbers
from .route_and_question import ANSWER_START, QUESTION, ROUTE
from .special_tokens import TRAJ_TOKEN

FASTEST = 20  # metres from one pose to the next, 200 m/s
FRAMES = ("ego", "world")  # of a history: that of its last pose, or any other
IMAGE_TOKEN = "<|image_pad|>"
SYSTEM_PROMPT = "You are a driving assistant that generates safe and accurate actions."
ANSWER_TURN = "<|im_start|>assistant\n"
REQUEST = "output the chain-of-thought reasoning of the driving process, then output the future trajectory."


class DrivingPrompt(NamedTuple):
    """What a prompt is made of, beside its texts.

    Attributes:
        system: the system's line.
        tokens_per_image: image tokens of each image.
        num_history_tokens: placeholders of the driven path.
        labels: what stands before each image, see `camera_labels.py`; empty for none.
        is_routed: whether a text of navigation stands between path and request.
        turns: earlier ones.
    """

    system: str
    tokens_per_image: Sequence[int]
    num_history_tokens: int
    labels: Sequence[str] = ()
    is_routed: bool = False
    turns: Sequence[Turn] = ()


def image_text(tokens_per_image: Sequence[int], labels: Sequence[str] = ()) -> str:
    """The images of a prompt; labels: what stands before each, where they have them."""
    images = [f"<|vision_start|>{IMAGE_TOKEN * count}<|vision_end|>" for count in tokens_per_image]
    return "".join(label + image for label, image in zip(labels or [""] * len(images), images, strict=True))


def system_line(system: str) -> str:
    return f"<|im_start|>system\n{system}<|im_end|>\n"


def driving_prompt_pieces(prompt: DrivingPrompt) -> list[str]:
    """Qwen's chat around the texts of earlier turns, of navigation and the request: the system line, what opens and
    closes each turn, images and placeholders for the path before the request, and what opens the answer.

    Raises:
        InputError: a turn is the system's, whose line the processor has.
    """
    images = image_text(prompt.tokens_per_image, prompt.labels)
    path = TRAJ_TOKEN["history"] * prompt.num_history_tokens
    path = TRAJ_TOKEN["history_start"] + path + TRAJ_TOKEN["history_end"]
    pieces, close = [system_line(prompt.system)], "<|im_end|>\n"
    for turn in prompt.turns:
        if turn.role == "system":
            raise InputError("history has a system turn; the system's text is the processor's system_prompt.")
        pieces = [*pieces[:-1], pieces[-1] + f"<|im_start|>{turn.role}\n", close]
    scene = f"{pieces[-1]}<|im_start|>user\n{images}{path}"
    return [*pieces[:-1], *([scene + ROUTE[0], ROUTE[1]] if prompt.is_routed else [scene]), f"{close}{ANSWER_TURN}"]


def question_prompt_pieces(system: str, tokens_per_image: Sequence[int], labels: Sequence[str] = ()) -> list[str]:
    """What stands before and behind a question; the others as in `DrivingPrompt`."""
    head = f"{system_line(system)}<|im_start|>user\n{image_text(tokens_per_image, labels)}{QUESTION[0]}"
    return [head, f"{QUESTION[1]}<|im_end|>\n{ANSWER_TURN}{ANSWER_START}"]


def request_of(text: str, system: str, behind: str) -> str:
    """The request in a whole prompt of any images and any path; another text as it is. behind: what ends the prompt."""
    head, _ = driving_prompt_pieces(DrivingPrompt(system, (), 0))
    path = TRAJ_TOKEN["history_start"]
    token = "|".join(map(re.escape, (IMAGE_TOKEN, "<|vision_start|>", "<|vision_end|>", *TRAJ_TOKEN.values())))
    return instruction_of(text, head[: head.index(path)] + "{images}", behind, rf"(?:{token}|<i\d+>)*")


def check_pace(xyz: torch.Tensor) -> None:
    """Refuse positions (batch, steps, 3), a tenth of a second apart, that no car in metres has.

    Raises:
        InputError: the message names the row of the batch and the distance.
    """
    paces = xyz.diff(dim=1).norm(dim=-1).amax(dim=1).tolist()
    wrong = [row for row, pace in enumerate(paces) if pace > FASTEST]
    if wrong:
        raise InputError(
            f"ego_history_xyz of row {wrong[0]} moves {paces[wrong[0]]:.6g} m from one pose to the next, a tenth of a "
            f"second later; more than {FASTEST} m is no car: positions are in metres."
        )


def read_history(xyz: Any, rot: Any, frame: str = "ego") -> tuple[torch.Tensor, torch.Tensor]:
    """Poses in any of the accepted forms -> (batch, 1, steps, 3) and (batch, 1, steps, 3, 3) float32.

    frame: `ego`, that of the last pose, or `world`, any other, which is left here (in float64).

    Raises:
        InputError: another form or frame, fewer than two poses, values that are not finite, no rotations, or steps
            that no car makes.
    """
    if frame not in FRAMES:
        raise InputError(f"history_frame={frame!r} is unknown; choose from {', '.join(FRAMES)}.")
    for name, value in (("ego_history_xyz", xyz), ("ego_history_rot", rot)):
        if value is None:
            raise InputError(f"{name} is missing: past poses, in metres and as rotation matrices, are needed.")
    form = "(steps, 3), (batch, steps, 3) or (batch, 1, steps, 3)"
    xyz = finite_numbers("ego_history_xyz", xyz, form, torch.float64)
    rot = finite_numbers("ego_history_rot", rot, f"{form}, with (3, 3) for 3", torch.float64)
    if rot.shape != (*xyz.shape, 3):
        raise InputError(
            f"ego_history_rot has shape {tuple(rot.shape)}; with ego_history_xyz of shape {tuple(xyz.shape)} it must "
            f"be {(*xyz.shape, 3)}."
        )
    found = tuple(xyz.shape)
    if xyz.dim() == 2:
        xyz, rot = xyz[None], rot[None]
    if xyz.dim() == 3:
        xyz, rot = xyz[:, None], rot[:, None]
    if xyz.dim() != 4 or xyz.shape[1] != 1 or xyz.shape[-1] != 3 or not len(xyz):
        raise InputError(f"ego_history_xyz has shape {found}; accepted is {form}.")
    if xyz.shape[2] < 2:
        raise InputError(f"ego_history_xyz has {xyz.shape[2]} poses; at least two are needed.")
    check_poses("ego_history", xyz[:, 0], rot[:, 0], ends_at_origin=frame == "ego")
    check_pace(xyz[:, 0])
    if frame == "world":
        xyz, rot = in_frame_of_last(xyz, rot, xyz[:, :, -1], rot[:, :, -1])
    return xyz.float(), rot.float()
