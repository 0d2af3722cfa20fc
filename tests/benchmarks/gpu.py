"""Training and rolling out on a GPU against what its hardware can do at most.

MFU is the share of the peak bf16 rate that went into operations that had to be done (flops.py says
which). Models have random weights: how fast they are does not depend on what they know.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from accelerate.utils.memory import clear_device_cache
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from rlhf_core.algorithms.online import ADAM_EPS, add_critic
from rlhf_core.algorithms.optimisation import Updater
from rlhf_core.algorithms.policy_update import OnlineTraining, Targets, minibatch_plan, update
from rlhf_core.algorithms.rankings import RankedCandidates
from rlhf_core.algorithms.reward_model import train_reward_model
from rlhf_core.algorithms.rollouts import Rollout, collect_experience
from rlhf_core.config.training import PPOSettings
from rlhf_core.config.tree import RewardModelSettings, SamplingSettings
from rlhf_core.models.artifacts import new_roles
from rlhf_core.models.device import Compute
from rlhf_core.models.kernels.attention import attention_implementation
from rlhf_core.models.loading import load_tokenizer
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.sampling.local import Sample, SamplingLimits, sample
from tests.benchmarks.flops import Row, forward_flops, sampling_bytes, size_of, training_flops
from tests.benchmarks.hardware import Peak, peak_of
from tests.benchmarks.ratio import REPEATS, seconds
from tests.benchmarks.result import NotHereError, Result, alone, compare

RANK, TOKENS_AT_ONCE, WARM_UP = 16, 32_768, 2
UNMOVED = 1e-12
"""A learning rate at which every turn updates the same policy."""
REWARD_MODEL_GOAL, PPO_GOAL, ROLLOUT_GOAL = 0.45, 0.40, 0.5
FIRST_WORD = 3
"""Tokens below are special."""
PPO = PPOSettings(samples_per_prompt=4, learning_rate=UNMOVED)


@dataclass(frozen=True)
class Load:
    """What a step works on. Lengths are equal, so that padding has no part in it."""

    prompts: int
    answers: int
    """To each prompt."""
    prompt_tokens: int
    answer_tokens: int

    @property
    def rows(self) -> list[Row]:
        return [Row(self.prompt_tokens, (self.answer_tokens,) * self.answers)] * self.prompts


@dataclass(frozen=True)
class Work:
    """What is timed, how many tokens it is, and the time that the hardware takes at least."""

    name: str
    step: Callable[[], object]
    tokens: int
    least_seconds: Callable[[Peak], float]
    bound: str
    goal: float


LOAD = Load(prompts=64, answers=4, prompt_tokens=512, answer_tokens=128)
MODELS = {
    "SmolLM2-135M's shape": LlamaConfig(
        vocab_size=49_152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        tie_word_embeddings=True,
    ),
    "Llama-3.2-1B's shape": LlamaConfig(
        vocab_size=128_256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=64,
        tie_word_embeddings=True,
    ),
}


def run(compute: Compute) -> list[Result]:
    """The reward model's step, PPO's update and rolling out, for each model.

    Raises:
        NotHereError: Without a GPU that multiplies bf16.
    """
    if compute.device.type != "cuda" or compute.dtype != torch.bfloat16:
        raise NotHereError(f"needs a CUDA GPU that multiplies bf16, and this is {compute}")
    device = torch.cuda.get_device_name(compute.device)
    return [
        result
        for model, config in MODELS.items()
        for result in measured(model, config, LOAD, compute, device, peak_of(device))
    ]


def measured(
    model: str, config: LlamaConfig, load: Load, compute: Compute, device: str, peak: Peak | None
) -> Iterator[Result]:
    """What came of each work on that model.

    Args:
        model: Its name in the results.
        config: Of its weights.
        load: What a step works on.
        compute: Where.
        device: Its name in the results.
        peak: What it can do; None where that is not known.
    """
    trunk = random_trunk(config, compute.with_microbatches_of(TOKENS_AT_ONCE))
    for prepare in (reward_model_step, experience, ppo_update, rollout):
        if compute.device.type == "cuda":
            clear_device_cache(garbage_collection=True)
            torch.cuda.reset_peak_memory_stats(compute.device)
        yield _timed(prepare(trunk, load), model, compute.device, device, peak)


def _timed(work: Work, model: str, on: torch.device, device: str, peak: Peak | None) -> Result:
    for _ in range(WARM_UP):
        work.step()
    rates = [work.tokens / seconds(work.step) for _ in range(REPEATS)]
    peak_gb = torch.cuda.max_memory_allocated(on) / 1e9 if on.type == "cuda" else None
    detail, unit = f"{work.name}, {model}", "tokens a second"
    if peak is None:
        detail += f"; MFU left out, for the peaks of {device!r} are not known"
        return alone("gpu", rates, unit, detail, peak_gb)
    at_peak = work.tokens / work.least_seconds(peak)
    return compare(
        "gpu",
        [(rate, at_peak) for rate in rates],
        unit,
        f"{device}: {work.bound}",
        work.goal,
        peaks_gb=(peak_gb, None),
        detail=detail,
        higher_is_better=True,
    )


def reward_model_step(trunk: Trunk, load: Load, turns: int = WARM_UP + REPEATS) -> Work:
    """One optimizer step, its K-wise losses included.

    Args:
        trunk: Gets a new reward role.
        load: What the step works on.
        turns: How often it can be taken.
    """
    preferences = torch.ones(load.answers, load.answers).triu(diagonal=1)
    rankings = [
        RankedCandidates(
            tuple(
                TokenSequence(prompt, words(trunk, load.answer_tokens)) for _ in range(load.answers)
            ),
            preferences,
        )
        for prompt in _prompts(trunk, load)
    ]
    settings = RewardModelSettings(prompts_per_step=load.prompts, epochs=1 + turns)
    if Role.REWARD in trunk.heads:
        add_roles(trunk)
        trunk.remove_role(Role.REWARD)
    steps = train_reward_model(trunk, rankings, settings, seed=1)
    next(steps)  # adds the role
    flops = training_flops(size_of(trunk, Role.REWARD), load.rows, reads_logprobs=False)
    return _of_all_tokens(
        "reward model's step", lambda: next(steps), load, flops, REWARD_MODEL_GOAL
    )


def experience(trunk: Trunk, load: Load) -> Work:
    """Return what PPO reads of its answers before an update: policy, reference and critic.

    Args:
        trunk: Gets the roles that it lacks.
        load: What the pass works on.
    """
    add_roles(trunk)
    rollouts = _rollouts(trunk, load)
    plan = minibatch_plan(rollouts, PPO.minibatches)
    step = partial(collect_experience, trunk, rollouts, plan, temperature=1.0)
    flops = sum(
        forward_flops(size_of(trunk, role), load.rows, reads_logprobs=role is not Role.CRITIC)
        for role in (Role.POLICY, Role.REFERENCE, Role.CRITIC)
    )
    return _of_all_tokens("PPO's experience", step, load, flops, REWARD_MODEL_GOAL)


def ppo_update(trunk: Trunk, load: Load, turns: int = WARM_UP + REPEATS) -> Work:
    """Return one epoch over answers that are there, with a critic of its own adapter.

    Args:
        trunk: Gets the roles that it lacks.
        load: What the update works on.
        turns: How often it is made.
    """
    add_roles(trunk)
    rollouts = _rollouts(trunk, load)
    plan = minibatch_plan(rollouts, PPO.minibatches)
    seen = collect_experience(trunk, rollouts, plan, temperature=1.0)
    targets = Targets(torch.randn(seen.mask.shape), torch.randn(seen.mask.shape))
    updaters = {
        role: Updater(trunk.parameters(role), UNMOVED, PPO.minibatches * turns, eps=ADAM_EPS)
        for role in (Role.POLICY, Role.CRITIC)
    }
    training = OnlineTraining(trunk, PPO, SamplingSettings(), updaters, None, PPO.kl.coefficient)
    flops = sum(
        training_flops(size_of(trunk, role), load.rows, reads_logprobs=role is Role.POLICY)
        for role in updaters
    )
    step = partial(update, training, plan, seen, targets)
    return _of_all_tokens("PPO's update", step, load, flops, PPO_GOAL)


def rollout(trunk: Trunk, load: Load, role: Role = Role.POLICY, tokens: int | None = None) -> Work:
    """Return the drawing of all answers, reading the prompts included.

    Args:
        trunk: Gets the roles that it lacks.
        load: What is drawn.
        role: Who answers.
        tokens: Budget of the batch, as in `sample`; None draws all answers in one.
    """
    add_roles(trunk)
    size, item = size_of(trunk, role), trunk.compute.dtype.itemsize
    read = sampling_bytes(size, load.rows, item)
    return Work(
        "rolling out",
        partial(draw_answers, trunk, _prompts(trunk, load), load, role, tokens),
        load.prompts * load.answers * load.answer_tokens,
        lambda peak: read / peak.bandwidth,
        "memory bandwidth",
        ROLLOUT_GOAL,
    )


def add_roles(trunk: Trunk) -> None:
    """Add the roles of PPO that a trunk lacks."""
    if Role.REWARD not in trunk.heads:
        trunk.add_role(Role.REWARD, seed=1)
    if Role.CRITIC not in trunk.heads:
        trunk.add_role(Role.POLICY, seed=1)
        add_critic(trunk, PPO)


def random_trunk(config: LlamaConfig, compute: Compute, rank: int | None = RANK) -> Trunk:
    """Return a trunk of random weights, made on the device itself.

    Args:
        config: Of the model.
        compute: Where, and how large a micro-batch is.
        rank: LoRA rank of each role; None gives each role full parameters.
    """

    def new(dtype: torch.dtype) -> PreTrainedModel:
        with torch.device(compute.device):
            model = AutoModelForCausalLM.from_config(
                config,
                dtype=dtype,
                attn_implementation=attention_implementation(compute.device, compute.attention),
            )
        return model.eval()

    # Of the tokenizer no more than its special tokens is used.
    tokenizer = load_tokenizer("tiny-random")
    return Trunk(new_roles(new, compute, rank), tokenizer, compute)


def draw_answers(
    trunk: Trunk,
    prompts: Sequence[tuple[int, ...]],
    load: Load,
    role: Role = Role.POLICY,
    tokens: int | None = None,
) -> list[list[Sample]]:
    """Return answers of full length, for no token ends them.

    Args:
        trunk: Holds the role.
        prompts: Tokens of each prompt.
        load: How many answers, how long.
        role: Who answers.
        tokens: Budget of the batch, as in `sample`; None draws all answers in one.
    """
    limits = SamplingLimits(load.answer_tokens, 1.0, end_ids=frozenset(), pad_id=trunk.pad_id)
    seeds = [list(range(load.answers))] * len(prompts)
    room = load.prompts * load.answers * (load.prompt_tokens + load.answer_tokens)
    with trunk.acting_as(role) as model, trunk.compute.autocast():
        return sample(model, prompts, seeds, limits, room if tokens is None else tokens)


def _of_all_tokens(
    name: str, step: Callable[[], object], load: Load, flops: int, goal: float
) -> Work:
    tokens = sum(row.tokens for row in load.rows)
    return Work(
        name, step, tokens, lambda peak: flops / peak.flops, "bf16 peak, ratio is MFU", goal
    )


def _rollouts(trunk: Trunk, load: Load) -> list[Rollout]:
    """Return answers of random tokens, which random weights find about equally likely."""
    even = (-math.log(trunk.language_model.config.vocab_size),) * load.answer_tokens
    return [
        Rollout(number, TokenSequence(prompt, words(trunk, load.answer_tokens)), "", even, "length")
        for number, prompt in enumerate(_prompts(trunk, load))
        for _ in range(load.answers)
    ]


def _prompts(trunk: Trunk, load: Load) -> list[tuple[int, ...]]:
    return [words(trunk, load.prompt_tokens) for _ in range(load.prompts)]


def words(trunk: Trunk, length: int) -> tuple[int, ...]:
    vocabulary = trunk.language_model.config.vocab_size
    return tuple(torch.randint(FIRST_WORD, vocabulary, (length,)).tolist())
