"""Damaged or incomplete runs and bases, and options that do not fit: refused by name, and nothing changes on disk."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlahub.conversion.cli import merge_lora_main


def side_file(run, kind):
    return next(run.run.glob(f"{kind}--*.pt"))


def adapter_file(run):
    return run.run / "lora_adapter" / "adapter_model.safetensors"


def edit_pickle(path, change):
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def edit_safetensors(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_text_config(path, **changes):
    edit_json(path, text_config={**json.loads(path.read_text())["text_config"], **changes})


def edit_statistics(path, change):
    statistics = json.loads(path.read_text())
    change(statistics["demo_tabletop"])
    path.write_text(json.dumps(statistics))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1000])


def copy_beside(path, name):
    path.with_name(name).write_bytes(path.read_bytes())


def remove_folder(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def cut(name, rows=None, columns=None):
    """A change of tensors: the one that ends with `name` loses rows or columns."""

    def change(tensors):
        key = next(key for key in tensors if key.endswith(name))
        tensors[key] = tensors[key][:rows, :columns].clone()

    return change


def drop(name):
    return lambda tensors: tensors.pop(next(key for key in tensors if key.endswith(name)))


def drop_all(part):
    return lambda tensors: [tensors.pop(key) for key in list(tensors) if part in key]


def spoil(name):
    return lambda tensors: tensors[next(key for key in tensors if key.endswith(name))].fill_(float("nan"))


# Damage to a CogVLA run, and what the message must name

Q_PROJ = "layers.0.self_attn.q_proj.lora_A.weight"
DAMAGED_RUNS = {
    "no vision side file": (
        lambda run: side_file(run, "vision_backbone").unlink(),
        r"use_film=True.*vision_backbone--\*_checkpoint\.pt missing",
    ),
    "no non_lora_trainables": (
        lambda run: side_file(run, "non_lora_trainables").unlink(),
        r"vision_aggregate_type='moe'.*non_lora_trainables--\*_checkpoint\.pt missing",
    ),
    "no action head": (lambda run: side_file(run, "action_head").unlink(), r"no action_head--\*_checkpoint\.pt"),
    "no adapter": (lambda run: remove_folder(run.run / "lora_adapter"), "holds no adapter"),
    "no adapter weights": (lambda run: adapter_file(run).unlink(), "holds no adapter"),
    "no adapter config": (
        lambda run: (run.run / "lora_adapter" / "adapter_config.json").unlink(),
        r"adapter_config\.json is missing.*alpha / r",
    ),
    "adapter config that is not JSON": (
        lambda run: (run.run / "lora_adapter" / "adapter_config.json").write_text("{"),
        r"adapter_config\.json cannot be read",
    ),
    "adapter of another kind": (
        lambda run: edit_json(run.run / "lora_adapter" / "adapter_config.json", peft_type="LOHA"),
        "peft_type 'LOHA'",
    ),
    "adapter of a narrower base": (
        lambda run: edit_safetensors(adapter_file(run), cut(Q_PROJ, columns=32)),
        r"does not fit the base: lora_A\S* of language_model\.\S+\.0\.self_attn\.q_proj is \(4, 32\).*\(4, 64\)",
    ),
    "adapter with layers that the base lacks": (
        lambda run: edit_safetensors(
            adapter_file(run),
            lambda t: t.update({k.replace(".layers.0.", ".layers.8."): v.clone() for k, v in t.items()}),
        ),
        r"model\.layers\.8\.",
    ),
    "half a LoRA": (
        lambda run: edit_safetensors(adapter_file(run), drop(Q_PROJ)),
        r"adapter of \S*\.q_proj does not fit its config: missing \['lora_A",
    ),
    "adapter without a layer that its config names": (
        lambda run: edit_safetensors(adapter_file(run), drop_all("layers.0.self_attn.q_proj.lora_")),
        r"adapter_model\.safetensors .*layers\.0\.self_attn\.q_proj",
    ),
    "adapter with another rank than its config": (
        lambda run: edit_json(run.run / "lora_adapter" / "adapter_config.json", r=8),
        r"lora_A\S* of \S+ is \(4, 32\), its layer needs \(8, 32\)",
    ),
    "adapter that is not finite": (
        lambda run: edit_safetensors(adapter_file(run), spoil(Q_PROJ)),
        r"not finite: language_model\.model\.layers\.0\.self_attn\.q_proj\.weight",
    ),
    "truncated adapter": (lambda run: truncate(adapter_file(run)), r"adapter_model\.safetensors cannot be read"),
    "head of another size": (
        lambda run: edit_pickle(side_file(run, "action_head"), cut("model.fc1.weight", columns=300)),
        r"action_head--10_.*: module\.model\.fc1\.weight has shape \(64, 300\), the model needs \(64, 448\)",
    ),
    "projector of another width": (
        lambda run: edit_pickle(side_file(run, "non_lora_trainables"), cut("featurizer_proj.fc1.weight", rows=60)),
        r"non_lora_trainables.*featurizer_proj\.fc1\.weight has shape \(60, 32\), the model needs \(64, 32\)",
    ),
    "a head without one of its layers": (
        lambda run: edit_pickle(side_file(run, "action_head"), drop("layer_norm2.weight")),
        r"no source has action_head\.model\.layer_norm2\.weight; usually in action_head--",
    ),
    "a vision layer without its LoRA": (
        lambda run: [
            edit_pickle(side_file(run, "vision_backbone"), drop_all("fused_featurizer.blocks.0.block.mlp.fc1.lora_")),
            edit_safetensors(adapter_file(run), drop_all("fused_featurizer.blocks.0.block.mlp.fc1.lora_")),
        ],
        r"holds .*fused_featurizer\.blocks\.0\.block\.mlp\.fc1\.base_layer\.weight but not the LoRA",
    ),
    "a tensor that no layout has": (
        lambda run: edit_pickle(
            side_file(run, "non_lora_trainables"), lambda t: t.update({"depth_router.weight": torch.zeros(1)})
        ),
        r"non_lora_trainables--10_checkpoint\.pt holds the tensor depth_router\.weight, which no known layout has",
    ),
    "a pruning router in a layer that is not pruned": (
        lambda run: edit_pickle(
            side_file(run, "non_lora_trainables"),
            lambda t: t.update({k.replace(".layers.3.", ".layers.1."): v.clone() for k, v in t.items()}),
        ),
        r"layers\.1\.router\..*has no place",
    ),
    "two heads": (
        lambda run: copy_beside(side_file(run, "action_head"), "action_head--latest_checkpoint.pt"),
        r"several action_head files \(action_head--10_checkpoint\.pt, action_head--latest_checkpoint\.pt\)",
    ),
    "two non_lora_trainables": (
        lambda run: copy_beside(side_file(run, "non_lora_trainables"), "non_lora_trainables--20_checkpoint.pt"),
        "several non_lora_trainables files",
    ),
    "truncated side file": (
        lambda run: truncate(side_file(run, "vision_backbone")),
        r"vision_backbone--10_checkpoint\.pt cannot be read",
    ),
    "side file with a training state": (
        lambda run: torch.save({"model": {}, "step": 10}, side_file(run, "action_head")),
        r"action_head--10_checkpoint\.pt is not a flat mapping",
    ),
    "no statistics": (
        lambda run: (run.run / "dataset_statistics.json").unlink(),
        r"dataset_statistics\.json is missing",
    ),
    "statistics that are not JSON": (
        lambda run: (run.run / "dataset_statistics.json").write_text("{'a': 1}"),
        r"dataset_statistics\.json is not valid JSON",
    ),
    "empty statistics": (
        lambda run: (run.run / "dataset_statistics.json").write_text("{}"),
        r"dataset_statistics\.json",
    ),
    "statistics of another robot": (
        lambda run: edit_statistics(run.run / "dataset_statistics.json", lambda s: s["action"]["q01"].pop()),
        r"norm_stats\['demo_tabletop'\]\['action'\]\['q01'\] has 6 values.*needs 7",
    ),
    "statistics of another state": (
        lambda run: edit_statistics(
            run.run / "dataset_statistics.json", lambda s: [numbers.pop() for numbers in s["proprio"].values()]
        ),
        r"norm_stats\['demo_tabletop'\]\['proprio'\].*7.*8",
    ),
    "statistics that are not statistics": (
        lambda run: (run.run / "dataset_statistics.json").write_text('{"demo_tabletop": 1}'),
        "demo_tabletop",
    ),
    "config that is not JSON": (
        lambda run: (run.run / "config.json").write_text("model_type: openvla"),
        r"config\.json is not valid JSON",
    ),
    "config that is no mapping": (lambda run: (run.run / "config.json").write_text("[1]"), r"config\.json"),
    "config of another model": (
        lambda run: edit_json(run.run / "config.json", model_type="llava"),
        "llava",
    ),
    "config with one tower": (
        lambda run: edit_json(run.run / "config.json", timm_model_ids=["vit_so400m_patch14_siglip_224"]),
        "timm_model_ids",
    ),
    "config with an unknown tower": (
        lambda run: edit_json(run.run / "config.json", timm_model_ids=["vit_tiny", "vit_small"]),
        "'vit_tiny'",
    ),
    "config without the pruning schedule": (
        lambda run: edit_text_config(run.run / "config.json", lfp_type=None),
        "no lfp_type",
    ),
    "config without FiLM beside a run with it": (
        lambda run: edit_json(run.run / "config.json", use_film=False),
        "use_film=False, but the tensors say True",
    ),
    "image processor with another resize": (
        lambda run: edit_json(run.run / "preprocessor_config.json", image_resize_strategy="letterbox"),
        "letterbox",
    ),
    "image processor config that is not JSON": (
        lambda run: (run.run / "preprocessor_config.json").write_text("{"),
        r"preprocessor_config\.json is not valid JSON",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED_RUNS)
def test_a_damaged_run_is_refused_by_name_and_nothing_changes(
    damage, cogvla, tmp_path, snapshot, capsys, assert_refused
):
    run = cogvla.copied(tmp_path)
    change, message = DAMAGED_RUNS[damage]
    change(run)
    before = snapshot(tmp_path, run.base)
    assert_refused(run.merge(tmp_path / "out"), capsys, message)
    assert snapshot(tmp_path, run.base) == before


def test_a_diffusion_run_without_its_noise_projector_is_not_taken_for_regression(
    diffusion, tmp_path, snapshot, capsys, assert_refused
):
    run = diffusion.copied(tmp_path)
    side_file(run, "noisy_action_projector").unlink()
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, "noisy_action_projector")
    assert snapshot(tmp_path) == before


def test_a_projector_of_noisy_actions_belongs_to_a_diffusion_head(
    cogvla, diffusion, tmp_path, snapshot, capsys, assert_refused
):
    run, projector = cogvla.copied(tmp_path), side_file(diffusion, "noisy_action_projector")
    (run.run / projector.name).write_bytes(projector.read_bytes())
    before = snapshot(tmp_path)
    words = "holds a head that is no diffusion head, but there is a noisy_action_projector"
    assert_refused(run.merge(tmp_path / "out"), capsys, words)
    assert snapshot(tmp_path) == before


def without_films(run):
    """The vision weights as FiLM's wrapper calls them, without FiLM."""
    edit_pickle(side_file(run, "vision_backbone"), lambda t: [drop_all(part)(t) for part in (".scale.", ".shift.")])


