"""What no file records is asked for, or assumed aloud: in the plan, the report, the card and a warning."""

import json
import shutil
from dataclasses import replace

import pytest

from vlahub import CogVLAConfig, CogVLAImageProcessor
from vlahub.conversion.cli import main
from vlahub.conversion.job import Job
from vlahub.conversion.preparation import prepare
from vlahub.errors import ConversionError

STATISTICS = "dataset_statistics.json"


def planned(run, tmp_path, **options):
    """The settings that a merge would have, `{name: (value, how it is known)}`."""
    given = {"num_images": 1, "platform": "libero", **options}
    job = Job([run.run], tmp_path / "out", base=run.base, given=given)
    return {fact.name: (fact.value, fact.how) for fact in prepare(job).plan.facts}


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(code, capsys):
    error = capsys.readouterr().err
    assert code == 1 and error.startswith("error: ") and len(error.splitlines()) == 1, error
    return error


# Diffusion


def test_steps_of_a_diffusion_head_are_never_guessed(diffusion, tmp_path):
    with pytest.raises(ConversionError, match=r"num_diffusion_steps .* pass --num-diffusion-steps N.* 50"):
        planned(diffusion, tmp_path)


def test_steps_that_a_config_names_are_read(diffusion, tmp_path):
    run = diffusion.copied(tmp_path)
    edit(run.run / "config.json", num_diffusion_steps_train=50, num_diffusion_steps_inference=10)
    found = planned(run, tmp_path)
    assert found["num_diffusion_steps"] == (50, "read (config.json)")
    assert found["num_inference_steps"] == (10, "read (config.json)")
    with pytest.raises(ConversionError, match=r"num_diffusion_steps is 7 by --num-diffusion-steps, but 50"):
        planned(run, tmp_path, num_diffusion_steps=7)


def test_all_steps_of_a_prediction_are_an_assumption(diffusion, tmp_path):
    value, how = planned(diffusion, tmp_path, num_diffusion_steps=50)["num_inference_steps"]
    assert value == 50 and how.startswith("assumed") and "--num-inference-steps" in how
    found = planned(diffusion, tmp_path, num_diffusion_steps=50, num_inference_steps=5)
    assert found["num_inference_steps"] == (5, "given (--num-inference-steps)")


@pytest.mark.parametrize("option", ["num_diffusion_steps", "num_inference_steps"])
def test_steps_for_a_head_without_them_are_refused(option, openvla_oft, tmp_path):
    with pytest.raises(ConversionError, match=f"--{option.replace('_', '-')} was given, but .* no diffusion head"):
        planned(openvla_oft, tmp_path, **{option: 5})


# Images

