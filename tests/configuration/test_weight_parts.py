"""Parts of a model and the memory of its weights, counted by names and headers; figures by hand."""

import pytest

import vlahub
from vlahub.configuration.alpamayo_r1.alpamayo_weight_parts import ALPAMAYO_PARTS
from vlahub.configuration.cogvla.cogvla_weight_parts import COGVLA_PARTS
from vlahub.configuration.mapanything_llava3d.llava3d_weight_parts import LLAVA3D_PARTS
from vlahub.configuration.multimodal_vla.composed_weight_parts import COMPOSED_PARTS
from vlahub.configuration.weight_parts import (
    UNKNOWN,
    UNUSED,
    Memory,
    PartRow,
    PartRules,
    TensorEntry,
    memory_of,
    parts_of,
    placed,
    size_text,
)

RULES = PartRules(
    rows=(
        PartRow(r"model\.old\.", UNUSED),
        PartRow(r"model\.vision\.", "vision tower"),
        PartRow(r"model\.", "language model"),
        PartRow(r"head\.", "action head"),
    ),
    order=("vision tower", "language model", "action head"),
    pretrained=("model",),
    added=("extra",),
)


RULES_OF = {
    "cogvla": COGVLA_PARTS,
    "mapanything_llava3d": LLAVA3D_PARTS,
    "multimodal_vla": COMPOSED_PARTS,
    "alpamayo_r1": ALPAMAYO_PARTS,
}
# Words of some parts, from what sees to what acts.
FLOW = {
    "cogvla": ("DINOv2", "SigLIP", "FiLM", "aggregation", "MoE", "projector", "state", "language", "routers", "head"),
    "mapanything_llava3d": ("SigLIP", "MapAnything", "projectors", "spatial", "language", "joined", "DiT"),
    "multimodal_vla": ("vision tower", "projector", "language model", "action head"),
    "alpamayo_r1": ("vision tower", "language model"),
}


def entries(*rows):
    return [TensorEntry(name, dtype, shape) for name, dtype, shape in rows]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision.proj.weight", "vision tower"),
        ("model.layers.0.weight", "language model"),
        ("model.old.weight", UNUSED),
        ("head.bias", "action head"),
        ("aligner.weight", UNKNOWN),
        ("the_head.bias", UNKNOWN),
    ],
)
def test_the_first_row_that_fits_says_the_part(name, part):
    assert RULES.part_of(name) == part