FILM_LOST = {
    "no vision side file": lambda run: side_file(run, "vision_backbone").unlink(),
    "a vision side file without FiLM": without_films,
}


@pytest.mark.parametrize("merged", [False, True], ids=["adapter", "merged"])
@pytest.mark.parametrize("loss", FILM_LOST)
def test_names_of_layers_inside_film_are_evidence_of_film_that_no_config_records(
    loss, merged, cogvla, openvla_oft, tmp_path, snapshot, capsys, merged_language, save_weights, assert_refused
):
    """OpenVLA-OFT with FiLM: CogVLA's wrapped towers, and a config.json that says nothing of parts."""
    run = cogvla.copied(tmp_path)
    side_file(run, "non_lora_trainables").unlink()
    edit_pickle(side_file(run, "vision_backbone"), drop_all("vision_aggr_"))
    shutil.copyfile(run.base / "config.json", run.run / "config.json")
    if merged:
        save_weights(merged_language(cogvla), run.run / "model.safetensors")
    FILM_LOST[loss](run)
    before = snapshot(tmp_path)
    words = r"featurizer\.blocks\.\d+\.block\..* inside a FiLM block.*vision_backbone--\*_checkpoint\.pt missing"
    assert_refused(run.convert(tmp_path / "out") if merged else run.merge(tmp_path / "out"), capsys, words)
    assert snapshot(tmp_path) == before


