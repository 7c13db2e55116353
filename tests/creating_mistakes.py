"""As `writing_mistakes.py`, of the commands that begin a new model or convert a dataset.

What `create` refuses of one family it refuses of all; the rows of a family are those that it alone has. `data` is one
command, `convert`, of which the rows that look into an HDF5 file need h5py.
"""

COGVLA = "create --family cogvla --base base --output out"
ALPAMAYO = "create --family alpamayo_r1 --base qwen --output out"
LLAVA = "create --family mapanything_llava3d --output out"
PARTS = "--vision parts/vision --language parts/language"
SIZES = "--action-horizon 4 --action-dim 7"
ASSEMBLED = f"assemble --family mapanything_llava3d {PARTS} --output out --no-geometry"

CREATE = {
    "no family": ("create --base base --output out", 2, "--family", "is an option of --family cogvla"),
    "a family by another name": ("create --family openvla --base base --output out", 2, "'openvla'", "cogvla"),
    "a family that has no start": ("create --family multimodal_vla --output out", 2, "'multimodal_vla'", "'cogvla'"),
    "no base": ("create --family cogvla --output out", 2, "--base"),
    "a base without its option": ("create --family cogvla base --output out", 2, "--base"),
    "no output": ("create --family cogvla --base base", 2, "--output"),
    "a misspelt base": ("create --family cogvla --base bsae --output out", 1, "bsae is neither", "did you mean base?"),
    "a file as the base": ("create --family cogvla --base base/config.json --output out", 1, "it lies in, base."),
    "a run as the base": (
        "create --family cogvla --base run --output out",
        1,
        "run looks like a training run",
        "vlahub merge-lora --base BASE --adapter run",
    ),
    "a dataset as the base": (
        "create --family cogvla --base data --output out",
        1,
        "--base data holds no model",
        "stats",
    ),
    "an empty base": ("create --family cogvla --base empty --output out", 1, "--base empty holds no", "incomplete?"),
    "another family's base": (
        "create --family cogvla --base qwen --output out",
        1,
        "model_type is 'qwen3_vl'",
        "begins with a published 'openvla'",
    ),
    "a checkpoint of another family": ("create --family cogvla --base llava --output out", 1, "'mapanything_llava3d'"),
    "an option of another family": (f"{COGVLA} --vision parts/vision", 2, "--vision is an option of --family mapanyth"),
    "an option of another command": (f"{COGVLA} --adapter run", 2, "vlahub merge-lora"),
    "a head in capitals": (f"{COGVLA} --action-head L1", 2, "'L1'", "did you mean l1?"),
    "a misspelt platform": (f"{COGVLA} --platform liberro", 2, "'liberro'", "did you mean libero?"),
    "a schedule that is none": (f"{COGVLA} --lfp cosine", 1, "'cosine'", "shiftedcos_decay_0.85_0.15"),
    "pruning of tokens that are written one by one": (
        f"{COGVLA} --lfp deep_all",
        1,
        "token pruning (lfp_type='deep_all')",
        "--decoding parallel",
    ),
    "a factor of no schedule": (f"{COGVLA} --lfp-average-factor 0.5", 1, "--lfp-average-factor", "--lfp SCHEDULE"),
    "steps of no diffusion": (f"{COGVLA} --num-diffusion-steps 50", 1, "--num-diffusion-steps", "no diffusion head"),
    "no images": (f"{COGVLA} --num-images 0", 1, "num_images_in_input=0", "positive whole number"),
    "statistics that are not there": (
        f"{COGVLA} --statistics stats.json",
        1,
        "stats.json is missing",
        "a path misspelt",
    ),
    "statistics of other dimensions": (
        f"{COGVLA} --statistics run/dataset_statistics.json --action-dim 14",
        1,
        "has 7 values",
        "action_dim=14 needs 14",
    ),
    "a tokenizer that is none": (
        f"{COGVLA} --tokenizer views",
        1,
        "--tokenizer views holds no tokenizer",
        "leave it out",
    ),
    "a seed in words": (f"{COGVLA} --seed x", 2, "--seed", "'x'", "such as 0 or 42"),
    "an output that is not empty": ("create --family cogvla --base base --output kept", 1, "kept", "--overwrite"),
    "the base as the output": ("create --family cogvla --base base --output base --overwrite", 1, "another folder"),
    "a name without a user": (f"{COGVLA} --push-to-hub my-vla", 1, "'my-vla' is no repository id", "user/name"),
}