OFT = "openvla-7b+libero_spatial_no_noops+b8+lr-0.0005+lora-r32+dropout-0.0"
NAMES = {
    f"{OFT}--image_aug--parallel_dec--8_acts_chunk--150000_chkpt": (True, "read (--image_aug"),
    "openvla-7b+bridge_orig+b16+lr-2e-05+lora-r32+dropout-0.0--note--image_aug": (True, "read (--image_aug"),
    "my_run--image_aug--10000_chkpt": (True, "read (--image_aug"),
    f"{OFT}--parallel_dec--150000_chkpt": (False, "read (no --image_aug"),
    "openvla-7b+bridge_orig+b16+lr-2e-05+lora-r32+dropout-0.0": (False, "read (no --image_aug"),
    "run": (False, "assumed"),
    "openvla-7b-oft-finetuned-libero-spatial": (False, "assumed"),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_crop_is_read_from_the_runs_name_or_assumed_aloud(name, openvla_oft, tmp_path):
    shutil.copytree(openvla_oft.run, tmp_path / name)
    run = replace(openvla_oft, run=tmp_path / name)
    value, how = planned(run, tmp_path)["center_crop"]
    assert (value, how.startswith(NAMES[name][1])) == (NAMES[name][0], True), how
    assert planned(run, tmp_path, center_crop=True)["center_crop"] == (True, "given (--center-crop)")
    assert planned(run, tmp_path, center_crop=False)["center_crop"] == (False, "given (--no-center-crop)")


def without_state(run, folder):
    """A run whose projector of the state was lost, under a name; its statistics still have the state."""
    shutil.copytree(run.run, folder)
    for path in folder.glob("proprio_projector--*"):
        path.unlink()
    return replace(run, run=folder)


def test_a_run_whose_name_tells_of_a_state_is_not_converted_without_it(openvla_oft, tmp_path):
    assert planned(openvla_oft, tmp_path)["proprio_dim"][1].startswith("read")
    run = without_state(openvla_oft, tmp_path / f"{OFT}--L1_regression--proprio_state--50_chkpt")
    with pytest.raises(ConversionError, match=r"is called .*proprio_state.*no proprio_projector--\*_checkpoint\.pt"):
        planned(run, tmp_path)
    value, how = planned(without_state(openvla_oft, tmp_path / "run"), tmp_path)["proprio_dim"]
    assert value is None and how.startswith("assumed (no proprio_projector")


def test_how_openvla_resizes_images_is_an_option(openvla, openvla_oft, tmp_path):
    value, how = planned(openvla, tmp_path, decoding="autoregressive", num_images=None, platform=None)["image_resize"]
    assert value == "jpeg_lanczos3" and how.startswith("assumed") and "--image-resize" in how
    assert "inferred" in planned(openvla_oft, tmp_path)["image_resize"][1]  # its scripts all do the same
    output = tmp_path / "out"
    assert openvla.merge(output, "--decoding", "autoregressive", "--image-resize", "bicubic") == 0
    assert CogVLAImageProcessor.from_pretrained(output).image_resize == "bicubic"
    assert json.loads((output / "preprocessor_config.json").read_text())["image_resize"] == "bicubic"


def test_pixel_statistics_without_a_file_of_them_are_an_assumption(openvla_oft, tmp_path):
    run = openvla_oft.copied_with_base(tmp_path)
    for folder in (run.base, run.run):
        (folder / "preprocessor_config.json").unlink(missing_ok=True)
    assert planned(run, tmp_path)["image_processor"][1].startswith("assumed")


# Where it is said


@pytest.mark.parametrize("command", ["merge-lora", "create", "convert"])
def test_a_quiet_command_still_warns_of_what_it_assumed(command, openvla_oft, tmp_path, capsys):
    """The result may be wrong."""
    run, output = openvla_oft, ["--output", tmp_path / "out"]
    words = {
        "merge-lora": ["--base", run.base, "--adapter", run.run, *output, *run.options],
        "create": ["--family", "cogvla", "--base", run.base, "--action-head", "l1", *output],
        "convert": [run.base, tmp_path / "out", "--decoding", "autoregressive"],
    }[command]
    assert main([str(word) for word in (command, *words, "--quiet", "--dry-run")]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("warning: assumed, for no file says it: ")
    assert len(printed.err.splitlines()) == 1 and "center_crop=False" in printed.err


def test_assumptions_are_said_in_plan_report_card_and_a_warning(openvla_oft, tmp_path, capsys):
    options = [option for option in openvla_oft.options if option != "--quiet"]
    command = ["merge-lora", "--base", openvla_oft.base, "--adapter", openvla_oft.run, "--output", tmp_path / "out"]
    assert main([str(word) for word in (*command, *options)]) == 0
    printed = capsys.readouterr()
    warning = next(line for line in printed.err.splitlines() if line.startswith("warning: "))
    assert "center_crop=False" in warning and "--center-crop" in warning
    assert "num_images" not in warning  # that was given
    assert "assumed (" in next(line for line in printed.out.splitlines() if line.strip().startswith("center_crop"))
    report = json.loads((tmp_path / "out" / "conversion_report.json").read_text())
    assert report["settings"]["center_crop"]["known"].startswith("assumed")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "## Assumed" in card and "`center_crop`: `False`" in card


def test_what_is_known_is_no_assumption(openvla_oft, tmp_path, capsys):
    assert openvla_oft.merge(tmp_path / "out", "--no-center-crop") == 0
    assert "Assumed" not in (tmp_path / "out" / "README.md").read_text()
    assert CogVLAImageProcessor.from_pretrained(tmp_path / "out").center_crop is False


# Statistics


def moved(run, tmp_path):
    """The run without its statistics, which lie in another folder, as those of a published OpenVLA adapter do."""
    run = run.copied(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (run.run / STATISTICS).rename(tmp_path / "elsewhere" / STATISTICS)
    return run, tmp_path / "elsewhere" / STATISTICS


@pytest.mark.parametrize("name", ["cogvla", "openvla_oft", "openvla"])
def test_statistics_may_lie_in_another_folder(name, request, tmp_path, capsys):
    run, file = moved(request.getfixturevalue(name), tmp_path)
    decoding = ["--decoding", "autoregressive"] if name == "openvla" else []
    error = refused(run.merge(tmp_path / "out", *decoding), capsys)
    assert f"{STATISTICS} is missing in {run.run}" in error and "--statistics FILE" in error
    assert run.merge(tmp_path / "out", *decoding, "--statistics", str(file)) == 0
    assert CogVLAConfig.from_pretrained(tmp_path / "out").norm_stats == json.loads(file.read_text())
    sources = ["--against", str(run.run), "--base", str(run.base), "--quiet"]
    assert main(["verify", str(tmp_path / "out"), *sources]) == 0


def test_a_plain_openvla_adapter_takes_config_and_statistics_from_elsewhere(openvla, tmp_path):
    """As openvla/openvla leaves it: the adapter in a folder of its own, the statistics in the run's."""
    adapter = tmp_path / "openvla-7b+bridge_orig+b16+lr-2e-05+lora-r32+dropout-0.0--image_aug"
    shutil.copytree(openvla.run / "lora_adapter", adapter)
    words = ["--base", openvla.base, "--adapter", adapter, "--statistics", openvla.run / STATISTICS]
    options = ["--decoding", "autoregressive", "--quiet", "--output", str(tmp_path / "out")]
    assert main(["merge-lora", *map(str, words), *options]) == 0
    config = CogVLAConfig.from_pretrained(tmp_path / "out")
    assert (config.action_attention, list(config.norm_stats)) == ("causal", ["demo_tabletop"])
    assert CogVLAImageProcessor.from_pretrained(tmp_path / "out").center_crop is True


def test_given_statistics_replace_those_of_the_run(openvla_oft, tmp_path):
    file = tmp_path / "config.json"
    own = json.loads((openvla_oft.run / STATISTICS).read_text())
    file.write_text(json.dumps({"norm_stats": {"other": next(iter(own.values()))}}))
    found = planned(openvla_oft, tmp_path, statistics=file)["norm_stats"]
    assert found == (["other"], "given (--statistics config.json)")


def spoil(part, name, dimension, value):
    def change(statistics):
        statistics["demo_tabletop"][part][name][dimension] = value

    return change


def drop(part):
    return lambda statistics: statistics["demo_tabletop"].pop(part)


SPOILT = {
    "nan": (spoil("action", "q01", 3, float("nan")), r"['demo_tabletop']['action']['q01'][3] is nan"),
    "infinity": (spoil("proprio", "max", 0, float("inf")), "['proprio']['max'][0] is inf"),
    "swapped": (spoil("action", "q99", 1, -99.0), "['action']['q01'][1] is"),
    "text": (spoil("action", "q01", 0, "1"), "['action']['q01'][0] is '1'"),
    "mask of numbers": (spoil("action", "mask", 6, 0), "['action']['mask'][6] is 0"),
    "no state": (drop("proprio"), "has no 'proprio' or 'state' part"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_statistics_that_cannot_be_used_end_a_merge(case, openvla_oft, tmp_path, capsys):
    change, message = SPOILT[case]
    run = openvla_oft.copied(tmp_path)
    statistics = json.loads((run.run / STATISTICS).read_text())
    change(statistics)
    (run.run / STATISTICS).write_text(json.dumps(statistics))
    assert message in refused(run.merge(tmp_path / "out"), capsys)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_whose_statistics_were_damaged_does_not_verify(merged, tmp_path, capsys):
    folder = shutil.copytree(merged, tmp_path / "checkpoint")
    for name in ("processor_config.json", "config.json"):
        good = (folder / name).read_text()
        content = json.loads(good)
        content["norm_stats"]["demo_tabletop"]["action"]["q99"][2] = float("nan")
        (folder / name).write_text(json.dumps(content))
        assert "['action']['q99'][2] is nan" in refused(main(["verify", str(folder), "--quiet"]), capsys)
        (folder / name).write_text(good)
    assert main(["verify", str(folder), "--quiet"]) == 0