CONFIGS_OF_BASES = {
    "none of its own": lambda run: (run.run / "config.json").unlink(),
    "the base's": lambda run: shutil.copyfile(run.base / "config.json", run.run / "config.json"),
}


@pytest.mark.parametrize("routers", [True, False], ids=["with routers", "routers lost"])
@pytest.mark.parametrize("config", CONFIGS_OF_BASES)
def test_a_cogvla_is_not_merged_by_the_config_of_its_base(
    config, routers, write_run, tmp_path, snapshot, capsys, assert_refused
):
    """By it, actions would see each other as OpenVLA-OFT's do, and nobody would miss a file of routers."""
    options = ("--num-images", "1", "--platform", "libero", "--quiet")
    run = write_run(*options, layers=2, pruning_layers=()).copied(tmp_path)
    CONFIGS_OF_BASES[config](run)
    if not routers:
        side_file(run, "non_lora_trainables").unlink()
    before = snapshot(tmp_path)
    words = r"aggregation tokens.*config\.json says nothing: it is the base's\. Copy the run's own config\.json"
    assert_refused(run.merge(tmp_path / "out"), capsys, words)
    assert snapshot(tmp_path) == before


def test_other_diffusion_steps_than_the_config_says_are_refused(diffusion, tmp_path, snapshot, capsys, assert_refused):
    run = diffusion.copied(tmp_path)
    edit_json(run.run / "config.json", num_diffusion_steps_train=50)
    before = snapshot(tmp_path)
    words = "num_diffusion_steps is 3 by --num-diffusion-steps, but 50"
    assert_refused(run.merge(tmp_path / "out", "--num-diffusion-steps", "3"), capsys, words)
    assert snapshot(tmp_path) == before