@pytest.mark.parametrize(
    ("rules", "name", "part"),
    [
        (COGVLA_PARTS, "vision_backbone.featurizer.blocks.3.film.scale.weight", "FiLM of the towers"),
        (COGVLA_PARTS, "vision_backbone.fused_featurizer.blocks.3.mlp.fc1.weight", "vision tower (SigLIP)"),
        (COGVLA_PARTS, "vision_backbone.featurizer.aggregation.tokens", "aggregation tokens"),
        (COGVLA_PARTS, "language_model.model.layers.4.router.weight", "routers of token pruning (LFP)"),
        (COGVLA_PARTS, "language_model.lm_head.weight", "language model"),
        (COGVLA_PARTS, "vision_backbone.featurizer.blocks.3.attn.qkv.weight", "vision tower (DINOv2)"),
        (COGVLA_PARTS, "moe_aggregator.gate.weight", "MoE aggregator"),
        (COGVLA_PARTS, "projector.fc1.weight", "projector"),
        (COGVLA_PARTS, "proprio_projector.fc1.weight", "state projector"),
        (COGVLA_PARTS, "noisy_action_projector.fc1.weight", "action head"),
        (COGVLA_PARTS, "action_head.model.fc1.weight", "action head"),
        (COGVLA_PARTS, "the_projector.weight", UNKNOWN),
        (LLAVA3D_PARTS, "vision_tower.embeddings.weight", "vision tower (SigLIP)"),
        (LLAVA3D_PARTS, "geometric_model.encoder.weight", "geometry (MapAnything)"),
        (LLAVA3D_PARTS, "vision_projector.weight", "projectors"),
        (LLAVA3D_PARTS, "geometric_projector.weight", "projectors"),
        (LLAVA3D_PARTS, "fusion_projector.weight", "projectors"),
        (LLAVA3D_PARTS, "spatial_embed_tokens.weight", "spatial tokens"),
        (LLAVA3D_PARTS, "language_model.model.model.norm.weight", "language model"),
        (LLAVA3D_PARTS, "action_expert.action_in_proj.weight", "action expert (projections)"),
        (LLAVA3D_PARTS, "dit_action_head.blocks.0.weight", "DiT head"),
        (LLAVA3D_PARTS, "language_model_with_expert.layers.0.mlp.up_proj.weight", "action expert (joined stack)"),
        (LLAVA3D_PARTS, "dit_action_projector.weight", "DiT head"),
        (COMPOSED_PARTS, "backbone.vision_tower.encoder.layer.0.norm1.weight", "vision tower"),
        (COMPOSED_PARTS, "backbone.second_vision_tower.encoder.layer.0.norm1.weight", "second vision tower"),
        (COMPOSED_PARTS, "backbone.vision_tower.text_model.head.weight", "grounding (text tower)"),
        (COMPOSED_PARTS, "backbone.vlm.model.visual.blocks.0.norm1.weight", "vision tower"),
        (COMPOSED_PARTS, "backbone.vlm.model.multi_modal_projector.linear.weight", "projector"),
        (COMPOSED_PARTS, "backbone.vlm.model.language_model.norm.weight", "language model"),
        (COMPOSED_PARTS, "late_projector.weight", "fusion"),
        (ALPAMAYO_PARTS, "vlm.model.visual.blocks.0.norm1.weight", "vision tower (Qwen3-VL)"),
        (ALPAMAYO_PARTS, "vlm.lm_head.weight", "language model"),
    ],
)
def test_the_tensors_of_each_family_are_of_the_parts_that_its_papers_name(rules, name, part):
    assert rules.part_of(name) == part


@pytest.mark.parametrize("name", RULES_OF)
def test_parts_of_a_family_stand_in_the_order_of_the_data_flow_each_once(name):
    rules = RULES_OF[name]
    parts = {row.part for row in rules.rows} - {UNUSED}
    assert set(rules.order) == parts and len(rules.order) == len(parts)
    flow = [next(i for i, part in enumerate(rules.order) if word in part) for word in FLOW[name]]
    assert flow == sorted(flow)


@pytest.mark.parametrize("name", RULES_OF)
def test_what_was_pretrained_and_what_is_new_in_it_is_what_the_models_class_says(name):
    kind = {
        "cogvla": vlahub.CogVLAForActionPrediction,
        "mapanything_llava3d": vlahub.MapAnythingLlava3DForConditionalGeneration,
        "multimodal_vla": vlahub.MultimodalVLAForActionPrediction,
        "alpamayo_r1": vlahub.AlpamayoR1,
    }[name]
    assert (RULES_OF[name].pretrained, RULES_OF[name].added) == (kind.pretrained_parts, kind.added_parts)


def test_without_an_order_the_first_word_is_the_part():
    assert PartRules().part_of("aligner.0.weight") == "aligner"


def test_parts_come_in_the_order_of_the_data_and_what_is_left_comes_last():
    tensors = entries(
        ("other.x", "float32", (3,)),
        ("model.old.x", "float32", (2, 2)),
        ("head.x", "int64", (2,)),
        ("model.vision.x", "float16", (5,)),
        ("model.vision.y", "bfloat16", (4, 4)),
    )
    found = parts_of(placed(tensors, RULES), RULES.order)
    assert [(part.name, part.tensors, part.parameters, part.bytes) for part in found] == [
        ("vision tower", 2, 21, 42),
        ("action head", 1, 2, 16),
        (UNUSED, 1, 4, 16),
        (UNKNOWN, 1, 3, 12),
    ]
    assert found[0].dtypes == {"bfloat16": 16, "float16": 5}


