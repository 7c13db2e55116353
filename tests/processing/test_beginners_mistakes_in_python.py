"""What people get wrong first with processor and model in Python: the error names the value and what is needed."""

import numpy as np
import pytest
import torch
from PIL import Image

from vlahub.errors import InputError

VIEWS = list(np.random.RandomState(0).randint(0, 256, (2, 40, 48, 3)).astype(np.uint8))
STATE = [0.1 * i for i in range(8)]
ACCEPTED = "accepted is a PIL image"

# What is given to a processor in place of two views, an instruction and eight values, and the words of the error.
PROCESSOR = {
    "one view of two": ({"images": VIEWS[:1]}, "has 1 images, expected 2", "one image for each view"),
    "a view without a list": ({"images": Image.fromarray(VIEWS[0])}, "has 1 images, expected 2"),
    "three views of two": ({"images": [*VIEWS, VIEWS[0]]}, "has 3 images, expected 2", "one image for each view"),
    "no views": ({"images": []}, "has 0 images", "one image for each view"),
    "no images": ({"images": None}, "got NoneType", ACCEPTED),
    "paths": ({"images": ["a.png", "b.png"]}, "got str", ACCEPTED, "PIL.Image.open"),
    "one path": ({"images": "a.png"}, "got str", "PIL.Image.open"),
    "float64 of 0 to 1": ({"images": [view / 255 for view in VIEWS]}, "float64 of shape (40, 48, 3)", "uint8"),
    "float32 of 0 to 255": ({"images": [view.astype(np.float32) for view in VIEWS]}, "float32", "convert it to uint8"),
    "a float tensor": ({"images": [torch.rand(3, 40, 48)] * 2}, "torch.float32 of shape (3, 40, 48)", "0..255"),
    "int64": ({"images": [view.astype(int) for view in VIEWS]}, "got int64", "uint8"),
    "channels first": ({"images": [view.transpose(2, 0, 1) for view in VIEWS]}, "(3, 40, 48)", "(height, width, 3)"),
    "grey": ({"images": [view[..., 0] for view in VIEWS]}, "uint8 of shape (40, 48)", "(height, width, 3)"),
    "four channels": ({"images": [np.zeros((40, 48, 4), np.uint8)] * 2}, "(40, 48, 4)", "(height, width, 3)"),
    "no text": ({"text": None}, "text is None", "a string"),
    "a number as text": ({"text": 3}, "text is a int (3)", "a string"),
    "a list of one text": ({"text": ["go"]}, "images holds 2 samples, text 1", "a list of their own"),
    "no state": ({"state": None}, "state is missing", "8 state values"),
    "a state of seven": ({"state": STATE[:7]}, "state has shape (1, 7)", "(1, 8)"),
    "two states": ({"state": [STATE, STATE]}, "state has shape (2, 8)", "(1, 8)"),
    "a state with NaN": ({"state": [*STATE[:7], float("nan")]}, "not finite", "nan"),
    "a state of words": ({"state": "zero"}, "state must be numbers", "(state_dim,)"),
    "a misspelt key": ({"unnorm_key": "libero"}, "unnorm_key='libero' is unknown", "choices: "),
    "tensorflow": ({"return_tensors": "tf"}, "return_tensors='tf'", "'pt'"),
}


def ids(batch):
    return batch["input_ids"]


# What is done to the inputs of a model, or given to `predict_action` beside them.
MODEL = {
    "a misspelt key": (lambda batch: {"unnorm_key": "libero"}, "unnorm_key='libero' is unknown", "choices: "),
    "no state": (lambda batch: {"state": None}, "state is missing", "8"),
    "a state of seven": (lambda batch: {"state": batch["state"][:, :7]}, "state has shape (1, 7)", "state_dim"),
    "two states": (lambda batch: {"state": batch["state"].repeat(2, 1)}, "state has shape (2, 8)", "state_dim"),
    "no batch": (lambda batch: {"input_ids": ids(batch)[0]}, "input_ids has shape", "(batch, length)"),
    "ids of floats": (lambda batch: {"input_ids": ids(batch).float()}, "torch.float32", "torch.int64"),
    "numpy": (lambda batch: {"input_ids": ids(batch).numpy()}, "ndarray", "return_tensors='pt'"),
    "a list": (lambda batch: {"input_ids": ids(batch).tolist()}, "list", "return_tensors='pt'"),
    "raw pixels": (lambda batch: {"pixel_values": batch["pixel_values"].to(torch.uint8)}, "torch.uint8", "processor"),
    "another batch": (lambda batch: {"pixel_values": batch["pixel_values"].repeat_interleave(2, 0)}, "pixel_values"),
    "sampling": (lambda batch: {"do_sample": True}, "do_sample=True", "leave it out"),
    "another device": (lambda batch: {name: value.to("meta") for name, value in batch.items()}, "meta", ".to('cpu')"),
}


@pytest.fixture(scope="module")
def robot(family, family_checkpoint):
    """The processor of a robot, with a checkpoint's model on demand."""
    if family.unnorm_key is None:
        pytest.skip("a car has no state and no statistics")
    return family.processor.from_pretrained(family_checkpoint)


@pytest.fixture(scope="module")
def model(family, family_checkpoint, robot):
    return family.model.from_pretrained(family_checkpoint).eval()


