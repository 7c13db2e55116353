"""As `writing_mistakes.py`, of the commands that read a checkpoint."""

SEEN = "--images views/view_0.png views/view_1.png --instruction go"

PREDICT = {
    "a misspelt checkpoint": (f"predict mergd {SEEN}", 1, "mergd is neither a folder", "did you mean merged?"),
    "a run": (f"predict run {SEEN}", 1, "run looks like a training run", "vlahub merge-lora --base BASE --adapter run"),
    "the base": (f"predict base {SEEN}", 1, "base looks like a whole model", "Run first: vlahub convert base"),
    "a file": (f"predict merged/model.safetensors {SEEN}", 1, "name the folder that it lies in, merged"),
    "an empty folder": (f"predict empty {SEEN}", 1, "config.json is missing in empty", "incomplete?"),
    "weights that are missing": (f"predict weightless {SEEN}", 1, "weightless holds no weights", "incomplete?"),
    "weights cut off": (f"predict cut_merged {SEEN}", 1, "cut_merged/model.safetensors", "Fetch the file again"),
    "no processor": (
        f"predict no_processor {SEEN}",
        1,
        "no_processor holds no processor (processor_config.json",
        "processor.save_pretrained",
    ),
    "an address": (f"predict https://huggingface.co/user/my-vla {SEEN}", 1, "by its id alone, user/my-vla"),
    "no checkpoint": (f"predict {SEEN}", 2, "CKPT"),
    "no images": ("predict merged --instruction go", 1, "missing: --images FILE ..."),
    "one image of two": (
        "predict merged --images views/view_0.png --instruction go",
        1,
        "has 1 images, expected 2",
        "one image for each view",
    ),
    "three images of two": (
        "predict merged --images views/view_0.png views/view_1.png views/view_0.png --instruction go",
        1,
        "has 3 images, expected 2",
        "one image for each view",
    ),
    "commas between images": (
        "predict merged --images views/view_0.png,views/view_1.png --instruction go",
        2,
        "'views/view_0.png,views/view_1.png' is no file or folder",
        "put spaces between several: views/view_0.png views/view_1.png",
    ),
    "commas between named images that are not there": (
        "predict merged --images primary=a.png,wrist=b.png --instruction go",
        2,
        "put spaces between several: primary=a.png wrist=b.png",
    ),
    "an image that is not there": (
        "predict merged --images views/view_0.png views/view_2.png --instruction go",
        1,
        "views/view_2.png cannot be read",
        "No such file",
    ),
    "an image that is none": (
        "predict merged --images views/view_0.png text.png --instruction go",
        1,
        "text.png cannot be read as an image",
    ),
    "an image cut off": (
        "predict merged --images views/view_0.png short.png --instruction go",
        1,
        "short.png",
        "truncated",
    ),
    "an image on the web": (
        "predict merged --images https://site/view.png views/view_1.png --instruction go",
        1,
        "site/view.png",
        "download the image first",
    ),
    "two folders of images": (
        "predict merged --images views views --instruction go",
        1,
        "views cannot be read as an image",
        "one folder alone",
    ),
    "a folder without images": ("predict merged --images empty --instruction go", 1, "empty holds no images", ".png"),
    "views by wrong names": (
        "predict merged --images front=views/view_0.png wrist=views/view_1.png --instruction go",
        1,
        "'front'",
        "'primary'",
    ),
    "two views of one name": (
        "predict merged --images a=views/view_0.png a=views/view_1.png --instruction go",
        1,
        "give each view a name of its own",
    ),
    "no instruction": ("predict merged --images views/view_0.png views/view_1.png", 1, "missing: --instruction TEXT"),
    "an empty instruction": (
        "predict merged --images views/view_0.png views/view_1.png --instruction ''",
        1,
        "--instruction ''",
        "say what to do",
    ),
    "a blank instruction": (
        "predict merged --images views/view_0.png views/view_1.png --instruction ' '",
        1,
        "--instruction ' '",
        "say what to do",
    ),
    "an instruction without quotes": (f"predict merged {SEEN} to the bowl", 2, "to the bowl", "in quotes"),
    "a misspelt unnorm_key": (
        f"predict merged {SEEN} --unnorm-key demo",
        1,
        "unnorm_key='demo' is unknown",
        "choices: demo_tabletop",
    ),
    "a state of another length": (f"predict merged {SEEN} --state 1 2 3", 1, "--state has 3 values", "8"),
    "a state with commas": (
        f"predict merged {SEEN} --state 0.1,0.2",
        2,
        "'0.1,0.2' is no number",
        "spaces between them",
    ),
    "a state that is not finite": (f"predict merged {SEEN} --state 0 0 0 0 0 0 0 nan", 1, "nan", "not finite"),
    "no such device": (f"predict merged {SEEN} --device gpu", 1, "--device gpu", "--device cpu always can"),
    "an option of a car": (f"predict merged {SEEN} --history scene.json", 1, "--history", "moves a robot"),
    "steps of a head without": (
        f"predict merged {SEEN} --num-inference-steps 5",
        1,
        "--num-inference-steps 5",
        "leave it out",
    ),
    "an embodiment": (f"predict merged {SEEN} --embodiment-id 1", 1, "--embodiment-id", "leave it out"),
    "an output that is somebody's": (
        f"predict merged {SEEN} --output note.txt",
        1,
        "note.txt exists",
        "name another file",
    ),
    "an output that is a folder": (f"predict merged {SEEN} --output kept", 1, "'kept' is a folder; name a file"),
    "an output in no folder": (
        f"predict merged {SEEN} --output nowhere/out.json",
        1,
        "nowhere/out.json",
        "make the folder first",
    ),
    "an input as the output": (
        f"predict merged {SEEN} --output views/view_0.png",
        1,
        "views/view_0.png is an input",
        "name another file",
    ),
    "an option in the singular": (
        "predict merged --image views/view_0.png --instruction go",
        2,
        "--image",
        "did you mean --images?",
    ),
}