def test_statistics_of_the_base_are_none_of_a_run(cogvla, tmp_path, snapshot, capsys, assert_refused):
    run = cogvla.copied_with_base(tmp_path)
    (run.run / "dataset_statistics.json").rename(run.base / "dataset_statistics.json")
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, r"dataset_statistics\.json is missing in \S+run;")
    assert snapshot(tmp_path) == before


def test_a_run_with_side_files_is_never_merged_as_a_plain_adapter(
    openvla_oft, tmp_path, snapshot, capsys, assert_refused
):
    """Whatever its config says: that would drop the action head without a word."""
    run = openvla_oft.copied_with_base(tmp_path)
    for folder in (run.base, run.run):
        edit_json(folder / "config.json", model_type="openvla_of_the_future")
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, "openvla_of_the_future|action_head--10_checkpoint")
    assert snapshot(tmp_path) == before


INDEX = "model.safetensors.index.json"
SHARD = "model-00001-of-00002.safetensors"


def rename_shard(run, name):
    index = json.loads((run.base / INDEX).read_text())
    index["weight_map"] = {k: name if v == SHARD else v for k, v in index["weight_map"].items()}
    (run.base / INDEX).write_text(json.dumps(index))


def leave_the_folder(run):
    (run.base / SHARD).rename(run.base.parent / "x.safetensors")
    rename_shard(run, "../x.safetensors")


def name_absolute(run):
    rename_shard(run, str(run.base / SHARD))


def add_unknown_tensor(run):
    add_tensor_that_the_index_lacks(run)
    index = json.loads((run.base / INDEX).read_text())
    index["weight_map"]["critic.weight"] = SHARD
    (run.base / INDEX).write_text(json.dumps(index))


def add_tensor_that_the_index_lacks(run):
    edit_safetensors(run.base / SHARD, lambda t: t.update({"critic.weight": torch.zeros(1)}))


def hold_a_tensor_twice(run):
    lm_head = load_file(run.base / "model-00002-of-00002.safetensors")
    edit_safetensors(run.base / SHARD, lambda t: t.update(lm_head))


