"""Parts that several models are built of, each beside its formula."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn import init

from vlahub.errors import CheckpointError
from vlahub.modeling.learned_tokens import LearnedTokens
from vlahub.modeling.mlp_resnet import MLPResNet
from vlahub.modeling.prismatic_projector import PrismaticProjector
from vlahub.modeling.weight_files import opened_weights


def drawn(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        init.normal_(parameter)
    return module


@pytest.mark.parametrize("shape", [(3, 4), (1, 3, 4)])
def test_learned_tokens_are_the_same_for_every_sample(shape):
    tokens = drawn(LearnedTokens(*shape))
    found = tokens(torch.empty(2, 5))
    assert found.shape == (2, 3, 4) and all(torch.equal(row, tokens.tokens.view(3, 4)) for row in found)
    assert tokens.tokens.shape == shape


def test_the_projector_of_two_towers_is_three_layers_with_gelu_between():
    projector, features = drawn(PrismaticProjector(6, 5)), torch.randn(2, 3, 6)
    assert projector.fc1.weight.shape == (24, 6) and projector.fc3.weight.shape == (5, 5)
    hidden = F.gelu(projector.fc2(F.gelu(projector.fc1(features))))
    torch.testing.assert_close(projector(features), projector.fc3(hidden))


@pytest.mark.parametrize("num_blocks", [0, 1, 3])
def test_the_residual_mlp_adds_each_block_to_what_it_reads(num_blocks):
    network, features = drawn(MLPResNet(6, 8, 5, num_blocks)), torch.randn(2, 6)
    hidden = F.relu(network.fc1(network.layer_norm1(features)))
    assert len(network.mlp_resnet_blocks) == num_blocks
    for block in network.mlp_resnet_blocks:
        norm, linear, _ = block.ffn
        assert isinstance(norm, nn.LayerNorm)
        hidden = hidden + F.relu(linear(norm(hidden)))
    torch.testing.assert_close(network(features), network.fc2(network.layer_norm2(hidden)))


BROKEN = {
    "cut off": (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", "is cut off or damaged at 10 bytes"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of git-lfs and no weights"),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_file_of_weights_that_cannot_be_read_is_named_with_the_reason(content, said, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing, which the index"):
        opened_weights(path)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors {said}"):
        opened_weights(path)
    save_file({"a": torch.ones(2)}, path)
    assert opened_weights(path).get_tensor("a").tolist() == [1, 1]
