"""The rows of `test_beginners_mistakes.py`: the mistake, the command line, its exit code, and texts of the message.

Paths are those of the folder that the test makes.
"""

RUN = "--num-images 2 --platform libero"
PLAIN = "--num-images 1 --platform bridge --decoding autoregressive"

MERGE_LORA = {
    "base and adapter swapped": (
        "merge-lora --base run --adapter base --output out",
        1,
        "seem to be swapped",
        "Run: vlahub merge-lora --base base --adapter run",
    ),
    "commas between adapters": (
        "merge-lora --base base --adapter run,merged --output out",
        2,
        "'run,merged' is no file or folder",
        "give --adapter for each of several",
    ),
    "one adapter twice": (
        "merge-lora --base base --adapter run --adapter ./run --output out",
        1,
        "--adapter run is given twice",
        "name it once",
    ),
    "the base as the adapter": (
        "merge-lora --base base --adapter base --output out",
        1,
        "base looks like a whole model",
        "--adapter must name what was trained",
    ),
    "the run as the base": (
        "merge-lora --base run --adapter run --output out",
        1,
        "--base must name a whole model",
        "run looks like a training run",
    ),
    "no base": (
        "merge-lora --adapter run --output out",
        1,
        "run holds no model weights",
        "Run: vlahub merge-lora --base BASE --adapter run",
    ),
    "a file as the base": (
        "merge-lora --base base/model-00001-of-00002.safetensors --adapter run --output out",
        1,
        "it is a file; name the folder that it lies in, base",
    ),
    "the inner folder of a run": (
        "merge-lora --base base --adapter run/lora_adapter --output out",
        1,
        "--adapter",
        "/run --output OUTPUT",
    ),
    "a folder of runs": (
        "merge-lora --base base --adapter runs --output out",
        1,
        "runs holds no adapter",
        "Name a run in it: runs/monday",
    ),
    "a misspelt run": (
        "merge-lora --base base --adapter rnu --output out",
        1,
        "rnu is neither a folder nor a repository",
        "did you mean run?",
    ),
    "a misspelt path": (
        "merge-lora --base base --adapter ./rnu --output out",
        1,
        "rnu",
        "there is no such folder",
        "did you mean run?",
    ),
    "an address as the base": (
        "merge-lora --base https://huggingface.co/openvla/openvla-7b --adapter run --output out",
        1,
        "by its id alone, openvla/openvla-7b.",
    ),
    "a page as the base": (
        "merge-lora --base openvla/openvla-7b/tree/main --adapter run --output out",
        1,
        "by its id alone, openvla/openvla-7b.",
    ),
    "a home directory in quotes": (
        "merge-lora --base base --adapter '~/run' --output out",
        1,
        "~/run",
        "the shell did not replace ~",
    ),
    "no number of images": (
        "merge-lora --base base --adapter run --output out",
        1,
        "num_images_in_input",
        "pass --num-images N",
    ),
    "no platform": (
        "merge-lora --base base --adapter run --output out --num-images 2",
        1,
        "num_action_chunks",
        "--platform",
    ),
    "no images at all": (
        "merge-lora --base base --adapter run --output out --num-images 0 --platform libero",
        1,
        "num_images_in_input=0",
        "must be a positive whole number",
    ),
    "another platform": (
        "merge-lora --base base --adapter run --output out --num-images 2 --platform aloha",
        1,
        "action_dim is 14 by --platform aloha",
        "leave it out, or give what fits",
    ),
    "no statistics": (
        f"merge-lora --base base --adapter no_statistics --output out {RUN}",
        1,
        "dataset_statistics.json is missing in no_statistics",
        "pass --statistics FILE",
    ),
    "statistics that are not there": (
        f"merge-lora --base base --adapter run --output out --statistics statistics.json {RUN}",
        1,
        "statistics.json is missing",
        "is a path misspelt",
    ),
    "statistics that are none": (
        f"merge-lora --base base --adapter run --output out --statistics note.txt {RUN}",
        1,
        "note.txt is not valid JSON",
    ),
    "a run without its head": (
        f"merge-lora --base base --adapter no_head --output out {RUN}",
        1,
        "no action_head--*_checkpoint.pt",
        "Is it missing?",
        "pass --decoding parallel",
    ),
    "a run without its adapter": (
        f"merge-lora --base base --adapter no_adapter --output out {RUN}",
        1,
        "no_adapter holds no adapter",
        "copy them beside the side files",
    ),
    "a run without its config": (
        f"merge-lora --base base --adapter no_config --output out {RUN}",
        1,
        "of which config.json says nothing",
        "Copy the run's own config.json",
    ),
    "two steps of a run": (
        f"merge-lora --base base --adapter two_heads --output out {RUN}",
        1,
        "action_head--20_checkpoint.pt",
        "keep the one to convert",
    ),
    "an empty base": (
        f"merge-lora --base empty --adapter run --output out {RUN}",
        1,
        "--base empty holds no model weights",
        "Is the download or the copy incomplete?",
    ),
    "a base that holds the adapter": (
        f"merge-lora --base merged --adapter run --output out {RUN}",
        1,
        "--base merged holds the adapter run already",
        "name the model that it was trained on",
    ),
    "a merged base": (
        f"merge-lora --base merged --adapter cut_adapter --output out {RUN}",
        1,
        "--base merged is a checkpoint of vlahub already",
        "openvla/openvla-7b",
    ),
    "a merged adapter": (
        f"merge-lora --base base --adapter merged --output out {RUN}",
        1,
        "merged looks like a converted checkpoint",
        "--adapter must name what was trained",
    ),
    "an adapter cut off": (
        f"merge-lora --base base --adapter cut_adapter --output out {RUN}",
        1,
        "cut_adapter/lora_adapter/adapter_model.safetensors",
        "Fetch the file again",
    ),
    "a head cut off": (
        f"merge-lora --base base --adapter cut_head --output out {RUN}",
        1,
        "cut_head/action_head--10_checkpoint.pt",
    ),
    "a shard that is missing": (
        f"merge-lora --base half_base --adapter run --output out {RUN}",
        1,
        "half_base",
        "'model-00002-of-00002.safetensors', which is missing",
    ),
    "pointers of Git LFS": (
        f"merge-lora --base pointers --adapter run --output out {RUN}",
        1,
        "pointers/model-00002-of-00002.safetensors",
        "git lfs pull",
    ),
    "an output that is not empty": (
        f"merge-lora --base base --adapter run --output kept {RUN}",
        1,
        "kept is not empty",
        "--overwrite",
    ),
    "an output that is a file": (
        f"merge-lora --base base --adapter run --output note.txt {RUN}",
        1,
        "note.txt is a file; name a folder",
    ),
    "the run as the output": (
        f"merge-lora --base base --adapter run --output run --overwrite {RUN}",
        1,
        "would replace the source run",
        "name another folder",
    ),
    "an output that is a variable not set": (
        f"merge-lora --base base --adapter run --output '' {RUN}",
        1,
        "--output is empty",
        "is a variable not set?",
    ),
    "a dtype by another name": (
        f"merge-lora --base base --adapter run --output out --dtype bf16 {RUN}",
        2,
        "'bf16'",
        "did you mean bfloat16?",
    ),
    "no such device": (
        f"merge-lora --base base --adapter run --output out --device gpu {RUN}",
        1,
        "--device gpu",
        "--device cpu always can",
    ),
    "another family": (
        f"merge-lora --base base --adapter run --output out --family alpamayo_r1 {RUN}",
        1,
        "vlahub convert PUBLISHED OUTPUT --vlm BASE",
    ),
    "the generic family": (
        f"merge-lora --base base --adapter run --output out --family generic {RUN}",
        1,
        "vision_backbone--10_checkpoint.pt",
        "Without --family",
    ),
    "two runs": (
        f"merge-lora --base base --adapter run --adapter cut_adapter --output out {RUN}",
        1,
        "2 were given",
        "name one with --adapter",
    ),
    "no repository's id": (
        f"merge-lora --base base --adapter run --output out --push-to-hub my-vla {RUN}",
        1,
        "'my-vla' is no repository id",
        "user/name",
    ),
    "no names of options": ("merge-lora base run out", 2, "--adapter, --output"),
}

