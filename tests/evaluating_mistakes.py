"""As `dataset_mistakes.py`: further rows of `evaluate`, `stats` and `train`."""

ASKED = "evaluate merged --dataset data"
WRITTEN = "stats data --output out.json"
TRAINED = "train merged --dataset data --output out"

EVALUATE = {
    "no batch": (f"{ASKED} --batch-size 0", 2, "--batch-size", "'0'", "whole number from 1 on"),
    "workers below zero": (f"{ASKED} --num-workers -1", 2, "--num-workers", "'-1'", "from 0 on"),
    "episodes with commas": (f"{ASKED} --episodes 0,1", 2, "'0,1'", "a range such as 7-9", "spaces between"),
    "a range backwards": (f"{ASKED} --episodes 2-0", 2, "'2-0'", "a range such as 7-9"),
    "one episode in the singular": (f"{ASKED} --episode 1", 2, "--episode", "did you mean --episodes?"),
    "episodes in two ways": (f"{ASKED} --episodes 0 --eval-episodes 0.5", 2, "--eval-episodes", "--episodes"),
    "a share of per cents": (f"{ASKED} --eval-episodes 10", 1, "10.0", "between 0 and 1"),
    "a column of the state that is not there": (f"{ASKED} --state robot", 1, "['robot']", "observation.state"),
    "the actions as the state": (f"{ASKED} --state action", 1, "--state-column action", "(8,) is needed"),
    "the state as the actions": (
        f"{ASKED} --action observation.state",
        1,
        "--action-column observation.state",
        "(8, 8); (8, 7) is needed",
        "name other columns",
    ),
    "one camera of two": (
        f"{ASKED} --images observation.images.primary",
        1,
        "has 1 images, expected 2",
        "one image for each view",
    ),
    "a camera twice": (
        f"{ASKED} --images observation.images.primary observation.images.primary",
        1,
        "observation.images.primary",
        "is there twice",
    ),
    "the state as a camera": (
        f"{ASKED} --images observation.state observation.images.primary",
        1,
        "['observation.state'] hold no images",
        "'observation.images.wrist'",
    ),
    "the actions as the text": (f"{ASKED} --text action", 1, "'action' holds", "no texts", "--text"),
    "a misspelt dataset": ("evaluate merged --dataset dtaa", 1, "dtaa", "did you mean data?"),
    "no network": ("evaluate merged --dataset user/name", 1, "user/name is no folder", "the Hub cannot be reached"),
    "a revision of a folder": (f"{ASKED} --revision v2.1", 1, "revision='v2.1'", "data is a folder"),
    "files of HDF5 as the dataset": ("evaluate merged --dataset aloha", 1, "aloha", "vlahub data convert --from hdf5"),
    "a run as the dataset": ("evaluate merged --dataset run", 1, "run has neither meta/info.json"),
    "an option of a car": (f"{ASKED} --top-p 0.9", 1, "--top-p", "moves a robot", "leave it out"),
    "an embodiment": (f"{ASKED} --embodiment-id 3", 1, "--embodiment-id 3", "one embodiment", "leave it out"),
    "chunks to draw": (f"{ASKED} --num-samples 3", 2, "--num-samples", "vlahub predict"),
    "a gripper with a comma": (f"{ASKED} --gripper 1,2", 2, "'1,2' is not a whole number", "spaces between"),
    "a tolerance below zero": (f"{ASKED} --gripper-tolerance -1", 1, "--gripper-tolerance -1", "0 or more"),
    "a misspelt mode": (f"{ASKED} --fast grphs", 2, "'grphs'", "did you mean graphs?"),
    "no card of NVIDIA": (f"{ASKED} --device cuda:99", 1, "--device cuda:99", "--device cpu always can"),
    "a picture without a suffix": (f"{ASKED} --plot out", 1, "out has no suffix", "name it out.png"),
    "one file for both": (f"{ASKED} --output out.png --plot out.png", 1, "--output and --plot both name out.png"),
    "the base": ("evaluate base --dataset data", 1, "base looks like a whole model", "vlahub convert base"),
    "an empty folder": ("evaluate empty --dataset data", 1, "config.json is missing in empty", "incomplete?"),
    "a pointer of Git LFS": ("evaluate pointer_merged --dataset data", 1, "model.safetensors", "git lfs pull"),
}

