"""What the name of a run says, which the published fine-tuning script gives to it.

openvla/openvla and moojink/openvla-oft, vla-scripts/finetune.py.
"""

import re

IMAGE_AUG = "--image_aug"  # in the name of a run that learned from randomly cropped images
RUN_NAME = re.compile(r"\+b\d+\+lr-")  # of a name that the published fine-tuning script gave to its run
NO_CROP_KNOWN = f"the run's name does not tell; a model trained with {IMAGE_AUG} needs the crop"


def crop_of(run_name: str) -> tuple[bool, str] | None:
    """Whether a run was trained with random crops, and how that is known; `None` where its name does not tell.

    The name says it, and nothing else does.
    """
    if IMAGE_AUG in run_name:
        return True, f"read ({IMAGE_AUG} in the run's name)"
    if RUN_NAME.search(run_name):
        return False, f"read (no {IMAGE_AUG} in the run's name)"
    return None
