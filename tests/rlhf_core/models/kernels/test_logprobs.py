import pytest
import torch

from rlhf_core.models.kernels import logprobs
from rlhf_core.models.kernels.logits import IDENTITY, LogitRule
from rlhf_core.models.kernels.logprobs import chosen_logprobs
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk

N, H, V = 7, 5, 11


def plain(
    states: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    ids: torch.Tensor,
    temperature: float,
    with_entropy: bool = True,
    rule: LogitRule = IDENTITY,
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = rule.scale * torch.nn.functional.linear(states, weight, bias)
    if rule.cap is not None:
        logits = rule.cap * torch.tanh(logits / rule.cap)
    found = torch.log_softmax(logits / temperature, -1)
    return found.gather(1, ids[:, None]).squeeze(1), -(found.exp() * found).sum(-1)


@pytest.mark.parametrize("rows", [2, 256])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("rule", [IDENTITY, LogitRule(0.5), LogitRule(0.5, 4.0)])
def test_values_and_gradients_are_those_of_a_plain_log_softmax(
    monkeypatch: pytest.MonkeyPatch, rows: int, temperature: float, has_bias: bool, rule: LogitRule
):
    """The gradients of log-probability and entropy, by states and weights, are checked at once."""
    monkeypatch.setattr(logprobs, "ROWS", rows)
    found = []
    for function in (plain, chosen_logprobs):
        generator = torch.Generator().manual_seed(1)
        leaves = [torch.randn(shape, generator=generator) for shape in ((N, H), (V, H), (V,))]
        states, weight, bias = (leaf.requires_grad_() for leaf in leaves)
        ids = torch.randint(V, (N,), generator=generator)
        given = bias if has_bias else None
        chosen, entropy = function(states, weight, given, ids, temperature, True, rule)
        (chosen.square().sum() + 0.3 * entropy.exp().sum()).backward()
        found.append((chosen, entropy, states.grad, weight.grad, bias.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


def test_half_precision_rounds_the_products_alone():
    states, weight = torch.randn(N, H).bfloat16(), torch.randn(V, H).bfloat16()
    chosen, entropy = chosen_logprobs(states, weight, None, torch.arange(N), 0.5)
    assert chosen.dtype == entropy.dtype == torch.float32
    states.requires_grad_()
    chosen_logprobs(states, weight, None, torch.arange(N), 0.5)[0].sum().backward()
    expected = states.detach().float().requires_grad_()
    plain(expected, weight.float(), None, torch.arange(N), 0.5)[0].sum().backward()
    torch.testing.assert_close(states.grad.float(), expected.grad, atol=0.1, rtol=0.05)


def test_entropy_that_nobody_wants_is_zero():
    chosen, entropy = chosen_logprobs(
        torch.randn(N, H), torch.randn(V, H), None, torch.arange(N), 1.0, with_entropy=False
    )
    assert entropy.tolist() == [0.0] * N
    assert (chosen < 0).all()


def test_logits_are_of_response_tokens_alone_and_never_all_at_once(
    trunk: Trunk, monkeypatch: pytest.MonkeyPatch
):
    """Nine response tokens are read in fours, forward and backward; prompt tokens are not."""
    monkeypatch.setattr(logprobs, "ROWS", 4)
    rows = []
    exact = logprobs._logits

    def counted(states: torch.Tensor, *arguments: object) -> torch.Tensor:
        rows.append(len(states))
        return exact(states, *arguments)

    monkeypatch.setattr(logprobs, "_logits", counted)
    output = trunk.language_model.get_output_embeddings()
    output.register_forward_pre_hook(lambda _, given: rows.append(given[0].numel()))
    trunk.add_role(Role.POLICY, 1)
    batch = trunk.batch(
        [TokenSequence((7,) * 5, (8, 9, 10, 11, 12)), TokenSequence((7,) * 6, (8, 9, 10, 11))]
    )
    trunk.token_logprobs(Role.POLICY, batch, 1.0).sum().backward()
    assert rows == [4, 4, 1] * 2


def test_logits_are_scaled_and_then_capped_by_hand():
    """2·tanh(0.5·4/2) = 2·tanh(1) = 1.5231884; without a cap 0.5·4 = 2."""
    raw = torch.tensor([4.0])
    assert LogitRule(0.5, 2.0)(raw).item() == pytest.approx(1.5231884, abs=1e-6)
    assert LogitRule(0.5)(raw).item() == 2.0
    assert IDENTITY(raw) is raw
