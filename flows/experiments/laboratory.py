"""Shared by the experiments: stages of a cycle, trunks, held-out answers and their scores.

Stages run as `solon run --stage` runs them, so what they make is in the experiment's store and is
made once. What an experiment compares is trained with `rlhf_core` alone, step by step, so that it
can be measured in between.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from flows.cycle.cycle import Cycle, next_cycle
from flows.cycle.engine import open_engine
from flows.cycle.handover import Handover, handed_over, ranked
from flows.experiments.experiment import Curve
from flows.run import run_cycles
from flows.training.rankings import ranked_candidates, training_rankings
from judges import Answer, Ledger, PointwiseJudge, load
from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.rollouts import Rollout, roll_out
from rlhf_core.algorithms.scoring import score_sequences, sequence_kl
from rlhf_core.config import Config
from rlhf_core.errors import ConfigError, NotReadyError, SilentJudgeError
from rlhf_core.identity import seed_from
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.chat import ChatFormat, policy_chat
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Prompt, Split
from rlhf_core.sampling.sampler import Sampler
from rlhf_core.store import Store, queries


@dataclass(frozen=True)
class Laboratory:
    """The store and the models of a config, some of whose stages have ended."""

    cycle: Cycle
    _open: ExitStack
    """Closes what the laboratory opens, such as a server."""

    @property
    def config(self) -> Config:
        return self.cycle.config

    @cached_property
    def store(self) -> Store:
        return self.cycle.open_store()

    @cached_property
    def sft(self) -> Handover:
        """The handover of the fine-tuning."""
        return handed_over(self.cycle, "train_sft")

    @cached_property
    def sampler(self) -> Sampler:
        """The sampler that `sampling.engine` names, for answers of the SFT model and of policies.

        A server that Solon starts lives until the laboratory closes.
        """
        return self._open.enter_context(open_engine(self.cycle, self.sft.sft_id))

    def prompts(self, split: Split) -> list[Prompt]:
        return queries.prompts_of(self.store, self.sft.prompt_set_id, split)

    def trunk(self, *roles: Role) -> Trunk:
        """Return the SFT model; with Role.REWARD, with the cycle's reward model as well."""
        config, folder = self.config, self.cycle.folder
        base = str(folder(self.sft.sft_id))
        trunk = open_trunk(base, self.cycle.compute(), trained_lora(config.policy))
        if Role.REWARD in roles:
            load_role(trunk, Role.REWARD, folder(handed_over(self.cycle, "train_reward").reward_id))
        if Role.POLICY in roles:
            trunk.add_role(Role.POLICY, config.seed)
        return trunk

    def chat(self, trunk: Trunk) -> ChatFormat:
        return policy_chat(trunk.tokenizer, self.config.policy)

    def rankings(self, chat: ChatFormat) -> list[RankedCandidates]:
        """Return the rankings of the cycle as tokens."""
        had = ranked(self.cycle)
        rankings = training_rankings(
            self.cycle, self.store, had.sft_id, had.recipe, self.prompts(Split.TRAIN)
        )
        settings = self.config.reward_model
        return ranked_candidates(self.store, chat, rankings, settings, self.config)


@contextmanager
def open_laboratory(config: Config, *groups: str) -> Iterator[Laboratory]:
    """Run groups of stages of a line's first cycle that have not ended, and open their results.

    Args:
        config: Config of the line.
        groups: Names as in `solon run --stage`.

    Yields:
        The laboratory, which closes at the end of the block.
    """
    ends = {"feedback": "pair", "reward-model": "train_reward"}
    for group in groups:
        try:
            handed_over(next_cycle(config), ends.get(group, group))
        except NotReadyError:
            run_cycles(config, 1, is_quiet=True, stage=group)
    with ExitStack() as stack:
        yield Laboratory(next_cycle(config), stack)


@dataclass(frozen=True)
class ScoredAnswers:
    """Answers of a role to some prompts, with their scores by prompt."""

    prompts: Sequence[Prompt]
    rollouts: Sequence[Rollout]
    held_out: Sequence[float]
    """Score of each answer by the held-out judge."""
    reward: Sequence[float] = ()
    """Score of each answer by the reward model, if there is one."""
    kl: float = 0.0
    """KL of the policy from the SFT model on these answers, in nats an answer."""

    @property
    def mean_held_out(self) -> float:
        return sum(self.held_out) / len(self.held_out)

    @property
    def mean_reward(self) -> float:
        return sum(self.reward) / len(self.reward)

    def win_rate(self, baseline: "ScoredAnswers") -> float:
        """Return the share of answers that score above the baseline's; an equal score is half."""
        pairs = list(zip(self.held_out, baseline.held_out, strict=True))
        return sum((ours > theirs) + (ours == theirs) / 2 for ours, theirs in pairs) / len(pairs)


