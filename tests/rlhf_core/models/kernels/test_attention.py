from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf_core.models import stored_weights
from rlhf_core.models.bundled import bundled_folder
from rlhf_core.models.kernels.attention import attention_implementation, grouped_attention
from tests.conftest import FP32


def both() -> tuple[torch.nn.Module, torch.nn.Module]:
    return tuple(  # type: ignore[return-value]
        AutoModelForCausalLM.from_pretrained(
            bundled_folder("tiny-random"), attn_implementation=name
        ).eval()
        for name in ("eager", attention_implementation(torch.device("cpu")))
    )


def test_equal_to_eager_attention_with_padding_on_either_side():
    eager, grouped = both()
    ids = torch.randint(3, 250, (3, 9), generator=torch.Generator().manual_seed(1))
    for mask in (torch.ones(3, 9), torch.ones(3, 9).tril(6), torch.ones(3, 9).tril(6).flip(1)):
        real = mask.bool()
        expected = eager(input_ids=ids, attention_mask=mask.long()).logits
        found = grouped(input_ids=ids, attention_mask=mask.long()).logits
        torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)


def test_gradients_equal_those_of_eager_attention():
    gradients = []
    for model in both():
        ids = torch.arange(3, 15)[None]
        model(input_ids=ids, labels=ids).loss.backward()
        gradients.append(model.model.layers[0].self_attn.k_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-4)


def test_two_queries_a_key_head_by_hand():
    """There is a single key, so the weights are 1 and every query head reads its group's value."""
    query = torch.randn(1, 4, 3, 2)
    key, value = torch.randn(1, 2, 1, 2), torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    found, weights = grouped_attention(torch.nn.Identity(), query, key, value, None, scaling=1.0)
    assert weights is None
    assert found.shape == (1, 3, 4, 2)
    assert found[0, 0].tolist() == [[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [3.0, 4.0]]


@pytest.mark.parametrize(("device", "name"), [("cpu", "solon_grouped"), ("cuda", "sdpa")])
def test_gpus_keep_their_own_kernels(device: str, name: str):
    assert attention_implementation(torch.device(device)) == name


def test_values_may_be_wider_than_keys_and_the_scale_left_out():
    """DeepSeek-V3 does so. One query, two keys: softmax([1, 0]/√1) = (0.7310586, 0.2689414)."""
    query = torch.ones(1, 1, 1, 1, requires_grad=True)
    key = torch.tensor([[[[1.0], [0.0]]]])
    value = torch.tensor([[[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]]], requires_grad=True)
    found, _ = grouped_attention(torch.nn.Identity(), query, key, value, None)
    expected = torch.tensor([0.7310586, 1.4621172, 2.1931758])
    torch.testing.assert_close(found[0, 0, 0], expected, atol=1e-6, rtol=0)
    found.sum().backward()
    assert value.grad[0, 0, :, 0].tolist() == pytest.approx([0.7310586, 0.2689414], abs=1e-6)
    slope = 6 * 0.7310586 * 0.2689414  # derivative of 6·σ(q) with respect to q
    assert query.grad.item() == pytest.approx(slope, abs=1e-5)


def test_a_model_that_is_sharded_gets_the_attention_of_its_device(monkeypatch: pytest.MonkeyPatch):
    """That of CPUs, where it is loaded, keeps (B, heads, T, T) for the backward pass."""
    chosen: list[str] = []
    monkeypatch.setattr(
        stored_weights,
        "fit_attention",
        lambda _, *named: chosen.append(attention_implementation(*named)),
    )
    compute = replace(FP32, device=torch.device("meta"), shard=True)  # as any that is no CPU
    model = stored_weights.load_for_sharding("tiny-random", torch.float32)
    stored_weights.fill_shards(model, "tiny-random", compute)
    assert chosen == ["sdpa"]
