"""Tiny random models, inputs for them, and a slow reference of the language model, shared through fixtures."""

import copy

import pytest
import torch
from tiny_configs import IMAGE_SIZE, PROMPT_END, cogvla_config, llava3d_config
from torch import nn

from vlahub import CogVLAForActionPrediction, MapAnythingLlava3DForConditionalGeneration

LENGTHS = (5, 9, 7)
ACTION_IDS = range(193, 256)  # 64 bin edges at the end of 320 - 64 tokens


def randomize(module, seed=0):
    """Weights large enough for every part to matter: norms and scales around 1, embeddings 0.7, all else 0.15."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if ("norm" in name.rsplit(".", 2)[-2] and name.endswith("weight")) or name.endswith("scale_factor"):
                parameter.copy_(1 + 0.1 * values)
            else:
                parameter.copy_(values * (0.7 if "embed_tokens" in name else 0.15))
    return module


def make_model(attn_implementation="sdpa", **overrides):
    config = cogvla_config(**overrides)
    model = CogVLAForActionPrediction._from_config(config, attn_implementation=attn_implementation)
    return randomize(model).eval()


def padded(rows, side, value):
    """Lists of numbers -> (rows, longest), padded on `side`."""
    length = max(map(len, rows))
    filler = [[value] * (length - len(row)) for row in rows]
    pairs = zip(rows, filler, strict=True)
    return torch.tensor([more + row if side == "left" else row + more for row, more in pairs])


class Batch:
    """Three samples with prompts of different lengths, together or singly; the second prompt ends as it should."""

    def __init__(self, config, side="right", block=False, lengths=LENGTHS):
        generator = torch.Generator().manual_seed(1)
        self.config, self.side = config, side
        count = config.num_action_tokens
        self.rows, self.labels = [], []
        for i, length in enumerate(lengths):
            row = [1, *torch.randint(3, 180, (length - 1,), generator=generator).tolist()]
            row[-1] = PROMPT_END if i == 1 or block else row[-1]
            actions = torch.randint(ACTION_IDS[0], ACTION_IDS[-1] + 1, (count,), generator=generator).tolist()
            self.rows.append(row + ([*actions, config.stop_token_id] if block else []))
            self.labels.append([-100] * length + ([*actions, config.stop_token_id] if block else []))
        size, views = len(lengths), config.num_images_in_input
        self.pixel_values = torch.randn(size, views, 6, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
        self.state = None
        if config.state_dim:
            self.state = torch.randn(size, config.state_dim, generator=generator)
        self.noise = torch.randn(size, config.num_action_chunks, config.action_dim, generator=generator)
        self.actions = torch.rand(self.noise.shape, generator=generator) * 2 - 1
        self.timesteps = torch.tensor([0, 2, 1])[:size]

    def tensors(self, rows):
        return {
            "input_ids": padded([self.rows[i] for i in rows], self.side, self.config.pad_token_id),
            "attention_mask": padded([[1] * len(self.rows[i]) for i in rows], self.side, 0),
            "pixel_values": self.pixel_values[rows],
            "state": None if self.state is None else self.state[rows],
        }

    def prediction(self, rows=(0, 1, 2)):
        """Arguments of `predict_action`."""
        noise = {"noise": self.noise[list(rows)]} if self.config.action_head == "diffusion" else {}
        return self.tensors(list(rows)) | noise

    def training(self, rows=(0, 1, 2)):
        """Arguments of `forward`."""
        rows = list(rows)
        arguments = self.tensors(rows) | {"labels": padded([self.labels[i] for i in rows], self.side, -100)}
        if self.config.action_head != "discrete":
            arguments["actions"] = self.actions[rows]
        if self.config.action_head == "diffusion":
            arguments |= {"noise": self.noise[rows], "timesteps": self.timesteps[rows]}
        return arguments


class NaiveLlama:
    """The language model of one sample without padding, one layer and one query at a time, for text after text.

    It follows the description of token pruning literally: tokens that a layer does not keep are taken out of the list,
    the rest are numbered anew, attend to each other, and are put back.
    """

    def __init__(self, llama):
        self.llama, self.config = llama, llama.config
        self.memory = [[] for _ in llama.layers]  # of each layer: (normed state, position) of all that it has seen
        self.kept = {}
        self.length = 0

    def read(self, embeds, allowed, num_vision_tokens, prompt):
        """embeds: (tokens, hidden_size); allowed: (tokens, tokens) bool; prompt: (tokens,) bool -> normed states."""
        states = list(embeds)
        self.length = len(states)
        for i, layer in enumerate(self.llama.layers):
            normed = [layer.input_layernorm(x) for x in states]
            keep, scores = list(range(len(states))), [1.0] * len(states)
            if hasattr(layer, "router"):
                scores = self.scores(layer.router, normed, num_vision_tokens, prompt)
                ranked = sorted(range(1, 1 + num_vision_tokens), key=lambda j, s=scores: (-float(s[j]), j))
                vision = sorted(ranked[: int(num_vision_tokens * layer.keep_ratio)])
                self.kept[i] = [j - 1 for j in vision]
                keep = [0, *vision, *range(1 + num_vision_tokens, len(states))]
            self.memory[i] = [(normed[j], position) for position, j in enumerate(keep)]
            updates = {}
            for position, j in enumerate(keep):
                seen = [entry for entry, k in zip(self.memory[i], keep, strict=True) if allowed[j, k]]
                x = states[j] + self.attend(layer.self_attn, normed[j], position, seen)
                updates[j] = x + layer.mlp(layer.post_attention_layernorm(x)) * scores[j]
            states = [updates.get(j, x) for j, x in enumerate(states)]
        return torch.stack([self.llama.norm(x) for x in states])

    def read_on(self, embed):
        """One more token (hidden_size,), which sees all before it and is not pruned -> its normed state."""
        x = embed
        for i, layer in enumerate(self.llama.layers):
            normed = layer.input_layernorm(x)
            self.memory[i].append((normed, self.length))
            x = x + self.attend(layer.self_attn, normed, self.length, self.memory[i])
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        self.length += 1
        return self.llama.norm(x)

    @staticmethod
    def scores(router, normed, num_vision_tokens, prompt):
        scores = []
        for j, x in enumerate(normed):
            if router.scale is not None and 1 <= j <= num_vision_tokens:
                mean = torch.stack([y for y, wanted in zip(normed, prompt, strict=True) if wanted]).mean(dim=0)
                x = x * (1 + router.scale(mean)) + router.shift(mean)
            scores.append(router.router(x).softmax(dim=-1)[1])
        return scores

    def attend(self, attention, query_state, query_position, seen):
        """Attention of one token over `seen`, a list of (normed state, position), head by head."""
        heads, size = self.config.num_attention_heads, attention.head_dim
        shared = heads // self.config.num_key_value_heads
        query = attention.q_proj(query_state).view(heads, size)
        mixed = []
        for head in range(heads):
            q = self.rotated(query[head], query_position)
            keys = [self.rotated(attention.k_proj(x).view(-1, size)[head // shared], p) for x, p in seen]
            values = torch.stack([attention.v_proj(x).view(-1, size)[head // shared] for x, _ in seen])
            weights = torch.stack([q @ k / size**0.5 for k in keys]).softmax(dim=0)
            mixed.append(weights @ values)
        return attention.o_proj(torch.cat(mixed))

    def rotated(self, x, position):
        """One head's vector (size,): its halves rotated against each other by position * 10000^(-2i/size)."""
        half = x.shape[0] // 2
        angles = position * 10000.0 ** (-torch.arange(half) / half)
        first, second = x[:half], x[half:]
        return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()])


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny tensors, several workers: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tiny_config():
    """`tiny_config(**overrides) -> CogVLAConfig`."""
    return cogvla_config


