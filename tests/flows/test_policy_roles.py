"""The roles that a policy's training loads: no model that it does not read."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows.stages import train_policy
from rlhf_core.config.policy import PolicySettings
from rlhf_core.config.training import DPOSettings, PPOSettings, RLOOSettings, TrainingSettings
from rlhf_core.models.trunk import Role


@pytest.mark.parametrize(
    ("training", "roles"),
    [
        (DPOSettings(algorithm="dpo"), {Role.POLICY}),
        (PPOSettings(), {Role.REWARD, Role.POLICY}),
        (RLOOSettings(algorithm="rloo"), {Role.REWARD, Role.POLICY}),
    ],
)
def test_only_the_roles_that_are_read_are_loaded(
    monkeypatch: pytest.MonkeyPatch, training: TrainingSettings, roles: set[Role]
):
    """DPO learns from rankings: a reward model would take memory for nothing."""
    found: set[Role] = set()
    trunk = SimpleNamespace(add_role=lambda role, seed: found.add(role))

    def called(work: Any, *arguments: Any) -> Any:
        return trunk if work is train_policy.open_trunk else work(*arguments)

    monkeypatch.setattr(train_policy, "on_all_ranks", called)
    monkeypatch.setattr(train_policy, "load_role", lambda trunk, role, folder: found.add(role))
    cycle = SimpleNamespace(
        config=SimpleNamespace(training=training, policy=PolicySettings(), seed=1),
        folder=lambda model_id: model_id,
        compute=lambda: None,
    )
    origins = SimpleNamespace(sft_id="sft", champion=None, reward_id="reward")
    train_policy._open_trunk(cycle, origins)  # type: ignore[arg-type]
    assert found == roles