CREATE_ALPAMAYO = {
    "no weights in the base": ("create --family alpamayo_r1 --base vlm --output out", 1, "vlm holds no model weights"),
    "a robot's base": ("create --family alpamayo_r1 --base base --output out", 1, "'openvla'", "'qwen3_vl'"),
    "the published model as the base": (
        "create --family alpamayo_r1 --base published --output out",
        1,
        "'alpamayo_r1'",
        "vlahub convert",
    ),
    "nothing new": ("create --family alpamayo_r1 --base driver --output out", 1, "nothing would be new", "hidden_size"),
    "the base by its option of convert": ("create --family alpamayo_r1 --vlm qwen --output out", 2, "--base", "--vlm"),
    "a robot's images": (f"{ALPAMAYO} --num-images 2", 2, "--num-images is an option of --family cogvla"),
    "a robot's statistics": (f"{ALPAMAYO} --statistics x.json", 2, "--statistics is an option of --family cogvla"),
    "no waypoints": (f"{ALPAMAYO} --num-action-chunks 0", 1, "--num-action-chunks 0", "1 or more"),
    "one pose": (f"{ALPAMAYO} --num-history-poses 1", 1, "--num-history-poses 1", "2 or more"),
    "no bins": (f"{ALPAMAYO} --future-bins 0", 1, "num_bins=0", "2 or more"),
    "an expert of no width": (f"{ALPAMAYO} --expert-hidden-size 0", 1, "hidden_size=0", "positive whole number"),
    "pixels the wrong way round": (f"{ALPAMAYO} --min-pixels 9000 --max-pixels 10", 1, "max_pixels=10", "9000"),
}

CREATE_LLAVA = {
    "nothing to begin with": (LLAVA, 1, "pass --vision DIR", "--base"),
    "no language model": (f"{LLAVA} --vision parts/vision", 1, "pass --language DIR"),
    "another family's base": (f"{LLAVA} --base base", 1, "'openvla'", "--vision and --language"),
    "a part beside a base that has it": (f"{LLAVA} --base llava --vision parts/vision", 1, "--vision", "leave it out"),
    "nothing new": (f"{LLAVA} --base llava", 1, "nothing would be new", "action_expert_type='deep_fusion+dit'"),
    "blocks of no head": (f"{LLAVA} --base llava --dit-num-layers 2", 1, "--dit-num-layers 2", "no DiT head"),
}

