"""Names of tensors, shards and files: to each published name one new name and back, each tensor is written once."""

import json
import math
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from drawn import SEEDS
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_configs import alpamayo_config, cogvla_config, llava3d_config

import vlahub
from vlahub.conversion.alpamayo_r1.names import BASE_TABLE as QWEN_TABLE
from vlahub.conversion.alpamayo_r1.names import TABLE as ALPAMAYO_TABLE
from vlahub.conversion.cogvla.names import TABLE as COGVLA_TABLE
from vlahub.conversion.mapanything_llava3d.names import GEOMETRY_TABLE, LANGUAGE_TABLE, RUN_TABLE, VISION_TABLE
from vlahub.conversion.tensors.adapter_names import full_name, parse_adapter_key, plain_name
from vlahub.conversion.tensors.plan import Plan, PlannedTensor, SourceTensor
from vlahub.conversion.tensors.rename import rename
from vlahub.conversion.tensors.safetensors_stream import SafetensorsReader
from vlahub.conversion.tensors.tensor_source import PickleReader, TensorFile, open_checkpoint
from vlahub.conversion.tensors.weight_writer import write_weights
from vlahub.errors import ConversionError

# ---- names


@pytest.fixture(scope="session")
def names(golden):
    """`{family: names in the model}` of models that have every part, on the meta device."""
    with torch.device("meta"):
        models = {
            "cogvla": [
                vlahub.CogVLAForActionPrediction(cogvla_config(action_head=head, vision_aggregate_type=kind))
                for head, kind in (("diffusion", "moe"), ("l1", "concat"))
            ],
            "llava3d": [
                vlahub.MapAnythingLlava3DForConditionalGeneration(
                    llava3d_config(action_expert_type="deep_fusion+dit", use_state=True, state_dim=3)
                )
            ],
            "alpamayo": [vlahub.AlpamayoR1(alpamayo_config(golden("alpamayo/alpamayo_expert_step")))],
        }
    return {family: sorted({name for model in each for name in model.state_dict()}) for family, each in models.items()}


def deeper(names, layers):
    """As of models with layers of these numbers: those of layer 0 are written with each of them."""
    stacks = r"\.(blocks|layers|self_attention_blocks|transformer_blocks|mlp_resnet_blocks)\.0\."
    first = [name for name in names if re.search(stacks, name)]
    flat = [name for name in names if not re.search(stacks.replace("0", r"\d+"), name)]
    return flat + [re.sub(stacks, rf".\g<1>.{i}.", name) for name in first for i in layers]


def check(pairs, table):
    """pairs: (published, in the model); each has this one new name, and no two the same."""
    found = [rename(published, table, "a file").target for published, _ in pairs]
    assert found == [wanted for _, wanted in pairs]
    published = {name for name, _ in pairs}
    assert len(published) == len(pairs) == len(set(found))


LAYERS = st.sets(st.integers(0, 120), min_size=1, max_size=5)


def published_cogvla(name, wrapped, film, diffusion):
    """As OpenVLA, OpenVLA-OFT and CogVLA write it.

    wrapped: by their own module around the towers; film: whose blocks have another one around them; diffusion: the head
    lies in a noise predictor.
    """
    tower = r"vision_backbone\.((?:fused_)?featurizer)\."
    place = r"vision_backbone.vision_backbone.\1." if wrapped else r"vision_backbone.\1."
    if name.endswith(".aggregation.tokens"):
        return re.sub(tower + "aggregation.tokens", r"vision_backbone.vision_aggr_\1", name)
    if ".film." in name:
        return re.sub(tower, place, name).replace(".film.", ".")
    if name.startswith("vision_backbone."):
        inside = r"\g<0>block." if film else r"\g<0>"
        return re.sub(tower, place, re.sub(r"\.blocks\.\d+\.", inside, name))
    if name.startswith("moe_aggregator.router."):
        return name.replace("moe_aggregator.", "aggregation_router.")
    if diffusion and name.startswith("action_head.model."):
        return name.replace("action_head.model.", "action_head.noise_predictor.mlp_resnet.")
    return name.removeprefix("moe_aggregator.")