def test_what_the_model_does_not_use_needs_no_memory_and_whole_numbers_keep_their_size():
    tensors = entries(
        ("model.old.weight", "float32", (64, 64)),
        ("model.vision.position", "int64", (3,)),
        ("head.mask", "bool", (5,)),
        ("head.scale", "float64", (7,)),
    )
    half = 24 + 5 + 14
    assert memory_of(placed(tensors, RULES), RULES) == Memory(24 + 5 + 56, half, half, half)


# Bytes of a linear layer of 256 x 128, in bfloat16, in int8 (a scale of 4 bytes for each row), in int4 (one of 4 bytes
# and a zero point of 1 for each 128 of a row).
WHOLE, INT8, INT4 = 2 * 256 * 128, 256 * 128 + 4 * 256, 256 * 128 // 2 + 5 * 256


@pytest.mark.parametrize(
    ("name", "int8", "int4"),
    [
        ("model.layers.0.weight", INT8, INT4),
        ("model.vision.0.weight", INT8, INT8),
        ("model.extra.0.weight", INT8, INT8),
        ("head.0.weight", WHOLE, WHOLE),
        ("model.embed_tokens.weight", WHOLE, WHOLE),
        ("model.lm_head.weight", WHOLE, WHOLE),
        ("model.layers.0.scale", WHOLE, WHOLE),
    ],
)
def test_lower_precision_is_of_linear_layers_of_pretrained_parts_and_four_bits_of_texts(name, int8, int4):
    tensors = placed(entries((name, "float32", (256, 128))), RULES)
    assert memory_of(tensors, RULES) == Memory(2 * WHOLE, WHOLE, int8, int4)


@pytest.mark.parametrize("shape", [(256,), (7, 256), (2, 256, 128)])
def test_vectors_few_outputs_and_convolutions_stay(shape):
    memory = memory_of(placed(entries(("model.layers.0.weight", "float32", shape)), RULES), RULES)
    assert memory.int8 == memory.int4 == memory.bfloat16 == memory.stored // 2


def test_rows_that_hold_less_than_they_read_are_of_eight_bits():
    memory = memory_of(placed(entries(("model.layers.0.weight", "float32", (128, 256))), RULES), RULES)
    assert memory.int4 == memory.int8 == 128 * 256 + 4 * 128


def test_a_family_without_a_rule_says_nothing_of_lower_precision():
    assert memory_of(placed(entries(("a.weight", "float32", (64, 64))), PartRules()), PartRules()).int8 is None


def test_quantised_weights_are_counted_as_the_numbers_that_they_stand_for():
    tensors = entries(
        ("model.a.qweight", "uint8", (8, 64)),
        ("model.a.weight_scale", "float32", (8, 1)),
        ("model.a.weight_zero_point", "uint8", (8, 1)),
        ("model.b.qweight", "int8", (8, 16)),
        ("model.b.weight_scale", "float32", (8,)),
        ("model.c.qweight", "float8_e4m3fn", (8, 4)),
        ("model.c.weight_scale", "float32", (8,)),
        ("head.weight", "float32", (10,)),
    )
    tensors = placed(tensors, RULES)
    language, head = parts_of(tensors, RULES.order)
    assert language.dtypes == {"int4": 1024, "int8": 128, "fp8": 32} and language.parameters == 1184
    assert language.bytes == 512 + 32 + 8 + 128 + 32 + 32 + 32 and head.parameters == 10
    assert memory_of(tensors, RULES) == Memory(language.bytes + 40, 2 * 1184 + 20)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (19_100_000, "19.1 MB"), (15_400_000_000, "15.4 GB")],
)
def test_sizes_are_told_in_powers_of_ten(size, text):
    assert size_text(size) == text
