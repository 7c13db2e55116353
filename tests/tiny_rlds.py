"""Tiny RLDS datasets as tensorflow-datasets writes them, without it: TFRecord files of tf.train.Example, and two JSONs.

Layout: tensorflow-datasets 4.9, features.json and dataset_info.json beside `NAME-SPLIT.tfrecord-00000-of-00002`. In an
example the steps of an episode lie behind each other: a list a feature, `steps/observation/image` and so on.
"""

import io
import json
import struct

import numpy as np
from PIL import Image

FEATURES = "tensorflow_datasets.core.features"
SHAPES = {"observation/state": (8,), "action": (7,), "reward": (), "discount": ()}
IMAGES = {"observation/image": (24, 32), "observation/wrist_image": (16, 16)}
INSTRUCTIONS = ("pick up the bowl", "öffne die Tür", "let go")  # the last one in the last step of an episode
FLAGS = ("is_first", "is_last", "is_terminal")


def draw_episode(number, steps, smooth):
    """`{feature: (steps, ...)}`; images of noise, which no codec of videos keeps, or smooth ones."""
    random = np.random.RandomState(number)
    episode = {name: random.standard_normal((steps, *shape)).astype(np.float32) for name, shape in SHAPES.items()}
    episode |= {name: random.randint(0, 256, (steps, *size, 3), np.uint8) for name, size in IMAGES.items()}
    places = np.arange(steps)
    for name in IMAGES if smooth else ():
        episode[name][...] = places[:, None, None, None] * 20 + 40 + np.arange(3) * 15
    episode |= {"is_first": places == 0, "is_last": places == steps - 1, "is_terminal": places == steps - 1}
    return episode | {"language_instruction": [INSTRUCTIONS[number % 2]] * (steps - 1) + [INSTRUCTIONS[-1]]}


def write_rlds(folder, lengths, smooth=False, split="train"):
    """Write `folder/1.0.0` with episodes of these lengths, in two files, or a further split; returns the episodes."""
    episodes = [draw_episode(i, steps, smooth) for i, steps in enumerate(lengths)]
    target = folder / "1.0.0"
    target.mkdir(parents=True, exist_ok=True)
    (target / "features.json").write_text(json.dumps(features()))
    parts = [episodes[::2], episodes[1::2]]
    written = {"name": split, "numBytes": "1", "shardLengths": [str(len(part)) for part in parts]}
    written["filepathTemplate"] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    path = target / "dataset_info.json"
    info = json.loads(path.read_text()) if path.exists() else {"splits": []}
    info |= {"name": folder.name, "version": "1.0.0", "fileFormat": "tfrecord", "splits": [*info["splits"], written]}
    path.write_text(json.dumps(info))
    for number, part in enumerate(parts):
        with open(target / f"{folder.name}-{split}.tfrecord-0000{number}-of-00002", "wb") as file:
            for episode in part:
                write_record(file, example(episode))
    return [episode for part in parts for episode in part]


def features():
    def of_dict(inner):
        return {"pythonClassName": f"{FEATURES}.features_dict.FeaturesDict", "featuresDict": {"features": inner}}

    def tensor(dtype, shape):
        name = "tensor_feature.Tensor" if shape else "scalar.Scalar"
        named = {"shape": {"dimensions": [str(size) for size in shape]}, "dtype": dtype, "encoding": "none"}
        return {"pythonClassName": f"{FEATURES}.{name}", "tensor": named}

    def image(size):
        shape = {"dimensions": [*map(str, size), "3"]}
        named = {"shape": shape, "dtype": "uint8", "encodingFormat": "png"}
        return {"pythonClassName": f"{FEATURES}.image_feature.Image", "image": named}

    text = {"pythonClassName": f"{FEATURES}.text_feature.Text", "text": {}}
    inside = {name.split("/")[1]: image(size) for name, size in IMAGES.items()}
    inside["state"] = tensor("float32", (8,))
    steps = {name: tensor("float32", shape) for name, shape in SHAPES.items() if "/" not in name}
    steps |= {name: tensor("bool", ()) for name in FLAGS}
    steps |= {"language_instruction": text, "observation": of_dict(inside)}
    sequence = {"feature": of_dict(steps), "length": "-1"}
    return of_dict(
        {
            "steps": {"pythonClassName": f"{FEATURES}.dataset_feature.Dataset", "sequence": sequence},
            "episode_metadata": of_dict({"file_path": text}),
        }
    )


def write_record(file, content):
    """The framing of TFRecord; checksums are masked CRC-32C."""
    length = struct.pack("<Q", len(content))
    file.write(length + struct.pack("<I", masked_crc(length)) + content + struct.pack("<I", masked_crc(content)))


def masked_crc(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def table_entry(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


TABLE = [table_entry(i) for i in range(256)]


def example(episode):
    """A tf.train.Example: message {1: Features {1: map<string, Feature {1: bytes, 2: floats, 3: ints}>}}."""
    found = {}
    for name, values in episode.items():
        if name in IMAGES:
            found[f"steps/{name}"] = field(1, b"".join(field(1, png(picture)) for picture in values))
        elif name == "language_instruction":
            found[f"steps/{name}"] = field(1, b"".join(field(1, text.encode()) for text in values))
        elif name in FLAGS:
            found[f"steps/{name}"] = field(3, field(1, bytes(int(value) for value in values)))
        else:
            found[f"steps/{name}"] = field(2, field(1, values.astype("<f4").tobytes()))
    found["episode_metadata/file_path"] = field(1, field(1, b"demo.hdf5"))
    pairs = b"".join(field(1, field(1, name.encode()) + field(2, value)) for name, value in found.items())
    return field(1, pairs)


def field(number, content):
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value):
    more = []
    while value > 127:
        more.append(value & 127 | 128)
        value >>= 7
    return bytes([*more, value])


def png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()
