"""A SigLIP and a Gemma become one VLA that learns to move towards what it is told; a process without vlahub runs it.

Both backbones are tiny and untrained, so all of the model trains here; a pretrained vision tower would stay frozen.
"""

import argparse
import sys
from pathlib import Path

import torch
from demo import HERE, run
from demo_folder import fresh_folder
from PIL import Image
from tiny_backbones import write_backbones
from tqdm import trange
from transformers import AutoTokenizer

import vlahub

TEXTS = ("pick up the red bowl", "put the blue cube to the left", "put the green cube to the right")
STATISTICS = {"demo": {"action": {"q01": [-0.05] * 3 + [0.0], "q99": [0.05] * 3 + [1.0]}}}
CHUNKS, STEPS = 4, 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo_composed_output"), help="folder to write (replaced)")
    folder = fresh_folder(parser.parse_args().output)
    print(f"1. tiny backbones as transformers writes them, and a model around them: {folder}")
    write_backbones(folder)
    torch.manual_seed(0)
    model = vlahub.MultimodalVLAForActionPrediction.from_backbones(
        str(folder / "vision"),
        str(folder / "language"),
        projector_type="perceiver",
        num_latents=8,
        fusion="film",
        action_head="mlp",
        action_dim=4,
        num_action_chunks=CHUNKS,
        norm_stats=STATISTICS,
        freeze_vision_tower=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "language")
    processor = vlahub.MultimodalVLAProcessor.for_config(model.config, tokenizer)

    print("2. it learns which way each instruction means")
    views = [torch.randint(0, 255, (64, 80, 3), dtype=torch.uint8).numpy() for _ in TEXTS]
    inputs = processor(images=[[view] for view in views], text=list(TEXTS))
    actions = torch.rand(len(TEXTS), 1, 4).mul(2).sub(1).expand(-1, CHUNKS, -1)
    train(model, inputs, actions)

    print("3. saved with its processor and its code")
    checkpoint = folder / "checkpoint"
    model.save_pretrained(checkpoint)
    processor.save_pretrained(checkpoint)
    print(f"{len(list(checkpoint.glob('*.py')))} files of code")

    print("4. another process, with transformers alone, loads it and predicts")
    image = folder / "view.png"
    Image.fromarray(views[0]).save(image)
    run(sys.executable, str(HERE / "predict.py"), str(checkpoint), str(image), "--instruction", TEXTS[0])
    wanted = actions[0, 0] * torch.tensor([0.05] * 3 + [0.5]) + torch.tensor([0.0] * 3 + [0.5])
    print(f"what it learned there: {[round(value, 3) for value in wanted.tolist()]}")


def train(model: vlahub.MultimodalVLAForActionPrediction, inputs: dict, actions: torch.Tensor) -> None:
    """Full batches until the actions are known by heart."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    model.train()
    with trange(STEPS, unit="step", mininterval=1) as steps:
        for _ in steps:
            loss = model(**inputs, actions=actions).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            steps.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
    model.eval()


if __name__ == "__main__":
    main()