@given(LAYERS, st.booleans(), st.booleans(), st.booleans())
def test_names_of_cogvla_and_openvla(names, layers, wrapped, film, diffusion):
    model = deeper(names["cogvla"], layers)
    if not wrapped:
        model = [name for name in model if ".film." not in name]
    pairs = [(published_cogvla(name, wrapped, film and wrapped, diffusion), name) for name in model]
    check(pairs, COGVLA_TABLE)
    for tower in ("featurizer", "fused_featurizer"):
        for unused in ("norm.weight", "norm.bias", "attn_pool.latent", "attn_pool.q.weight"):
            assert rename(f"vision_backbone.{tower}.{unused}", COGVLA_TABLE, "").target is None
    for layer in layers:
        frequencies = f"language_model.model.layers.{layer}.self_attn.rotary_emb.inv_freq"
        assert rename(frequencies, COGVLA_TABLE, "").target is None


@given(LAYERS)
def test_names_of_alpamayo(names, layers):
    model = deeper(names["alpamayo"], layers)
    check([(name, name) for name in model], ALPAMAYO_TABLE)
    vlm = [name for name in model if name.startswith("vlm.")]
    check([(name.removeprefix("vlm."), name) for name in vlm], QWEN_TABLE)
    for constant in ("action_space.accel_mean", "action_in_proj.sinus.1.freqs", "expert.rotary_emb.inv_freq"):
        assert rename(constant, ALPAMAYO_TABLE, "").target is None


RUN_PLACES = {
    "vision_tower.vision_model.": ("vision_tower.vision_model.",),
    "geometric_model.": ("geometric_model.", "geometric_model.map_anything_model."),
    "language_model.model.": ("language_model.model.",),
    "language_model_with_expert.expert.": (
        "language_model_with_expert.expert.",
        "language_model_with_expert.expert.model.",
        "action_expert.llava_with_expert.expert_model.model.",
    ),
    "dit_action_head.": ("dit_action_head.", "action_model."),
}


@given(LAYERS, st.booleans(), st.lists(st.integers(0, 2), min_size=5, max_size=5))
def test_names_of_a_llava3d_run(names, layers, is_inside, choices):
    """Every part under one of the names that runs have for it; inside: of the framework's own module."""
    places = {ours: theirs[i % len(theirs)] for (ours, theirs), i in zip(RUN_PLACES.items(), choices, strict=True)}
    pairs = []
    for name in deeper(names["llava3d"], layers):
        ours = next((place for place in places if name.startswith(place)), "")
        published = places.get(ours, "") + name.removeprefix(ours)
        apart = published.startswith(("dit_", "action_model."))
        pairs.append(
            (published if apart or not is_inside else f"mapanythingllava3d_vlm_interface.model.{published}", name)
        )
    check(pairs, RUN_TABLE)


@given(LAYERS)
def test_names_of_the_parts_of_a_llava3d(names, layers):
    """SigLIP, LLaVA-3D and MapAnything as they are published, each with what no use is for."""
    model = deeper(names["llava3d"], layers)
    parts = {
        "vision_tower.": ("", VISION_TABLE, ("text_model.embeddings.x", "logit_scale", "vision_model.head.probe")),
        "language_model.model.": ("", LANGUAGE_TABLE, ("model.mm_projector.0.weight", "model.rotary_emb.inv_freq")),
        "geometric_model.": ("", GEOMETRY_TABLE, ("dense_head.0.bias", "scale_token", "info_sharing.view_pos_table")),
    }
    for prefix, (theirs, table, unused) in parts.items():
        own = [name for name in model if name.startswith(prefix)]
        check([(theirs + name.removeprefix(prefix), name) for name in own], table)
        assert [rename(name, table, "").target for name in unused] == [None] * len(unused)


WORD = st.sampled_from(["q_proj", "layers", "lora", "weight", "model", "default", "base", "a", "self_attn2", "_x"])
MODULES = st.lists(st.one_of(WORD, st.integers(0, 99).map(str)), min_size=2, max_size=6).map(".".join)


@given(MODULES, st.sampled_from(["COGVLA", "ALPAMAYO", "RUN"]))
def test_an_unknown_name_is_an_error_that_names_it(name, which):
    table = {"COGVLA": COGVLA_TABLE, "ALPAMAYO": ALPAMAYO_TABLE, "RUN": RUN_TABLE}[which]
    with pytest.raises(ConversionError, match=re.escape(f"the tensor mine.{name},")):
        rename(f"mine.{name}", table, "a file")