@dataclass(frozen=True)
class HeldOut:
    """Held-out prompts, their tokens and the judge that scores answers to them."""

    lab: Laboratory
    prompts: Sequence[Prompt]
    judge: PointwiseJudge[Any]

    def answer(self, trunk: Trunk, role: Role, sampler: Sampler | None = None) -> list[Rollout]:
        """Return answers of a role, always with equal random numbers.

        Args:
            trunk: Holds the role.
            role: The role that answers.
            sampler: Samples the tokens; None is the laboratory's, for trunks of the SFT model.
        """
        config, chat = self.lab.config, self.lab.chat(trunk)
        tokens = [chat.prompt_ids(prompt.conversation) for prompt in self.prompts]
        count = config.evaluation.samples_per_prompt
        seeds = [
            [seed_from("held out", config.seed, prompt.id, n) for n in range(count)]
            for prompt in self.prompts
        ]
        sampler = sampler or self.lab.sampler
        return roll_out(trunk, tokens, range(len(tokens)), seeds, config.sampling, role, sampler)

    def score(
        self,
        trunk: Trunk,
        role: Role,
        with_reward: bool = True,
        sampler: Sampler | None = None,
    ) -> ScoredAnswers:
        """Return answers of a role with their scores.

        Args:
            trunk: Holds the role, and the reward role if its score is wanted.
            role: The role that answers.
            with_reward: False leaves out the reward model's score.
            sampler: Samples the tokens; None is the laboratory's, for trunks of the SFT model.
        """
        rollouts = self.answer(trunk, role, sampler)
        sequences = [rollout.tokens for rollout in rollouts]
        temperature = self.lab.config.sampling.temperature
        scored = ScoredAnswers(self.prompts, rollouts, judge_answers(self, rollouts))
        if with_reward:
            reward = score_sequences(trunk, sequences, Role.REWARD).tolist()
            scored = replace(scored, reward=reward)
        if role is Role.POLICY:
            kl = sequence_kl(trunk, sequences, temperature).mean().item()
            scored = replace(scored, kl=float(kl))
        return scored


def open_held_out(lab: Laboratory, limit: int | None = None) -> HeldOut:
    """Return the held-out prompts with the first judge of the config's evaluation.

    Args:
        lab: The laboratory.
        limit: Number of prompts, the first by id; None takes all.

    Raises:
        ConfigError: If that judge compares answers, or there is no held-out prompt.
    """
    prompts = lab.prompts(Split.HOLDOUT)[:limit]
    if not prompts:
        raise ConfigError("no prompt is held out; raise prompts.holdout")
    return HeldOut(lab, prompts, pointwise(lab.config))


def pointwise(config: Config) -> PointwiseJudge[Any]:
    """Return the judge that decides in the config's evaluation, which has to score answers alone.

    Raises:
        ConfigError: If it compares answers.
    """
    settings = config.evaluation.judges[0]
    judge = load(settings, Ledger(compute=config.compute))
    if not isinstance(judge, PointwiseJudge):
        raise ConfigError(
            f"evaluation.judges: {settings.name!r} compares two answers, and an experiment scores "
            "each; name a judge such as verifier or similarity"
        )
    judge.check()
    return judge


def judge_answers(held_out: HeldOut, rollouts: Sequence[Rollout]) -> list[float]:
    """Return the held-out judge's score of each answer.

    Raises:
        SilentJudgeError: If it has no opinion on one of them, because any score in its place would
            change what is measured.
    """
    answers = [
        Answer(held_out.prompts[rollout.prompt_index], rollout.text, rollout.is_finished)
        for rollout in rollouts
    ]
    opinions = held_out.judge.score(answers)
    silent = [opinion for opinion in opinions if opinion.score is None]
    if silent:
        raise SilentJudgeError(
            f"the held-out judge {held_out.judge.kind} has no opinion on {len(silent)} of "
            f"{len(opinions)} answers, first because: {silent[0].reason or silent[0].outcome}; use "
            "prompts that it can judge, or another first judge in evaluation.judges"
        )
    return [opinion.score for opinion in opinions if opinion.score is not None]


def watch(
    held_out: HeldOut, trunk: Trunk, steps: Iterable[TrainingStep], every: int
) -> Iterator[tuple[int, ScoredAnswers]]:
    """Train to the end, and yield held-out answers of the policy in between.

    Args:
        held_out: The prompts to answer.
        trunk: Holds the policy in training and the reward role.
        steps: The training.
        every: Steps between two measurements; the last step is always measured.

    Yields:
        The number of the step, and the answers after its updates.
    """
    last = 0
    for step in steps:
        last = step.step
        if "kl_bound" in step.metrics:
            continue  # best of n still draws answers, and the policy has not changed
        if last % every == 0:
            yield last, held_out.score(trunk, Role.POLICY)
    if last % every != 0:
        yield last, held_out.score(trunk, Role.POLICY)


def at_kl(curve: Curve, kl: float) -> float | None:
    """Return the value of a curve over KL at one KL, by linear interpolation; None outside of it.

    Args:
        curve: KL in nats and value of each point, in any order.
        kl: The KL.
    """
    points = sorted(curve)
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        if x <= kl <= next_x:
            return y if next_x == x else y + (next_y - y) * (kl - x) / (next_x - x)
    return None