@pytest.fixture
def tiny_model():
    """`tiny_model(attn_implementation="sdpa", **overrides) -> CogVLAForActionPrediction` with random weights."""
    return make_model


@pytest.fixture
def tiny_batch():
    """`tiny_batch(config, side="right", block=False) -> Batch`; `block` appends action and stop tokens."""
    return Batch


@pytest.fixture
def randomized():
    """`randomized(module, seed=0)` fills the parameters of a module in place."""
    return randomize


@pytest.fixture
def naive_llama():
    """`naive_llama(llama) -> NaiveLlama`, the slow reference."""
    return NaiveLlama


@pytest.fixture
def snapshot():
    """A deep copy of a structure of tensors."""
    return copy.deepcopy


@pytest.fixture
def assert_equal_parameters():
    def check(first: nn.Module, second: nn.Module):
        one, two = first.state_dict(), second.state_dict()
        assert one.keys() == two.keys()
        different = [name for name in one if not torch.equal(one[name], two[name])]
        assert not different

    return check


@pytest.fixture
def llava3d():
    """`llava3d(**config)` -> a tiny model in evaluation mode, and a batch of two for its training forward."""

    def make(**fields):
        torch.manual_seed(0)
        model = MapAnythingLlava3DForConditionalGeneration(llava3d_config(**fields)).eval()
        text = torch.randint(1, 40, (2, 5))
        inputs = {
            "input_ids": torch.cat([torch.full((2, 4), 40), text], dim=1),
            "pixel_values": torch.rand(2, 1, 3, 28, 28) * 2 - 1,
            "actions": torch.randn(2, 4, 7),
        }
        return model, inputs

    return make