ASSEMBLE = {
    "no family": (f"assemble {PARTS} --output out", 2, "--family"),
    "another family": (f"assemble --family cogvla {PARTS} --output out", 2, "'cogvla'", "'mapanything_llava3d'"),
    "no parts": ("assemble --family mapanything_llava3d --output out", 2, "--vision, --language"),
    "parts swapped": (
        f"assemble --family mapanything_llava3d --vision parts/language --language parts/vision --output out "
        f"--no-geometry {SIZES}",
        1,
        "--vision parts/language has model_type 'llava_llama'",
        "meant as --language?",
    ),
    "a tower as the geometry": (
        f"assemble --family mapanything_llava3d {PARTS} --geometry parts/vision --output out {SIZES}",
        1,
        "--geometry parts/vision has model_type 'siglip'",
        "meant as --vision?",
    ),
    "geometry or none": (
        f"assemble --family mapanything_llava3d {PARTS} --output out {SIZES}",
        1,
        "pass either --geometry MAPANYTHING or --no-geometry",
    ),
    "geometry and none": (f"{ASSEMBLED} --geometry parts/geometry {SIZES}", 1, "either", "--no-geometry"),
    "the folder of the parts": (
        "assemble --family mapanything_llava3d --vision parts --language parts/language --output out --no-geometry",
        1,
        "--vision parts holds no model weights",
        "Name a model in it",
        "parts/vision",
    ),
    "a misspelt part": (
        "assemble --family mapanything_llava3d --vision parts/vison --language parts/language --output out",
        1,
        "parts/vison is neither",
        "did you mean parts/vision?",
    ),
    "a run as the language model": (
        "assemble --family mapanything_llava3d --vision parts/vision --language run --output out --no-geometry",
        1,
        "--language must name a whole model",
        "run looks like a training run",
    ),
    "a whole VLA as the language model": (
        "assemble --family mapanything_llava3d --vision parts/vision --language merged --output out --no-geometry",
        1,
        "--language merged has model_type 'cogvla'",
        "a Llama or Mistral",
    ),
    "another VLM as the tower": (
        "assemble --family mapanything_llava3d --vision qwen --language parts/language --output out --no-geometry",
        1,
        "--vision qwen has model_type 'qwen3_vl'",
        "a SigLIP is needed",
    ),
    "no size of the actions": (f"{ASSEMBLED} --action-horizon 4", 1, "action_dim", "--action-dim N, or --statistics"),
    "no number of actions": (f"{ASSEMBLED} --action-dim 7", 1, "action_horizon", "--action-horizon N"),
    "no actions": (f"{ASSEMBLED} --action-horizon 0 --action-dim 7", 1, "num_action_chunks=0", "positive whole"),
    "a state of unknown size": (f"{ASSEMBLED} {SIZES} --use-state", 1, "state_dim", "--state-dim N, or --statistics"),
    "statistics of other dimensions": (
        f"{ASSEMBLED} --action-horizon 4 --action-dim 6 --statistics parts/dataset_statistics.json",
        1,
        "has 7 values",
        "action_dim=6 needs 6",
    ),
    "an expert of no width": (f"{ASSEMBLED} {SIZES} --expert-hidden-size 0", 1, "--expert-hidden-size 0", "above 0"),
    "a width that does not fit the heads": (f"{ASSEMBLED} {SIZES} --expert-hidden-size 33", 1, "hidden_size=33", "4"),
    "an expert deeper than its base": (f"{ASSEMBLED} {SIZES} --expert-num-layers 99", 1, "=99", "between 1 and"),
    "a misspelt expert": (f"{ASSEMBLED} {SIZES} --action-expert-type dti", 2, "'dti'", "did you mean dit?"),
    "blocks of no head": (
        f"{ASSEMBLED} {SIZES} --dit-num-layers 2",
        1,
        "--dit-num-layers 2",
        "no DiT head",
        "leave it",
    ),
    "actions of no expert": (
        f"{ASSEMBLED} --action-expert-type none --action-horizon 4",
        1,
        "--num-action-chunks 4",
        "no action expert",
    ),
    "an option of another family": (f"{ASSEMBLED} {SIZES} --num-images 2", 2, "--num-images"),
    "a tokenizer that is none": (f"{ASSEMBLED} {SIZES} --tokenizer views", 1, "--tokenizer views holds no tokenizer"),
    "the parts as the output": (
        f"assemble --family mapanything_llava3d {PARTS} --output parts --no-geometry {SIZES} --overwrite",
        1,
        "would replace the source parts/vision",
        "another folder",
    ),
}

