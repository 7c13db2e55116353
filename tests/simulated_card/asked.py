"""What models are asked beside a batch of actions: `python -m simulated_card simulated_card.asked FAMILY`.

Texts, several samples, draws of the model's own, weights of samples, totals of a step, robots: each on a card, to whose
generator torch gives the processor's seed, with the results that the processor has.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from alpamayo_golden import BATCH, published_model
from golden_cases import golden_case
from tiny_batches import Tiny, driving, load, tiny_batch, vlms
from torch import nn
from torch.utils._pytree import tree_map

from benchmarks.card.cases import ALPAMAYO, CALM, COGVLA, COMPOSED, LLAVA3D, OFT_FORM

CARD = torch.device("cuda", 0)
TEXT = {"max_new_tokens": 3, "do_sample": False}
DRAWN = ("noise", "time", "timesteps")  # by the model where they are not given
futures = load("modeling/alpamayo_r1", "test_trajectory_text")
predictions = load("modeling/mapanything_llava3d", "test_llava3d_prediction")


def moved(given: Any) -> Any:
    """Tensors of dictionaries and lists, on the card."""
    return tree_map(lambda each: each.to(CARD) if isinstance(each, torch.Tensor) else each, given)


def same(call: Callable[..., Any], model: nn.Module, given: dict[str, Any]) -> None:
    """`call(model, **given)`, a tensor or several, on the processor and then on the card, but for a step's totals."""
    torch.manual_seed(0)
    wanted = call(model.eval(), **given)
    model.eval().to(CARD)
    there = moved(without(given, "num_items_in_batch"))
    torch.manual_seed(0)
    found = call(model, **given | there)
    for one, other in zip(*((each if isinstance(each, tuple) else (each,)) for each in (found, wanted)), strict=True):
        assert one.device == CARD, f"on {one.device}"
        torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-4)
    model.to("cpu")


def actions(model: nn.Module, **given: Any) -> torch.Tensor:
    output = model.predict_action(**given)
    return output if isinstance(output, torch.Tensor) else output.actions


def written(model: nn.Module, **given: Any) -> torch.Tensor:
    return model.generate(**given, **TEXT)


def loss(model: nn.Module, **given: Any) -> torch.Tensor:
    return model(**given).loss.detach()


def trained(model: nn.Module, **given: Any) -> torch.Tensor:
    """The loss with what is only done in training, such as dropping features."""
    return loss(model.train(), **given)


def without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


def tiny(family: str, **fields: Any) -> Tiny:
    return tiny_batch(golden_case, family, **fields)


def learns(made: Tiny, **more: Any) -> None:
    """Losses of what is drawn, of draws that are given, and of one of a step's micro-batches with its weights."""
    batch = made.batch | more
    rows = len(batch["input_ids"])
    if hasattr(made.model, "drawn"):
        batch |= made.model.drawn(**batch)
    same(trained, made.model, without(batch, *DRAWN))
    weighted = {"sample_weight": torch.arange(1.0, rows + 1)}
    if "actions" in batch:
        weighted["action_is_pad"] = torch.arange(batch["actions"].shape[1]).expand(rows, -1) > rows - 2
    for given in (batch, batch | weighted):
        same(loss, made.model, given)
        items = {name: 2 * total for name, total in made.model.loss_items(**given).items()}
        same(loss, made.model, given | {"num_items_in_batch": items})


def cogvla() -> None:
    for head in ("l1", "diffusion", "discrete"):
        made = tiny(COGVLA, action_head=head)
        learns(made)
        same(written, made.model, made.prompt)
        if head != "l1":
            same(actions, made.model, without(made.prompt, "noise") | {"num_samples": 2})
    causal = tiny(COGVLA, **OFT_FORM, action_head="discrete", action_attention="causal")
    same(actions, causal.model, causal.prompt | {"num_samples": 2})


def mapanything_llava3d() -> None:
    for expert in ("deep_fusion", "dit", "deep_fusion+dit"):
        made = tiny(LLAVA3D, action_expert_type=expert, labels=True, **CALM)
        learns(made)
        same(written, made.model, without(made.prompt, "noise"))
    for kind in predictions.KINDS:
        predicts_of_its_kind(kind)


def predicts_of_its_kind(kind: str) -> None:
    """Robots, guidance, solvers, padding."""
    fields = {"use_state": True, "state_dim": predictions.STATE, "norm_stats": predictions.STATISTICS}
    fields |= {"dit_config": predictions.DIT, "num_inference_steps": 3, **predictions.KINDS[kind]}
    model, given = tiny(LLAVA3D, **fields).model, predictions.call(kind, padded=True)
    same(actions, model, given)
    same(actions, model, without(given, "noise") | {"num_samples": 2})
    batch = without(given, "noise", *predictions.OPTIONS.get(kind, ()))
    same(trained, model, batch | {"actions": given["noise"]})


