"""Switching roles on a deep, narrow model: ours against PEFT's own switches, on the same layers."""

from collections.abc import Callable

from peft import PeftModel
from transformers import LlamaConfig

from rlhf_core.models.adapter_roles import AdapterRoles
from rlhf_core.models.device import Compute
from rlhf_core.models.trunk import Role
from tests.benchmarks.gpu import random_trunk
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

TURNS = 5
DEEP = LlamaConfig(
    vocab_size=259,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=28,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=16,
    tie_word_embeddings=True,
)


def run(compute: Compute) -> list[Result]:
    """The roles of one micro-batch of PPO's experience: policy, reference, critic; five times."""
    trunk = random_trunk(DEEP, compute)
    for seed, role in enumerate((Role.POLICY, Role.CRITIC)):
        trunk.add_role(role, seed)
    assert isinstance(trunk.roles, AdapterRoles)
    peft = trunk.roles._require_peft()

    def ours() -> None:
        for role in (Role.POLICY, Role.REFERENCE, Role.CRITIC) * TURNS:
            with trunk.acting_as(role):
                pass

    return [
        ratio("switching", ours, "PEFT", _by_peft(peft), detail="28 layers, 15 switches", goal=10)
    ]


def _by_peft(peft: PeftModel) -> Callable[[], None]:
    def theirs() -> None:
        for _ in range(TURNS):
            peft.set_adapter(Role.POLICY.value)
            with peft.disable_adapter():
                pass
            peft.set_adapter(Role.CRITIC.value)

    return theirs