DATA = {
    "nothing to do": ("data", 2, "convert"),
    "a misspelt word": ("data convrt --from hdf5 aloha --output out", 2, "'convrt'", "did you mean convert?"),
    "no format": ("data convert aloha --output out", 2, "--from"),
    "a misspelt format": ("data convert --from hdf aloha --output out", 2, "'hdf'", "did you mean hdf5?"),
    "a format that is read as it is": (
        "data convert --from lerobot data --output out",
        2,
        "'lerobot'",
        "'rlds', 'hdf5'",
    ),
    "no output": ("data convert --from hdf5 aloha", 2, "--output"),
    "an output without its option": ("data convert --from hdf5 aloha out", 2, "--output"),
    "a misspelt folder": ("data convert --from hdf5 alohaa --output out", 1, "alohaa", "did you mean aloha?"),
    "a repository": ("data convert --from rlds user/name --output out", 1, "user/name does not exist", "hf download"),
    "no frames": ("data convert --from hdf5 aloha --output out --fps 0", 2, "--fps", "'0'", "from 1 on"),
    "broken frames": (
        "data convert --from hdf5 aloha --output out --fps 29.97",
        2,
        "'29.97'",
        "whole number of frames",
    ),
    "a split of HDF5": ("data convert --from hdf5 aloha --output out --split train", 1, "--split", "leave it out"),
    "no episodes": (
        "data convert --from hdf5 aloha --output out --max-episodes 0",
        1,
        "--max-episodes 0",
        "at least 1",
    ),
    "two instructions": (
        "data convert --from hdf5 aloha --output out --text task --instruction go",
        2,
        "--instruction",
        "not allowed with argument --text",
    ),
    "a LeRobot dataset": ("data convert --from hdf5 data --output out", 1, "data is of the format lerobot", "as it is"),
    "HDF5 as RLDS": ("data convert --from rlds aloha --output out", 1, "aloha is of the format hdf5", "--from hdf5"),
    "RLDS as HDF5": ("data convert --from hdf5 rlds --output out", 1, "rlds is of the format rlds", "--from rlds"),
    "a file of HDF5 as RLDS": (
        "data convert --from rlds aloha/episode_0.hdf5 --output out",
        1,
        "aloha/episode_0.hdf5 is of the format hdf5",
        "--from hdf5",
    ),
    "an output that is not empty": ("data convert --from hdf5 aloha --output kept", 1, "kept is not empty", "another"),
    "an output that is a file": ("data convert --from hdf5 aloha --output note.txt", 1, "note.txt is a file", "folder"),
    "the source as the output": ("data convert --from hdf5 aloha --output aloha", 1, "aloha is not empty", "another"),
    "a home directory in quotes": ("data convert --from hdf5 aloha --output '~/out'", 1, "'~/out'", "the shell"),
}

RECORDED = "data convert --from hdf5 recorded --output out"
DATA_IN_FILES = {
    "pictures": ("data convert --from hdf5 views --output out", 1, "views holds no files", ".hdf5", "--from rlds"),
    "no instruction": (RECORDED, 1, "episode_0.hdf5 has no instruction", "--instruction", "--text"),
    "a text that is not there": (f"{RECORDED} --text task", 1, "has no instruction", "--text"),
    "an action that is not there": (
        f"{RECORDED} --instruction go --action actions",
        1,
        "--action",
        "'actions'",
        "qpos",
    ),
    "a state by its last word": (f"{RECORDED} --instruction go --state qpos", 1, "'qpos'", "observations/qpos"),
    "a camera by its last word": (f"{RECORDED} --instruction go --images cam_high", 1, "'cam_high'", "images/cam_high"),
    "actions as a camera": (f"{RECORDED} --instruction go --images action", 1, "float32 (5, 7)", "neither images"),
    "a text with a suffix": ("data convert --from hdf5 aloha --output out", 1, "episode_0.hdf5 cannot be read as HDF5"),
}

CREATING_MISTAKES = [row for table in (CREATE, CREATE_ALPAMAYO, CREATE_LLAVA, ASSEMBLE, DATA) for row in table.items()]
