"""What lies on the desk of the beginner of `test_beginners_mistakes.py`: files that are sound, and what went wrong."""

import json
import os
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ADAPTER, HEAD = "lora_adapter/adapter_model.safetensors", "action_head--10_checkpoint.pt"
FIRST, LAST = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4104328\n"
POSES = ("ego_history_xyz", "ego_history_rot")
# A damaged folder: what it is a copy of, and the files that are missing (None), cut off (a number), or replaced.
DAMAGED = {
    "no_statistics": ("run", {"dataset_statistics.json": None}),
    "no_head": ("run", {HEAD: None}),
    "no_adapter": ("run", {ADAPTER: None, "lora_adapter/adapter_config.json": None}),
    "no_config": ("run", {"config.json": None}),
    "cut_adapter": ("run", {ADAPTER: 5000}),
    "cut_head": ("run", {HEAD: 5000}),
    "two_heads": ("run", {"action_head--20_checkpoint.pt": b"another"}),
    "runs/monday": ("run", {}),
    "cut_base": ("base", {FIRST: 100_000}),
    "half_base": ("base", {LAST: None}),
    "pointers": ("base", {LAST: POINTER}),
    "cut_merged": ("merged", {"model.safetensors": 100_000}),
    "pointer_merged": ("merged", {"model.safetensors": POINTER}),
    "weightless": ("merged", {"model.safetensors": None}),
    "no_processor": ("merged", dict.fromkeys(PROCESSOR)),
    "cut_driver": ("driver", {"model.safetensors": 100_000}),
}
FILES = {  # by their names, what they hold
    **dict.fromkeys(("note.txt", "text.png", "kept/note.txt", "kept/README.md"), b"hello"),
    **dict.fromkeys(("pointer.png", "pointer.parquet"), POINTER),
    **dict.fromkeys(("rlds/dataset_info.json", "rlds/features.json"), b'{"name": "table"}'),
    "aloha/episode_0.hdf5": b"\x89HDF",
    "models--user--name/refs/main": b"0123",
    "models--user--name/snapshots/0123/README.md": b"a card",
}


def linked(source: Path, copy: Path, ignore=None) -> None:
    """A copy of links: nothing writes into files."""
    shutil.copytree(source, copy, copy_function=os.link, ignore=ignore)


def damage(path: Path, change: int | bytes | None) -> None:
    """Files are links to those of other folders: they are replaced, not written into."""
    content = path.read_bytes()[:change] if isinstance(change, int) else change
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


def write_damaged(desk: Path) -> None:
    for name, (source, changes) in DAMAGED.items():
        linked(desk / source, desk / name)
        for file, change in changes.items():
            damage(desk / name / file, change)


def write_files(desk: Path) -> None:
    """Texts, pictures, and what is no dataset."""
    for name in ("empty", "views"):
        (desk / name).mkdir()
    for name, content in FILES.items():
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_bytes(content)
    for i in range(2):
        Image.fromarray(np.random.RandomState(i).randint(0, 256, (48, 64, 3)).astype(np.uint8)).save(
            desk / "views" / f"view_{i}.png"
        )
    damage(desk / "short.png", (desk / "views" / "view_0.png").read_bytes()[:500])
    rows = [[0.1 * i] * 7 for i in range(4)]
    rows[2][3] = float("nan")
    kinds = {"episode_index": pa.int64(), "action": pa.list_(pa.float32(), 7), "task": pa.string()}
    table = pa.table({"episode_index": [0] * 4, "action": rows, "task": ["go"] * 4}, schema=pa.schema(kinds))
    pq.write_table(table, desk / "nan.parquet")
    pq.write_table(table[:0], desk / "rowless.parquet")


def write_recording(folder: Path) -> None:
    """An episode in ALOHA's layout, without an instruction."""
    import h5py  # an extra

    folder.mkdir()
    with h5py.File(folder / "episode_0.hdf5", "w") as file:
        file["action"], file["observations/qpos"] = np.zeros((5, 7), np.float32), np.zeros((5, 8), np.float32)
        file["observations/images/cam_high"] = np.zeros((5, 16, 16, 3), np.uint8)


def write_scenes(desk: Path, driving_scene: ModuleType) -> None:
    """A drive as one file and as files, and the same with what is wrong about it."""
    scene = driving_scene.driving_scene(cameras=2, frames=2, height=64, width=96)
    history = {name: scene[name] for name in POSES}
    holed = scene["ego_history_xyz"].copy()
    holed[3] = np.nan
    np.save(desk / "xyz.npy", scene["ego_history_xyz"])
    np.savez(desk / "scene.npz", **scene)
    np.savez(desk / "nan.npz", **scene | {"ego_history_xyz": holed})
    np.savez(desk / "world.npz", **scene | {"ego_history_xyz": scene["ego_history_xyz"] + 100})
    np.savez(desk / "future.npz", **scene | {"ego_future_xyz": scene["ego_future_xyz"][:, :2]})
    for name, poses in {
        "history": history,
        "no_rot": {POSES[0]: history[POSES[0]]},
        "short": {name: values[-4:] for name, values in history.items()},
    }.items():
        (desk / f"{name}.json").write_text(json.dumps({key: values.tolist() for key, values in poses.items()}))
    for camera, frames in zip(("front_wide", "front_tele"), scene["images"], strict=True):
        (desk / "cameras" / camera).mkdir(parents=True)
        for i, frame in enumerate(frames):
            Image.fromarray(frame.transpose(1, 2, 0)).save(desk / "cameras" / camera / f"{i}.png")