CONVERT = {
    "a run": ("convert run out", 1, "run holds no model weights", "Run: vlahub merge-lora --base BASE --adapter run"),
    "the adapter of a run": (
        "convert run/lora_adapter out",
        1,
        "run/lora_adapter looks like an adapter",
        "Run: vlahub merge-lora",
    ),
    "what is converted already": (
        "convert merged out",
        1,
        "merged looks like a converted checkpoint",
        "vlahub verify merged",
    ),
    "what is converted already, by dtype": (
        "convert merged out --dtype bfloat16",
        1,
        "nothing is left to convert",
        "--quantize",
    ),
    "a misspelt folder": ("convert baze out", 1, "baze is neither a folder", "did you mean base?"),
    "an address": ("convert https://huggingface.co/openvla/openvla-7b out", 1, "by its id alone, openvla/openvla-7b."),
    "a file": ("convert base/config.json out", 1, "name the folder that it lies in, base"),
    "no output": ("convert base", 2, "OUTPUT"),
    "an argument too many": ("convert base out extra", 2, "unrecognized arguments: extra"),
    "options for what is positional": ("convert --source base --output out", 2, "--source --output"),
    "source and output the same": (
        "convert base base --overwrite",
        1,
        "would replace the source base",
        "name another folder",
    ),
    "an output that is not empty": ("convert base kept", 1, "kept is not empty", "--overwrite"),
    "an output that is a file": ("convert base note.txt", 1, "note.txt is a file; name a folder"),
    "an output below a file": ("convert base note.txt/out", 1, "note.txt is no folder"),
    "an empty folder": ("convert empty out", 1, "empty holds no model weights", "incomplete?"),
    "a folder of pictures": ("convert views out", 1, "views holds no model weights"),
    "weights that are missing": ("convert weightless out", 1, "weightless holds no model weights", "incomplete?"),
    "weights cut off": (
        f"convert cut_base out {PLAIN}",
        1,
        "cut_base/model-00001-of-00002.safetensors",
        "Fetch the file again",
    ),
    "a shard that is missing": (
        f"convert half_base out {PLAIN}",
        1,
        "'model-00002-of-00002.safetensors', which is missing",
    ),
    "pointers of Git LFS": (f"convert pointers out {PLAIN}", 1, "git lfs pull"),
    "no decoding": (
        "convert base out --num-images 1 --platform bridge",
        1,
        "--decoding parallel",
        "--decoding autoregressive",
    ),
    "a misspelt decoding": (
        "convert base out --decoding autoregresive",
        2,
        "'autoregresive'",
        "did you mean autoregressive?",
    ),
    "an option of another family": (
        f"convert base out --vlm base {PLAIN}",
        1,
        "--vlm: a model of the kind 'cogvla' has no use for it",
    ),
    "a misspelt family": ("convert base out --family cogvl", 2, "'cogvl'", "did you mean cogvla?"),
    "no such precision": ("convert base out --quantize int3", 2, "'int3'", "did you mean int8?"),
    "statistics that are a folder": (
        f"convert base out --statistics merged {PLAIN}",
        1,
        "merged is no regular file",
        "a file is needed",
    ),
    "a shard of no size": ("convert base out --max-shard-size 0", 2, "'0' is not a size", "2GB"),
    "an address to publish at": (
        f"convert base out --push-to-hub https://huggingface.co/user/name {PLAIN}",
        1,
        "is no repository id",
        "user/name",
    ),
}

