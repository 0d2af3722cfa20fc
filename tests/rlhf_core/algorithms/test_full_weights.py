"""Every algorithm with full parameters: gradients checked by hand, and a planted reward learnt."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from rlhf_core.algorithms.dpo import train_dpo
from rlhf_core.algorithms.online import add_critic, train_online
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.sft import train_sft
from rlhf_core.config.training import (
    DPOSettings,
    KLSettings,
    OnlineSettings,
    PPOSettings,
    RLOOSettings,
)
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings, SFTSettings
from rlhf_core.models.bundled import bundled_folder
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from tests.rlhf_core.algorithms.planted import planted_rankings, random_tokens, share_of_low

NewTrunk = Callable[[], Trunk]
SAMPLING = SamplingSettings(max_new_tokens=6)


class ByHand(nn.Module):
    """A plain transformers model, read one sequence at a time, with the head of a trunk's role."""

    def __init__(self, trunk: Trunk, role: Role) -> None:
        super().__init__()
        self.model = AutoModelForCausalLM.from_pretrained(bundled_folder("tiny-random"))
        self.model.load_state_dict(trunk.roles.weights(role))
        self.head = nn.Linear(32, 1)
        if role in trunk.heads:
            self.head.load_state_dict(trunk.heads[role].linear.state_dict())

    def states(self, sequence: TokenSequence) -> Tensor:
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        return self.model.base_model(input_ids=ids).last_hidden_state[0]

    def logprobs(self, sequence: TokenSequence) -> Tensor:
        before = self.states(sequence)[len(sequence.prompt_ids) - 1 : -1]
        said = torch.log_softmax(self.model.lm_head(before), -1)
        return said.gather(1, torch.tensor(sequence.response_ids)[:, None])[:, 0]

    def values(self, sequence: TokenSequence) -> Tensor:
        return self.head(self.states(sequence)[len(sequence.prompt_ids) - 1 : -1])[:, 0]

    def score(self, sequence: TokenSequence) -> Tensor:
        return self.head(self.states(sequence)[-1])[0]

    def gradients(self, loss: Tensor) -> list[Tensor]:
        loss.backward()
        return [parameter.grad for parameter in self.parameters() if parameter.grad is not None]


@contextmanager
def first_gradients() -> Iterator[list[list[Tensor]]]:
    """Return the gradients of each updater's first step, before they are clipped and applied."""
    found: list[list[Tensor]] = []
    seen: set[int] = set()
    apply = Updater.step

    def caught(updater: Updater) -> tuple[float, float]:
        if id(updater) not in seen:
            seen.add(id(updater))
            found.append([parameter.grad.clone() for parameter in updater.parameters])
        return apply(updater)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "step", caught)
        yield found


def disturb(trunk: Trunk, role: Role) -> None:
    with torch.no_grad():
        for parameter in trunk.parameters(role):
            parameter += 0.02 * torch.randn_like(parameter)


def prompts(count: int = 6) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(2)
    return [random_tokens(generator, 4 + index) for index in range(count)]


def require_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    assert max(gradient.abs().max() for gradient in expected) > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_fine_tuning_has_the_gradient_of_the_loss_of_transformers(new_full_trunk: NewTrunk):
    """Input and output embedding are one tensor here, and both uses contribute."""
    trunk = new_full_trunk()
    sequences = [TokenSequence(prompt[:3], (*prompt[3:], 2)) for prompt in prompts()]
    with first_gradients() as found:
        list(train_sft(trunk, sequences, SFTSettings(prompts_per_step=len(sequences)), seed=1))
    plain = AutoModelForCausalLM.from_pretrained(bundled_folder("tiny-random"))
    tokens = sum(len(sequence.response_ids) for sequence in sequences)
    for sequence in sequences:
        ids = torch.tensor([[*sequence.prompt_ids, *sequence.response_ids]])
        labels = ids.clone()
        labels[0, : len(sequence.prompt_ids)] = -100
        loss = plain(input_ids=ids, labels=labels).loss
        (loss * len(sequence.response_ids) / tokens).backward()
    assert plain.lm_head.weight is plain.get_input_embeddings().weight
    require_equal(found[0], [parameter.grad for parameter in plain.parameters()])


