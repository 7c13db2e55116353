"""As `writing_mistakes.py`, of the commands that check, tell of and publish a checkpoint, beyond the rows there and in
`reading_mistakes.py`. There is little to get wrong about `inspect`: 19 rows in all are what is likely."""

VERIFY = {
    "a dataset": ("verify data", 1, "data looks like a LeRobot dataset", "vlahub stats data"),
    "a saved dataset": ("verify drives", 1, "drives looks like a dataset", "--dataset"),
    "pictures": ("verify views", 1, "views holds no weights of a model", "incomplete?"),
    "a folder of models": ("verify parts", 1, "parts holds no weights", "Name a model in it", "parts/language"),
    "the adapter of a run": ("verify run/lora_adapter", 1, "looks like an adapter", "vlahub merge-lora --base BASE"),
    "a repository in the cache": (
        "verify models--user--name",
        1,
        "models--user--name looks like a repository in the Hub's cache",
        "Name the repository, user/name",
        "models--user--name/snapshots/0123",
    ),
    "weights cut off": ("verify cut_merged", 1, "cut_merged/model.safetensors cannot be read", "Fetch the file again"),
    "a pointer of Git LFS": ("verify pointer_merged", 1, "pointer_merged/model.safetensors", "git lfs pull"),
    "weights that are missing": ("verify weightless", 1, "missing: model.safetensors", "weightless holds no weights"),
    "a misspelt run": ("verify merged --against rnu --base base", 1, "rnu is neither a folder", "did you mean run?"),
    "a misspelt base": ("verify merged --against run --base bsae", 1, "bsae is neither", "did you mean base?"),
    "the run as the base": ("verify merged --against run --base run", 1, "--base must name a whole model", "run"),
    "base and run swapped": ("verify merged --against base --base run", 1, "seem to be swapped"),
    "the inner folder of a run": ("verify merged --against run/lora_adapter --base base", 1, "that of the run", "/run"),
    "no run": ("verify merged --against", 2, "--against", "expected one argument"),
    "a misspelt option": ("verify merged --agianst run", 2, "--agianst", "did you mean --against?"),
    "a base without its option": ("verify merged base", 2, "unrecognized arguments: base", "it takes CKPT alone"),
    "to record another run": ("verify run --accept", 1, "run looks like a training run", "vlahub merge-lora"),
    "to record what nothing was recorded of": ("verify base --accept", 1, "base has no conversion_report.json"),
    "to record a misspelt folder": ("verify mergd --accept", 1, "--accept mergd", "did you mean merged?"),
    "to record a file": ("verify merged/config.json --accept", 1, "--accept merged/config.json", "merged."),
    "to record a repository": ("verify user/name --accept", 1, "--accept user/name", "is downloaded first"),
    "to record cut off weights": ("verify cut_merged --accept", 1, "cut_merged/model.safetensors", "Fetch"),
    "a home directory in quotes": ("verify '~/merged'", 1, "~/merged", "the shell did not replace ~"),
}

PUSH = {
    "no login": ("push merged user/name", 1, "there is no token for user/name", "hf auth login", "HF_TOKEN"),
    "a token on the command line": ("push merged user/name --token hf_x", 2, "--token", "hf auth login"),
    "a branch by another word": ("push merged user/name --branch tuned", 2, "--branch", "did you mean --revision?"),
    "a branch with a space": ("push merged user/name --revision 'my branch'", 1, "'my branch'", "as in my-branch"),
    "a branch that begins with a line": ("push merged user/name --revision=-tuned", 1, "'-tuned'", "my-branch"),
    "a commit as the branch": (
        f"push merged user/name --revision {'0123456789' * 4}",
        1,
        "0123456789 is a commit",
        "name a branch",
    ),
    "a branch that is a variable not set": ("push merged user/name --revision ''", 1, "--revision is empty"),
    "a misspelt word for the card": ("push merged user/name --card renw", 2, "'renw'", "did you mean renew?"),
    "a card as a file": ("push merged user/name --card README.md", 2, "'README.md'", "'keep', 'renew'"),
    "the base": ("push base user/name", 1, "base looks like a whole model", "Run first: vlahub convert base OUTPUT"),
    "a published driving model": ("push published user/name", 1, "vlahub convert published OUTPUT --vlm BASE"),
    "an adapter": ("push run/lora_adapter user/name", 1, "has no config.json", "vlahub merge-lora --base BASE"),
    "a dataset": ("push data user/name", 1, "data has no config.json", "data looks like a LeRobot dataset"),
    "a folder of models": ("push parts user/name", 1, "Name a model in it", "parts/language"),
    "a repository in the cache": ("push models--user--name user/name", 1, "or a snapshot in it", "snapshots/0123"),
    "a pointer of Git LFS": ("push pointer_merged user/name", 1, "pointer_merged/model.safetensors", "git lfs pull"),
    "a shard that is missing": ("push half_base user/name", 1, "'model-00002-of-00002.safetensors', which is missing"),
    "a home directory in quotes": ("push '~/merged' user/name", 1, "~/merged is no folder", "the shell"),
    "the folder alone, with a user": ("push merged user/name/merged", 1, "'user/name/merged'", "user/name"),
    "a repository of datasets": ("push merged datasets/user/name", 1, "'datasets/user/name'", "user/name"),
}

INSPECT = {
    "a home directory in quotes": ("inspect '~/merged'", 1, "~/merged", "the shell did not replace ~"),
    "a page": ("inspect openvla/openvla-7b/tree/main", 1, "by its id alone, openvla/openvla-7b"),
    "a revision of a folder": ("inspect merged --revision main", 1, "--revision main", "merged is a folder"),
    "no network": ("inspect user/name", 1, "user/name is neither a folder", "HF_HUB_OFFLINE"),
    "a text": ("inspect note.txt", 1, "it is a file", "the current one (.)"),
    "a dataset": ("inspect data", 1, "data looks like a LeRobot dataset", "vlahub stats data"),
    "a saved dataset": ("inspect drives", 1, "drives looks like a dataset", "--dataset"),
    "a folder of models": ("inspect parts", 1, "Name a model in it", "parts/language"),
    "a repository in the cache": ("inspect models--user--name", 1, "Name the repository, user/name", "snapshots/0123"),
    "a variable not set": ("inspect ''", 1, "an argument is empty", "is a variable not set?"),
}

CHECKING_MISTAKES = [row for table in (VERIFY, PUSH, INSPECT) for row in table.items()]
