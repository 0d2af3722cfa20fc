"""Roles are switched by one assignment, and answer as PEFT's own switching makes them."""

from dataclasses import replace

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from rlhf_core.models.adapter_roles import AdapterRoles
from rlhf_core.models.artifacts import open_trunk
from rlhf_core.models.kernels.lora import FusedLinear
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.conftest import FP32
from tests.gpu_check.box import stir

ROLES = (Role.REFERENCE, Role.POLICY, Role.REWARD)
SEQUENCES = [TokenSequence((5, 6, 7), (8, 9)), TokenSequence((10,), (11, 12, 13))]


@pytest.fixture
def several(trunk: Trunk) -> Trunk:
    """A trunk of two roles with weights of their own."""
    for seed, role in enumerate((Role.POLICY, Role.REWARD)):
        trunk.add_role(role, seed)
        stir(trunk, role, seed, scale=0.3)
    return trunk


def logprobs(trunk: Trunk, role: Role) -> torch.Tensor:
    return trunk.token_logprobs(role, trunk.batch(SEQUENCES), 1.0)


def by_peft(trunk: Trunk, role: Role) -> torch.Tensor:
    """Return the same by PEFT's flags, which visit every layer."""
    roles = trunk.roles
    assert isinstance(roles, AdapterRoles)
    peft = roles._require_peft()
    layers = [module for module in peft.modules() if isinstance(module, FusedLinear)]
    former, roles._has_switch = [layer.switch for layer in layers], False
    for layer in layers:
        layer.switch = None
    try:
        return logprobs(trunk, role)
    finally:
        roles._has_switch = True
        for layer, switch in zip(layers, former, strict=True):
            layer.switch = switch


def test_every_role_answers_as_by_the_flags_of_peft(several: Trunk):
    with torch.no_grad():
        expected = {role: by_peft(several, role) for role in ROLES}
        for role in (*ROLES, *reversed(ROLES)):
            assert torch.equal(logprobs(several, role), expected[role])
    assert not torch.equal(expected[Role.POLICY], expected[Role.REWARD])


def test_only_the_role_that_acted_gets_gradients(several: Trunk):
    logprobs(several, Role.POLICY).sum().backward()
    assert all(p.grad is not None for p in several.parameters(Role.POLICY))
    assert all(p.grad is None for p in several.parameters(Role.REWARD))
    assert all(p.grad is None for p in several.language_model.parameters() if not p.requires_grad)


def test_no_layer_is_visited(several: Trunk, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a layer was visited")

    monkeypatch.setattr(BaseTunerLayer, "set_adapter", refuse)
    monkeypatch.setattr(BaseTunerLayer, "enable_adapters", refuse)
    for role in ROLES:
        with several.acting_as(role):
            pass


def test_the_base_acts_inside_its_context_alone(several: Trunk):
    """A backward pass that computes activations again does so after the context has ended."""
    with torch.no_grad(), several.acting_as(Role.POLICY) as model:
        ids = torch.tensor([[5, 6, 7]])
        policy = model(ids).logits
        with several.acting_as(Role.REFERENCE):
            reference = model(ids).logits
        assert torch.equal(model(ids).logits, policy)
    assert not torch.equal(reference, policy)


def test_checkpointed_gradients_are_those_of_the_role_that_acted(several: Trunk):
    again = open_trunk("tiny-random", replace(FP32, gradient_checkpointing=True), 4)
    for seed, role in enumerate((Role.POLICY, Role.REWARD)):
        again.add_role(role, seed)
        stir(again, role, seed, scale=0.3)
    found = []
    for trunk in (several, again):
        loss = logprobs(trunk, Role.POLICY).sum()
        with torch.no_grad():
            logprobs(trunk, Role.REFERENCE)
        loss.backward()
        found.append([p.grad for p in trunk.parameters(Role.POLICY)])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_a_role_that_is_not_there_is_refused(several: Trunk):
    with pytest.raises(ValueError, match="no role critic"), several.acting_as(Role.CRITIC):
        pass


def test_a_removed_role_leaves_another(several: Trunk):
    with several.acting_as(Role.REWARD):
        pass
    several.remove_role(Role.REWARD)
    with torch.no_grad():
        assert logprobs(several, Role.POLICY).isfinite().all()