def multimodal_vla() -> None:
    for head, fusion in (("flow", "film"), ("mlp", "late"), ("discrete", "early"), ("flow", "gated_cross_attention")):
        made = tiny(COMPOSED, action_head=head, fusion=fusion, labels=True)
        learns(made, answer_mask=made.batch["input_ids"] > 150)
        same(written, made.model, without(made.prompt, "noise", "proprio"))
        if head != "mlp":
            same(actions, made.model, without(made.prompt, "noise") | {"num_samples": 2})
    for vlm in ("paligemma", "qwen2_5_vl", "qwen3_vl"):
        made = tiny(COMPOSED, vlm=vlm, action_head="flow", labels=True)
        learns(made)
        same(written, made.model, without(made.prompt, "noise"))
    finds_what_is_asked_for()
    sees_fewer_pictures_in_one_row()


def finds_what_is_asked_for() -> None:
    made = tiny(COMPOSED, tower="two towers")
    given = {"input_ids": torch.tensor([[5, 6, 7, 59], [8, 9, 59, 59]]), "pixel_values": made.prompt["pixel_values"]}
    same(lambda model, **given: model.grounding_score(**given), made.model, given)


def sees_fewer_pictures_in_one_row() -> None:
    fewer = vlms.Batch("qwen2_5_vl")
    fewer.rows[1] = fewer.rows[1][vlms.PATCHES + 2 :]
    given = fewer.inputs()
    given["pixel_values"] = torch.cat([*fewer.pixels[0], fewer.pixels[1, 1]])
    given["image_grid_thw"] = given["image_grid_thw"][:3]
    for fusion in ("film", "late"):
        made = tiny(COMPOSED, vlm="qwen2_5_vl", action_head="mlp", fusion=fusion, projector_type="mlp")
        same(actions, made.model, given)
        same(trained, made.model, given | {"actions": fewer.actions})


def alpamayo_r1() -> None:
    drives()
    answers()
    learns_futures_as_text()


def driven(model: nn.Module, **given: Any) -> tuple[torch.Tensor, ...]:
    output = model.sample_trajectories(**given)
    return output.pred_xyz, output.pred_rot, output.sequences, output.actions


def seeded(model: nn.Module, **given: Any) -> tuple[torch.Tensor, ...]:
    """Drawn by a generator of the processor, wherever the model is."""
    return driven(model, generator=torch.Generator().manual_seed(0), **given)


def published_call(model: nn.Module, data: dict[str, Any], **options: Any) -> tuple[torch.Tensor, ...]:
    return model.sample_trajectories_from_data_with_vlm_rollout(data, **options)


def answered(model: nn.Module, data: dict[str, Any], **options: Any) -> torch.Tensor:
    return model.generate_text(data, **options).sequences


def drives() -> None:
    made = tiny(ALPAMAYO, labels=True)
    learns(made)
    sampling = {"num_traj_samples": 2, "num_traj_sets": 2, "top_p": 0.9, "temperature": 0.8}
    drawing = without(made.prompt, "noise", "top_k", *sampling) | sampling
    same(driven, made.model, drawing | {"ode_solver": "heun"})
    same(seeded, made.model, drawing)
    forced = [driving.Forced([7, driving.START], [8, 9, 10])]
    same(driven, made.model, made.prompt | {"logits_processor": forced, "max_new_tokens": 4})
    poses = {name: value for name, value in made.prompt.items() if name.startswith("ego_")}
    data = {"tokenized_data": {name: made.prompt[name] for name in BATCH if name not in poses}, **poses}
    options = {"max_generation_length": 4, "diffusion_kwargs": {"inference_step": 3}, **sampling}
    call = partial(published_call, **options)
    same(call, made.model, {"data": data})


def answers() -> None:
    case = golden_case("alpamayo_1_5/vqa_text")
    model = published_model(case, "sdpa")
    question = {each: case.input(each) for each in ("input_ids", "pixel_values", "image_grid_thw")}
    for published in (True, False):
        options = {"num_samples": 2, "max_generation_length": 5, "as_published": published}
        same(partial(answered, **options), model, {"data": question})


def learns_futures_as_text() -> None:
    case, model, batch = futures.published(golden_case, "sft_nav")
    ids = case.input("input_ids")
    labels = futures.split(ids.masked_fill(batch["attention_mask"] == 0, -100), model.config)
    learns(Tiny(model, {"input_ids": ids, **batch, **labels}, {}))
    length = int((ids[0] == model.config.traj_token_ids["future_start"]).int().argmax())
    prompt = futures.without_future(batch) | {"input_ids": ids[:, :length]}
    prompt |= {"attention_mask": batch["attention_mask"][:, :length], "max_new_tokens": 2, "num_traj_samples": 2}
    same(lambda model, **given: model.write_trajectories(**given).pred_xyz, model, prompt)


if __name__ == "__main__":
    {COGVLA: cogvla, LLAVA3D: mapanything_llava3d, COMPOSED: multimodal_vla, ALPAMAYO: alpamayo_r1}[sys.argv[1]]()
