"""Block masks: their lists of blocks, and models that compute with them."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rlhf_core.config.compute import ComputeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.models import device
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.device import choose_compute
from rlhf_core.models.kernels import flex
from rlhf_core.models.kernels.flex import FLEX, block_attention, block_mask, dense_mask
from rlhf_core.models.sequences import Batch, TokenSequence, collate
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.rlhf_core.models.architectures import write_architecture
from tests.rlhf_core.models.matrix import EXACT, SEQUENCES, eager, random_ids, sampling_gap

FLEX_COMPUTE = replace(FP32, attention="flex")
LONG = [
    TokenSequence(random_ids(prompt, seed=prompt), random_ids(answer, seed=answer))
    for prompt, answers in ((130, (40, 60, 20)), (200, (5,)), (10, (60, 61)))
    for answer in answers
]
"""Three rows of two blocks; the longest is 250 tokens."""


def ragged(seed: int) -> Batch:
    """Return three rows of one to four answers, to prompts of 3 to 20 tokens."""
    generator = torch.Generator().manual_seed(seed)
    sequences = []
    for row in range(3):
        prompt, answers = torch.randint(3, 20, (2,), generator=generator).tolist()
        sequences += [
            TokenSequence((row, *range(prompt)), (5,) * (1 + 3 * answer))
            for answer in range(1 + answers % 4)
        ]
    return collate(sequences, pad_id=0)


def in_blocks(seen: Tensor, block: int, beyond: bool) -> Tensor:
    """Return a mask, (B, 1, T, T), as (B, n, n, block · block); queries beyond its end see so."""
    missing = -seen.shape[-1] % block
    padded = F.pad(F.pad(seen[:, 0], (0, missing)), (0, 0, 0, missing), value=beyond)
    tiles = padded.unflatten(1, (-1, block)).unflatten(3, (-1, block)).transpose(2, 3)
    return tiles.flatten(3)


@pytest.mark.parametrize("window", [None, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_a_block_mask_is_the_dense_mask_of_the_batch(seed: int, window: int | None):
    batch = ragged(seed)
    mask = block_mask(batch.branches, batch.position_ids, window, block=4)
    found, expected = dense_mask(mask), batch.visible_within(window)
    rows, length = batch.input_ids.shape
    assert mask.shape == found.shape == (rows, 1, length, length)
    real = batch.real
    assert torch.equal(found[:, 0][real], expected[:, 0][real])
    assert found.any(dim=-1).all(), "softmax over nothing would be NaN"


@pytest.mark.parametrize("seed", range(4))
def test_only_blocks_that_are_seen_are_listed(seed: int):
    """Without windows, a block is left out if no token of it is seen, and only then."""
    batch = ragged(seed)
    mask = block_mask(batch.branches, batch.position_ids, None, block=4)
    listed = mask.kv_num_blocks + mask.full_kv_num_blocks
    seen = in_blocks(dense_mask(mask), 4, beyond=False).any(dim=3)
    whole = in_blocks(dense_mask(mask), 4, beyond=True).all(dim=3)
    assert torch.equal(listed[:, 0], seen.sum(dim=-1))
    assert (mask.full_kv_num_blocks[:, 0] <= whole.sum(dim=-1)).all()


def test_blocks_of_a_prompt_and_two_answers_by_hand():
    """Of two prompt blocks and two answers, the second answer does not see the first."""
    sequences = [TokenSequence((1,) * 8, (word,) * 4) for word in (2, 3)]
    batch = collate(sequences, pad_id=0)
    plain = block_mask(batch.branches, batch.position_ids, None, block=4)
    assert plain.kv_num_blocks[0, 0].tolist() == [1, 1, 1, 1]  # itself
    assert plain.kv_indices[0, 0, :, 0].tolist() == [0, 1, 2, 3]
    assert plain.full_kv_num_blocks[0, 0].tolist() == [0, 1, 2, 2]
    assert plain.full_kv_indices[0, 0, 3, :2].tolist() == [0, 1]
    # A token sees two before it; both answers begin at position 8, so they see 6 and 7.
    near = block_mask(batch.branches, batch.position_ids, 3, block=4)
    assert near.full_kv_num_blocks.sum() == 0
    assert near.kv_num_blocks[0, 0].tolist() == [1, 2, 2, 2]
    assert near.kv_indices[0, 0, 3, :2].tolist() == [1, 3]


def test_a_batch_holds_no_tensor_of_all_pairs():
    """250 tokens are 2 blocks: 4 numbers a row, where a dense mask has 62,500."""
    batch = collate(LONG, pad_id=0)
    mask = block_mask(batch.branches, batch.position_ids, None)
    rows, length = batch.input_ids.shape
    tensors = [part for part in mask.as_tuple() if isinstance(part, Tensor)]
    held = [part.numel() for part in tensors] + [
        cell.cell_contents.numel() for cell in mask.mask_mod.__closure__ or ()
    ]
    assert length == 250
    assert mask.kv_indices.shape == (rows, 1, 2, 2)
    assert max(held) <= rows * length
    assert "visible" not in vars(batch)


@pytest.mark.parametrize(("sequences", "window"), [(LONG, None), (SEQUENCES, 8)])
def test_the_kernel_reads_the_mask(sequences: list[TokenSequence], window: int | None):
    """Grouped queries, in the graph that a GPU compiles, without a backward pass."""
    batch = collate(sequences, pad_id=0)
    rows, length = batch.input_ids.shape
    generator = torch.Generator().manual_seed(1)
    query, key, value = (
        torch.randn(rows, heads, length, 16, generator=generator) for heads in (4, 2, 2)
    )
    mask = block_mask(batch.branches, batch.position_ids, window)
    found = block_attention(query, key, value, mask, 0.3, backend="eager")
    seen = batch.visible_within(window)
    expected = F.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.3, enable_gqa=True
    )
    real = batch.real
    torch.testing.assert_close(
        found.transpose(1, 2)[real], expected.transpose(1, 2)[real], atol=1e-5, rtol=1e-5
    )


def losses_and_gradients(trunk: Trunk, sequences: list[TokenSequence]) -> list[Tensor]:
    """Return log-probabilities, and the gradients of their sum."""
    trunk.add_role(Role.POLICY, seed=1)
    for parameter in trunk.parameters(Role.POLICY):
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(2))
    logprobs = trunk.token_logprobs(Role.POLICY, trunk.batch(sequences), 0.7)
    logprobs.sum().backward()
    return [logprobs.detach()] + [
        parameter.grad for parameter in trunk.parameters(Role.POLICY) if parameter.grad is not None
    ]


@pytest.mark.parametrize("name", ["llama3", "mistral", "gemma3", "deepseek-v3"])
def test_models_compute_the_same_as_under_dense_masks(name: str, tmp_path: Path):
    """Grouped queries, windows in all layers or some, values narrower than keys."""
    folder = write_architecture(name, tmp_path)
    trunk = open_trunk(folder, FLEX_COMPUTE, 4)
    assert trunk.language_model.config._attn_implementation == FLEX
    assert sampling_gap(trunk, eager(folder)) < EXACT
    found = losses_and_gradients(trunk, SEQUENCES)
    expected = losses_and_gradients(open_trunk(folder, FP32, 4), SEQUENCES)
    for ours, dense in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, dense, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_rows_of_several_blocks_compute_the_same(is_checkpointed: bool):
    compute = replace(FLEX_COMPUTE, gradient_checkpointing=is_checkpointed)
    found = losses_and_gradients(open_trunk("tiny-random", compute, None), LONG)
    expected = losses_and_gradients(open_trunk("tiny-random", FP32, None), LONG)
    for ours, dense in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, dense, atol=1e-4, rtol=1e-3)


def test_bf16_is_multiplied_in_bf16():
    compute = replace(FLEX_COMPUTE, dtype=torch.bfloat16)
    (found, *_), (dense, *_) = (
        losses_and_gradients(open_trunk("tiny-random", each, None), SEQUENCES)
        for each in (compute, FP32)
    )
    torch.testing.assert_close(found, dense, atol=0.3, rtol=0.05)


def test_a_saved_role_is_loaded_with_the_attention_that_is_named(tmp_path: Path):
    trunk = open_trunk("tiny-random", FLEX_COMPUTE, None)
    trunk.add_role(Role.POLICY, seed=1)
    trunk.roles.write(Role.POLICY, tmp_path, Path())
    trunk.roles.read(Role.POLICY, tmp_path)
    assert trunk.roles.model(Role.POLICY).config._attn_implementation == FLEX


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gemma2", "takes softcap, which only the eager attention"),
        ("gpt-oss", "takes s_aux, which only the eager attention"),
        ("gpt2", "it accepts no mask of blocks"),
        ("bloom", "its attention is its own code"),
    ],
)
def test_architectures_that_cannot_are_refused(name: str, reason: str, tmp_path: Path):
    folder = write_architecture(name, tmp_path)
    wanted = rf"attention = 'flex' .*{name.replace('-', '_')}.*{reason}.*use auto"
    with pytest.raises(ConfigError, match=wanted):
        open_trunk(folder, FLEX_COMPUTE, 4)


def test_settings_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="share_prompts is false"):
        ComputeSettings(attention="flex", share_prompts=False)
    monkeypatch.setattr(device, "_device", lambda _: torch.device("mps"))
    with pytest.raises(ConfigError, match="FlexAttention does not train on mps; use auto"):
        choose_compute(ComputeSettings(attention="flex"))


def test_a_cpu_says_once_that_it_is_slow(caplog: pytest.LogCaptureFixture):
    flex._say_that_it_is_slow.cache_clear()
    with caplog.at_level(logging.WARNING, flex.__name__):
        losses_and_gradients(open_trunk("tiny-random", FLEX_COMPUTE, 4), SEQUENCES)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "slow and only meant for tests; use auto" in said


def test_pytorchs_attention_can_be_named_on_a_cpu():
    trunk = open_trunk("tiny-random", replace(FP32, attention="sdpa"), 4)
    assert trunk.language_model.config._attn_implementation == "sdpa"