PUSH = {
    "a name without a user": ("push merged my-vla", 1, "'my-vla' is no repository id", "user/name"),
    "an address": (
        "push merged https://huggingface.co/user/name",
        1,
        "'https://huggingface.co/user/name' is no repository id",
        "user/name",
    ),
    "folder and repository swapped": ("push user/name merged", 1, "'merged' is no repository id", "user/name"),
    "no repository": ("push merged", 2, "user/name"),
    "a misspelt folder": ("push mergd user/name", 1, "mergd is no folder", "did you mean merged?"),
    "a file": ("push merged/config.json user/name", 1, "merged/config.json is no folder", "name what merge-lora"),
    "a run": ("push run user/name", 1, "run has no weights", "Run: vlahub merge-lora --base BASE --adapter run"),
    "an empty folder": ("push empty user/name", 1, "empty has no config.json", "name the folder"),
    "weights that are missing": ("push weightless user/name", 1, "weightless has no weights", "incomplete?"),
    "weights cut off": ("push cut_merged user/name", 1, "cut_merged/model.safetensors", "Fetch the file again"),
    "a pull request to a branch": (
        "push merged user/name --create-pr --revision main",
        1,
        "--create-pr",
        "--revision main",
    ),
}

WRITING_MISTAKES = [row for table in (MERGE_LORA, CONVERT, PUSH) for row in table.items()]