DAMAGED_BASES = {
    "index that leaves the folder": (leave_the_folder, r"names the shard '\.\./x\.safetensors', which does not lie"),
    "index with an absolute path": (name_absolute, "which does not lie beside it"),
    "index of a missing shard": (
        lambda run: (run.base / SHARD).unlink(),
        f"names the shard '{SHARD}', which is missing",
    ),
    "index that is not JSON": (lambda run: (run.base / INDEX).write_text("{"), "is not an index of shards"),
    "index without a map": (lambda run: (run.base / INDEX).write_text("{}"), "is not an index of shards"),
    "index with numbers": (lambda run: rename_shard(run, 7), "index"),
    "truncated shard": (lambda run: truncate(run.base / SHARD), f"{SHARD} cannot be read as safetensors"),
    "empty shard": (lambda run: (run.base / SHARD).write_bytes(b""), f"{SHARD} cannot be read as safetensors"),
    "an unknown tensor": (add_unknown_tensor, f"{SHARD} holds the tensor critic.weight"),
    "a tensor that the index lacks": (add_tensor_that_the_index_lacks, rf"leaves out .*critic\.weight \({SHARD}\)"),
    "a tensor in two shards": (hold_a_tensor_twice, "language_model.lm_head.weight is both in"),
    "no embeddings": (
        lambda run: edit_safetensors(run.base / SHARD, drop("embed_tokens.weight")),
        r"embed_tokens\.weight",
    ),
    "a layer of another size": (
        lambda run: edit_safetensors(run.base / SHARD, cut("layers.2.mlp.down_proj.weight", columns=100)),
        r"down_proj\.weight has shape \(64, 100\), the model needs \(64, 128\)",
    ),
    "no weights": (
        lambda run: [path.unlink() for path in run.base.glob("model*")],
        "holds no model weights",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED_BASES)
def test_a_damaged_base_is_refused_by_name_and_nothing_changes(
    damage, cogvla, tmp_path, snapshot, capsys, assert_refused
):
    run = cogvla.copied_with_base(tmp_path)
    change, message = DAMAGED_BASES[damage]
    change(run)
    before = snapshot(tmp_path)
    assert_refused(run.merge(tmp_path / "out"), capsys, message)
    assert snapshot(tmp_path) == before


def test_a_base_with_fewer_layers_than_the_adapter_is_refused(
    cogvla, openvla_oft, tmp_path, snapshot, capsys, assert_refused
):
    arguments = ["--base", str(openvla_oft.base), "--adapter", str(cogvla.run), "--output", str(tmp_path / "out")]
    assert_refused(
        merge_lora_main([*arguments, *cogvla.options]), capsys, r"no source has language_model\.model\.layers"
    )
    assert snapshot(tmp_path) == {}


# Options


def without(options, *names):
    """The options without these and their values."""
    kept, rest = [], list(options)
    while rest:
        option = rest.pop(0)
        values = [rest.pop(0)] if rest and not rest[0].startswith("--") else []
        kept += [] if option in names else [option, *values]
    return kept


def run_with(run, options, output):
    return merge_lora_main(["--base", str(run.base), "--adapter", str(run.run), "--output", str(output), *options])


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ("--num-images", r"num_images_in_input can be neither read nor inferred.*pass --num-images N"),
        ("--platform", r"num_action_chunks can be neither read nor inferred.*--num-action-chunks N, or --platform"),
    ],
)
def test_what_no_file_records_must_be_given(dropped, message, cogvla, tmp_path, snapshot, capsys, assert_refused):
    assert_refused(run_with(cogvla, without(cogvla.options, dropped), tmp_path / "out"), capsys, message)
    assert snapshot(tmp_path) == {}


def test_the_normalization_must_be_given_where_no_platform_is(cogvla, tmp_path, capsys, assert_refused):
    options = [*without(cogvla.options, "--platform"), "--num-action-chunks", "8"]
    assert_refused(run_with(cogvla, options, tmp_path / "out"), capsys, r"--normalization bounds\|bounds_q99\|normal")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--action-dim", "6"], "action_dim is 6 by --action-dim, but 7"),
        (["--platform", "aloha"], "action_dim is 14 by --platform aloha, but 7"),
        (["--decoding", "autoregressive"], "action_attention is 'causal' by --decoding autoregressive, but 'block'"),
        (["--num-images", "0"], "num_images_in_input=0 must be a positive"),
        (["--num-action-chunks", "-1"], "num_action_chunks=-1 must be a positive"),
    ],
)
def test_options_that_contradict_the_files_or_cannot_work_are_refused(
    options, message, cogvla, tmp_path, snapshot, capsys, assert_refused
):
    assert_refused(cogvla.merge(tmp_path / "out", *options), capsys, message)
    assert snapshot(tmp_path) == {}


def test_a_run_of_discrete_tokens_needs_its_decoding_named(openvla, tmp_path, snapshot, capsys, assert_refused):
    message = r"pass --decoding parallel \(OpenVLA-OFT\) or --decoding autoregressive \(OpenVLA\)"
    assert_refused(openvla.merge(tmp_path / "out"), capsys, message)
    assert snapshot(tmp_path) == {}


def test_a_merged_run_whose_side_files_hold_lora_needs_the_adapter_config(
    cogvla, tmp_path, snapshot, capsys, merged_language, save_weights, assert_refused
):
    run = cogvla.copied(tmp_path)
    save_weights(merged_language(cogvla), run.run / "model.safetensors")
    remove_folder(run.run / "lora_adapter")
    before = snapshot(tmp_path)
    assert_refused(run.convert(tmp_path / "out"), capsys, r"LoRA, but the run has no lora_adapter/adapter_config")
    assert snapshot(tmp_path) == before


def test_a_run_that_is_not_merged_needs_a_base(cogvla, tmp_path, snapshot, capsys, assert_refused):
    words = "run holds no model weights: .* looks like a training run that is not merged .*merge-lora --base BASE"
    assert_refused(cogvla.convert(tmp_path / "out"), capsys, words)
    assert snapshot(tmp_path) == {}