def refused(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("mistake", PROCESSOR)
def test_a_mistake_in_the_call_of_a_processor_is_named(mistake, robot):
    given, *words = PROCESSOR[mistake]
    if "expected 2" in " ".join(words) and robot.image_processor.num_images_in_input is None:
        pytest.skip("the model takes any number of views")
    refused(lambda: robot(**{"images": VIEWS, "text": "go", "state": STATE, **given}), words)


@pytest.mark.parametrize("mistake", MODEL)
def test_a_mistake_in_the_call_of_a_model_is_named(mistake, robot, model):
    change, *words = MODEL[mistake]
    batch = dict(robot(images=VIEWS, text="go", state=STATE))
    refused(lambda: model.predict_action(**{**batch, **change(batch)}), words)


# ---- a car

CAMERAS = np.stack(VIEWS).transpose(0, 3, 1, 2)[:, None]  # one frame each
XYZ = np.stack([np.linspace(-8, 0, 16), np.zeros(16), np.zeros(16)], axis=-1)
ROT = np.tile(np.eye(3), (16, 1, 1))

# What is given to the processor of a car in place of two cameras and sixteen poses.
SCENE = {
    "no images": ({"images": None}, "images holds a NoneType", "uint8"),
    "no camera": ({"images": []}, "images holds no image", "uint8"),
    "files": ({"images": ["front.png"]}, "images[0] holds a str", "PIL images"),
    "pixels of 0 to 1": ({"images": CAMERAS / 255}, "float64 of shape (2, 1, 3, 40, 48)", "uint8"),
    "no positions": ({"ego_history_xyz": None}, "ego_history_xyz is missing", "metres"),
    "no rotations": ({"ego_history_rot": None}, "ego_history_rot is missing", "rotation matrices"),
    "other lengths": ({"ego_history_xyz": XYZ[:8]}, "(16, 3, 3)", "(8, 3, 3)"),
    "without height": ({"ego_history_xyz": XYZ[:, :2]}, "(16, 2)"),
    "quaternions": ({"ego_history_rot": np.tile([1.0, 0, 0, 0], (16, 1))}, "has shape (16, 4)", "(16, 3, 3)"),
    "angles": ({"ego_history_rot": np.zeros(16)}, "has shape (16,)", "(16, 3, 3)"),
    "positions with NaN": ({"ego_history_xyz": XYZ * np.nan}, "ego_history_xyz", "not finite"),
    "rotations with NaN": ({"ego_history_rot": ROT * np.nan}, "ego_history_rot", "not finite"),
    "mirrored": ({"ego_history_rot": -ROT}, "no rotation", "determinant 1"),
    "in the frame of a map": ({"ego_history_xyz": XYZ + 500}, "not at the origin", "history_frame='world'"),
    "the last pose first": ({"ego_history_xyz": XYZ[::-1].copy()}, "ends at [-8.0, 0.0, 0.0] m", "frame of the last"),
    "in millimetres": ({"ego_history_xyz": XYZ * 1000}, "moves 533.333 m", "positions are in metres"),
    "two of one pose": ({"ego_history_xyz": XYZ[-1:], "ego_history_rot": ROT[-1:]}, "1 poses", "at least two"),
    "a number as text": ({"text": 3}, "text is a int (3)", "a string"),
    "an unknown frame": ({"history_frame": "map"}, "history_frame='map' is unknown", "ego, world"),
}

# What is given to `sample_trajectories` beside a prompt.
DRIVE = {
    "no rotations": ({"ego_history_rot": None}, "ego_history_xyz and ego_history_rot are both needed"),
    "patches without sizes": ({"image_grid_thw": None}, "image_grid_thw is missing", "pixel_values"),
    "no warmth": ({"temperature": 0.0}, "temperature=0.0", "above 0"),
    "more than all": ({"top_p": 2.0}, "top_p=2.0", "up to 1"),
    "no sample": ({"num_traj_samples": 0}, "num_traj_samples=0", "above 0"),
    "no token": ({"max_new_tokens": 0}, "max_new_tokens=0", "above 0"),
    "no step": ({"num_inference_steps": 0}, "=0 must be a whole number above 0"),
}


@pytest.fixture(scope="module")
def car(family, family_checkpoint):
    """The processor and the model of a car."""
    if family.unnorm_key is not None:
        pytest.skip("a robot has no past poses")
    model = family.model.from_pretrained(family_checkpoint).eval()
    return family.processor.from_pretrained(family_checkpoint), model


@pytest.mark.parametrize("mistake", SCENE)
def test_a_mistake_in_a_scene_is_named(mistake, car):
    given, *words = SCENE[mistake]
    scene = {"images": CAMERAS, "ego_history_xyz": XYZ, "ego_history_rot": ROT}
    refused(lambda: car[0](**scene | given), words)


@pytest.mark.parametrize("mistake", DRIVE)
def test_a_mistake_in_a_call_for_trajectories_is_named(mistake, car):
    processor, model = car
    given, *words = DRIVE[mistake]
    inputs = dict(processor(images=CAMERAS, ego_history_xyz=XYZ, ego_history_rot=ROT))
    refused(lambda: model.sample_trajectories(**inputs | given), words)