STATS = {
    "a misspelt dataset": ("stats dtaa --output out.json", 1, "dtaa", "did you mean data?"),
    "no network": ("stats user/name --output out.json", 1, "user/name is no folder", "the Hub cannot be reached"),
    "a revision of a folder": (f"{WRITTEN} --revision v2.0", 1, "revision='v2.0'", "data is a folder"),
    "a camera as the actions": (
        f"{WRITTEN} --action observation.images.primary",
        1,
        "'observation.images.primary'",
        "vectors of numbers",
    ),
    "a text as the state": (f"{WRITTEN} --state task", 1, "'task' must hold vectors of numbers", "string"),
    "a column of the state that is not there": (f"{WRITTEN} --state robot", 1, "'robot'", "observation.state"),
    "a column twice": (f"{WRITTEN} --action action action", 1, "['action', 'action']", "all different"),
    "columns with a comma": (f"{WRITTEN} --action action,action", 1, "'action,action'", "columns are"),
    "a gripper that is not there": (f"{WRITTEN} --unmasked-actions 7", 1, "unmasked_actions=7", "-7 and 6"),
    "a gripper by its name": (f"{WRITTEN} --unmasked-actions gripper", 2, "'gripper' is not a whole number"),
    "no rows to look at": (f"{WRITTEN} --exact-rows 0", 1, "0 rows", "at least 1"),
    "rows with a point": (f"{WRITTEN} --exact-rows 1e6", 2, "'1e6' is not a whole number"),
    "an output in a misspelt folder, and a misspelt column": (
        "stats data --output nowhere/below/out.json --action actons",
        1,
        "'actons'",
        "action,",
    ),
    "an output below a file": ("stats data --output note.txt/out.json", 1, "note.txt/out.json cannot be written"),
    "a config to replace": ("stats data --output merged/config.json --overwrite", 1, "merged/config.json", "another"),
    "a home directory in quotes": ("stats data --output '~/out.json'", 1, "~/out.json", "the shell did not replace ~"),
    "a picture as a text": (f"{WRITTEN} --plot out.txt", 1, "out.txt has no suffix", "name it out.png"),
    "a short word for the output": ("stats data -o out.json", 2, "--output", "did you mean --output?"),
    "two datasets": ("stats data drives --output out.json", 2, "drives", "it takes DATASET alone"),
    "no name": (f"{WRITTEN} --name ''", 1, "--name is empty", "is a variable not set?"),
    "a file of the dataset": (
        "stats data/meta/info.json --output out.json",
        1,
        "info.json",
        "name the dataset's folder",
    ),
    "a file of HDF5": ("stats aloha/episode_0.hdf5 --output out.json", 1, "vlahub data convert --from hdf5"),
    "a folder of HDF5": ("stats aloha --output out.json", 1, "aloha", "vlahub data convert --from hdf5"),
    "a dataset of TensorFlow": ("stats rlds --output out.json", 1, "rlds", "vlahub data convert --from rlds"),
    "a pointer of Git LFS": ("stats pointer.parquet --output out.json", 1, "pointer.parquet", "git lfs pull"),
    "actions that are not finite": (
        "stats nan.parquet --output out.json --quiet",
        1,
        "'action'",
        "row 2",
        "no finite float32 number",
    ),
    "no rows": ("stats rowless.parquet --output out.json --quiet", 1, "rowless.parquet", "it has no rows"),
}

TRAIN = {
    "views by their short names": (
        f"{TRAINED} --images primary wrist",
        1,
        "['primary', 'wrist'] (did you mean observation.images.primary observation.images.wrist?)",
    ),
    "statistics of a robot for a car": (
        "train driver --dataset drives --output out --statistics run/dataset_statistics.json",
        1,
        "--statistics",
        "numbers of its own; leave it out",
    ),
    "a column of texts that is not there": (f"{TRAINED} --text instruction", 1, "'instruction'", "'task'"),
    "a column of weights that is not there": (f"{TRAINED} --weight-column weight", 1, "'weight'", "'task'"),
    "nothing to go on with": (f"{TRAINED} --resume", 1, "--resume", "out holds no run", "leave it out"),
    "a rank of what is no LoRA": (f"{TRAINED} --train full --rank 8", 1, "--rank 8", "--train lora", "leave it out"),
    "layers of what is LoRA": (f"{TRAINED} --top-layers 2", 1, "--top-layers 2", "--train B", "leave it out"),
    "a misspelt dataset": ("train merged --dataset dtaa --output out", 1, "dtaa", "did you mean data?"),
    "files of HDF5 as the dataset": (
        "train merged --dataset aloha --output out",
        1,
        "aloha",
        "vlahub data convert --from hdf5",
    ),
}

EVALUATING_MISTAKES = [row for table in (EVALUATE, STATS, TRAIN) for row in table.items()]