def test_reward_model_has_the_gradient_of_bradley_terry(new_full_trunk: NewTrunk):
    trunk, fresh = new_full_trunk(), new_full_trunk()
    rankings = planted_rankings(4, 1)
    settings = RewardModelSettings(prompts_per_step=len(rankings))
    with first_gradients() as found:
        list(train_reward_model(trunk, rankings, settings, seed=3))
    fresh.add_role(Role.REWARD, 3)
    hand = ByHand(fresh, Role.REWARD)
    losses = [
        -F.logsigmoid(hand.score(better) - hand.score(worse))
        for worse, better in (ranking.sequences for ranking in rankings)
    ]
    require_equal(found[0], hand.gradients(torch.stack(losses).mean()))


def test_dpo_has_the_gradient_of_equation_7(new_full_trunk: NewTrunk):
    trunk = new_full_trunk()
    trunk.add_role(Role.SFT, 1)  # the reference, as the base is
    trunk.add_role(Role.POLICY, 1)
    disturb(trunk, Role.POLICY)
    hand, reference = ByHand(trunk, Role.POLICY), ByHand(trunk, Role.SFT)
    rankings = planted_rankings(4, 1)
    settings = DPOSettings(algorithm="dpo", prompts_per_step=len(rankings), beta=0.3)
    with first_gradients() as found:
        list(train_dpo(trunk, rankings, settings, seed=1))
    losses = []
    for worse, better in (ranking.sequences for ranking in rankings):
        ratios = [
            hand.logprobs(answer).sum() - reference.logprobs(answer).sum().detach()
            for answer in (better, worse)
        ]
        losses.append(-F.logsigmoid(0.3 * (ratios[0] - ratios[1])))
    require_equal(found[0], hand.gradients(torch.stack(losses).mean()))


@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_ppo_has_the_gradients_of_its_first_update(new_full_trunk: NewTrunk, critic: str):
    """γ = λ = 1 without penalty: every return is the score, and every advantage score − value.

    Before any update nothing is clipped, so gradients are the means of −A∇log π and (V − R)∇V.
    """
    trunk = new_full_trunk()
    trunk.add_role(Role.REWARD, 1)
    disturb(trunk, Role.REWARD)
    trunk.add_role(Role.POLICY, 1)
    chosen = PPOSettings(
        steps=1, prompts_per_step=4, samples_per_prompt=2, minibatches=1, missing_eos_score=None,
        kl=KLSettings(coefficient=0.0), gae_lambda=1.0, critic=critic, value_coefficient=0.5,
    )  # fmt: skip
    add_critic(trunk, chosen)
    actor = ByHand(trunk, Role.POLICY)
    judge = ByHand(trunk, Role.CRITIC) if critic == "separate" else actor
    with first_gradients() as found:
        (step,) = train_online(trunk, prompts(), share_of_low, chosen, SAMPLING, seed=1)
    answers = [rollout.tokens for rollout in step.rollouts]
    values = torch.cat([judge.values(answer) for answer in answers])
    scores = torch.cat(
        [
            torch.full((len(answer.response_ids),), score)
            for answer, score in zip(answers, step.scores, strict=True)
        ]
    )
    raw = (scores - values).detach()
    advantages = (raw - raw.mean()) / raw.std(correction=0)
    policy_loss = -(advantages * torch.cat([actor.logprobs(a) for a in answers])).mean()
    value_loss = 0.5 * (values - scores).square().mean()
    if critic == "shared":
        require_equal(found[0], actor.gradients(policy_loss + 0.5 * value_loss))
    else:
        require_equal(found[0], actor.gradients(policy_loss))
        require_equal(found[1], judge.gradients(value_loss))


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (PPOSettings, {"critic_learning_rate": 1e-2}),
        (PPOSettings, {"critic": "shared"}),
        (RLOOSettings, {"algorithm": "rloo"}),
    ],
)
def test_planted_reward_is_learnt(
    new_full_trunk: NewTrunk, kind: type[OnlineSettings], own: dict[str, object]
):
    """A random policy scores a quarter, and the optimum is 1."""
    trunk = new_full_trunk()
    chosen = kind.model_validate(
        {
            "steps": 16,
            "prompts_per_step": 6,
            "samples_per_prompt": 8,
            "learning_rate": 4e-2,
            "epochs": 2,
            "missing_eos_score": None,
            "kl": {"coefficient": 0.0},
            **own,
        }
    )
    trunk.add_role(Role.POLICY, 1)
    if isinstance(chosen, PPOSettings):
        trunk.add_role(Role.REWARD, 1)
        add_critic(trunk, chosen)
    steps = list(train_online(trunk, prompts(), share_of_low, chosen, SAMPLING, seed=1))
    scores = [step.metrics["score"] for step in steps]
    assert steps[0].metrics["kl"] == 0.0
    assert scores[0] < 0.4
    assert scores[-1] > 0.9