VERIFY = {
    "a run": ("verify run", 1, "run looks like a training run", "Run: vlahub merge-lora --base BASE --adapter run"),
    "a misspelt checkpoint": ("verify mergd", 1, "mergd is neither a folder", "did you mean merged?"),
    "a file": ("verify merged/config.json", 1, "name the folder that it lies in, merged"),
    "an address": ("verify https://huggingface.co/user/my-vla", 1, "by its id alone, user/my-vla"),
    "an empty folder": ("verify empty", 1, "empty holds no weights"),
    "a base alone": ("verify merged --base base", 1, "--base", "name the run with --against RUN"),
    "against the base": ("verify merged --against base", 1, "no source has", "Is a file of the run missing"),
    "against a run without its base": (
        "verify merged --against run",
        1,
        "run holds no model weights",
        "--base BASE --adapter run",
    ),
    "itself as the base": (
        "verify merged --against run --base merged",
        1,
        "--base merged is a checkpoint of vlahub already",
        "openvla/openvla-7b",
    ),
    "two tasks at once": ("verify merged --accept --code", 1, "--accept", "run it without"),
    "no such device": ("verify merged --device gpu", 1, "--device gpu", "--device cpu always can"),
    "no checkpoint": ("verify", 2, "CKPT"),
}

INSPECT = {
    "a misspelt checkpoint": ("inspect mergd", 1, "mergd is neither a folder", "did you mean merged?"),
    "an address": ("inspect https://huggingface.co/user/my-vla", 1, "by its id alone, user/my-vla"),
    "a file": ("inspect merged/config.json", 1, "name the folder that it lies in, merged"),
    "an empty folder": ("inspect empty", 1, "empty is empty", "incomplete?"),
    "a folder of pictures": ("inspect views", 1, "views looks like neither a model nor an adapter"),
    "a file to write": ("inspect merged --json out.json", 2, "unrecognized arguments: out.json"),
    "a misspelt option": ("inspect merged --jsn", 2, "did you mean --json?"),
    "two checkpoints": ("inspect merged base", 2, "unrecognized arguments: base"),
    "no checkpoint": ("inspect", 2, "CKPT"),
}

READING_MISTAKES = [row for table in (PREDICT, VERIFY, INSPECT) for row in table.items()]