PARTS = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector")
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@given(MODULES, st.sampled_from(PARTS), st.sampled_from(["", ".default", ".my_adapter"]), st.booleans(), st.data())
def test_an_adapters_tensor_is_known_whoever_wrapped_the_model(module, part, adapter, is_bias, data):
    rest = "" if "embedding" in part else ".bias" if is_bias and part == "lora_B" else ".weight"
    if part == "lora_magnitude_vector" and adapter:
        rest = data.draw(st.sampled_from(["", ".weight"]))
    key = f"base_model.model.{module}.{part}{adapter}{rest}".split(".")
    for _ in range(data.draw(st.integers(0, 3))):
        key.insert(data.draw(st.integers(0, key.index(part) - 1)), data.draw(st.sampled_from(WRAPPERS)))
    ddp = data.draw(st.booleans())
    found = parse_adapter_key(full_name(".".join(["module"] * ddp + key)))
    wanted = ".weight" if part == "lora_magnitude_vector" else rest
    assert (found.module, found.part) == (module, f"{part}.default{wanted}")


@given(MODULES, st.sampled_from(["weight", "bias", "tokens"]), st.sampled_from(["default", "my_adapter"]))
def test_a_parameter_that_was_saved_whole_has_the_bases_name(module, parameter, adapter):
    saved = [
        f"{module}.modules_to_save.{adapter}.{parameter}",
        f"{module}.base_layer.{parameter}",
        f"{module}.{parameter}",
    ]
    for name in saved:
        assert plain_name(full_name(f"base_model.model.{name}")) == f"{module}.{parameter}"
        assert parse_adapter_key(name) is None


# ---- shards and files

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
CONTENT = st.dictionaries(MODULES, st.tuples(SHAPES, st.sampled_from(DTYPES)), min_size=1, max_size=8)


def tensors_of(content, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=generator).to(dtype)
        for name, (shape, dtype) in content.items()
    }


def plan_of(file):
    sources = [SourceTensor(file, key) for key in file.infos]
    return Plan([PlannedTensor(source.key, source.info, source) for source in sources])


@given(CONTENT, SEEDS, st.integers(1, 400))
def test_every_tensor_is_in_one_shard_and_no_shard_is_larger_than_it_may_be(content, seed, limit):
    tensors = tensors_of(content, seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        save_file(tensors, folder / "source.safetensors")
        plan = plan_of(TensorFile(folder / "source.safetensors", "source"))
        shards = plan.shards(limit)
        assert [tensor for shard in shards for tensor in shard] == plan.tensors
        for shard in shards:
            assert len(shard) == 1 or sum(tensor.info.bytes for tensor in shard) <= limit
        for one, other in pairwise(shards):
            assert sum(tensor.info.bytes for tensor in one) + other[0].info.bytes > limit
        outputs = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            write_weights(plan, folder / name, limit, quiet=True)
            outputs.append({path.name: path.read_bytes() for path in (folder / name).iterdir()})
        assert outputs[0] == outputs[1]
        files = sorted((folder / "a").glob("*.safetensors"))
        found = [load_file(path) for path in files]
        assert sorted(key for each in found for key in each) == sorted(tensors)
        for each in found:
            for key, value in each.items():
                assert value.dtype == tensors[key].dtype and torch.equal(value, tensors[key])
        if len(shards) == 1:
            assert [path.name for path in files] == ["model.safetensors"] and len(outputs[0]) == 1
        else:
            index = json.loads(outputs[0]["model.safetensors.index.json"])
            assert index["metadata"]["total_size"] == sum(value.nbytes for value in tensors.values())
            where = {key: path.name for path, each in zip(files, found, strict=True) for key in each}
            assert index["weight_map"] == where
            assert set(open_checkpoint(folder / "a", "out").file_of) == set(tensors)


@given(CONTENT, SEEDS, st.data())
def test_tensors_are_read_whole_and_by_rows_from_either_kind_of_file(content, seed, data):
    tensors = tensors_of(content, seed)
    with tempfile.TemporaryDirectory() as folder:
        save_file(tensors, Path(folder) / "x.safetensors")
        torch.save(tensors, Path(folder) / "x.pt")
        buffer = torch.empty(8 * 9**3, dtype=torch.uint8)
        for reader in (SafetensorsReader(Path(folder) / "x.safetensors"), PickleReader(Path(folder) / "x.pt")):
            assert {key: (info.shape, info.dtype) for key, info in reader.infos.items()} == content
            for key, value in tensors.items():
                assert reader.infos[key].bytes == value.nbytes == math.prod(value.shape) * value.dtype.itemsize
                assert torch.equal(reader.load(key), value)
                if value.dim() and len(value):
                    start = data.draw(st.integers(0, len(value) - 1))
                    rows = slice(start, data.draw(st.integers(start + 1, len(value))))
                    assert torch.equal(reader.load(key, rows, buffer), value[rows])
