"""What each stage does and takes, in counts and seconds, before any of it is done."""

import math
from dataclasses import dataclass

from flows.cycle.abstention import build_seeder
from flows.cycle.prompts import read_checked_prompts
from flows.cycle.selection import selecting_judge
from flows.planning.done import Done
from flows.planning.speed import Speed, measure_speed
from flows.training.selection import split_for_selection
from judges.panel.judge import Workload
from judges.panel.panel import Panelist
from rlhf_core.algorithms.optimisation import step_count
from rlhf_core.config import Config
from rlhf_core.config.training import DPOSettings, OnlineSettings, PPOSettings
from rlhf_core.config.tree import rewarding_judges
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import load_tokenizer, parameter_count
from rlhf_core.records import Prompt, Split

UNEVEN = 2.0
"""Real batches are ragged where those that were timed are full: answers end early, rows differ."""


@dataclass(frozen=True)
class Row:
    """One line of the plan."""

    stage: str
    what: str
    count: int
    seconds: float = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Sizes:
    """Mean lengths in tokens, and how fast this machine works."""

    prompt: float
    answer: float
    parameters: int
    speed: Speed

    def asking(self, tokens: float, parameters: int) -> float:
        """A judge's model of that size, which one process asks alone."""
        return UNEVEN * tokens * self.speed.forward * parameters / self.parameters

    def forward(self, tokens: float) -> float:
        return UNEVEN * tokens * self.speed.forward / launched_world_size()

    def training(self, tokens: float, updates: int) -> float:
        passes = UNEVEN * tokens * self.speed.training / launched_world_size()
        return passes + updates * self.speed.update

    def sampling(self, tokens: float) -> float:
        return UNEVEN * tokens * self.speed.sampling / launched_world_size()


def revision_calls(config: Config, train: int | None = None) -> int:
    """Calls of the reviser: a first answer, then a critique and a revision a round."""
    if config.revision is None:
        return 0
    if train is None:
        train = sum(p.split is Split.TRAIN for p in read_checked_prompts(config).prompts)
    return train * (1 + 2 * config.revision.rounds)


def revision_rows(config: Config, train: list[Prompt], sizes: Sizes, done: Done) -> list[Row]:
    settings = config.revision
    if settings is None:
        return []
    rounds = len(train) * (1 + settings.rounds)
    calls = revision_calls(config, len(train)) * (rounds - done.revisions) // rounds
    written = calls * settings.max_new_tokens
    if settings.endpoint is not None:
        read = calls * (sizes.prompt + 2 * settings.max_new_tokens)
        return [Row("revise", "calls", calls, 0.0, settings.endpoint.cost(read, written))]
    # Rank 0 revises alone.
    share = launched_world_size() * parameter_count(settings.model) / sizes.parameters
    return [Row("revise", "calls", calls, sizes.sampling(written) * share)]


def sft_rows(config: Config, train: list[Prompt], sizes: Sizes) -> list[Row]:
    learnt, aside = split_for_selection(config, train)
    demonstrations = sum(bool(prompt.reference_answers) for prompt in learnt)
    demonstrations += len(learnt) if config.revision else 0
    steps = step_count(demonstrations, config.sft.prompts_per_step, config.sft.epochs)
    tokens = demonstrations * config.sft.epochs * (sizes.prompt + sizes.answer)
    # Beside revisions, each abstention takes the place of two demonstrations.
    at_most = ", at most" if config.sft.abstention and config.revision else ""
    rows = [Row("train_sft", f"optimizer steps{at_most}", steps, sizes.training(tokens, steps))]
    return [*_abstention(config, learnt, sizes), *rows, *_selection(config, len(aside), sizes)]


def _abstention(config: Config, learnt: list[Prompt], sizes: Sizes) -> list[Row]:
    """Answers of the base model, and whether they are right."""
    seeder = build_seeder(config)
    if seeder is None:
        return []
    answers = len(seeder.answerable_prompts(learnt)) * seeder.settings.answers
    seconds = sizes.sampling(answers * sizes.answer)
    return [
        Row("train_sft", "answers that show what is known", answers, seconds),
        _calls("train_sft", seeder.judge, answers, sizes),
    ]


def _selection(config: Config, aside: int, sizes: Sizes) -> list[Row]:
    """Trials of the weights: their answers, and the reward model's reading of them."""
    judge, settings = selecting_judge(config), config.sft.selection
    if judge is None or settings is None:
        return []
    answers = aside * math.ceil(config.sft.epochs / settings.every_epochs)
    load = judge.workload(sizes.prompt, sizes.answer)
    read = sizes.asking(answers * load.tokens, load.parameters)
    seconds = sizes.sampling(answers * sizes.answer) + read
    return [Row("train_sft", "answers to choose by", answers, seconds)]


def candidates_rows(
    config: Config, train: list[Prompt], panel: list[Panelist], sizes: Sizes, done: Done
) -> list[Row]:
    count = len(train) * config.sampling.candidates - done.candidates
    endpoint = config.sampling.endpoint
    cost = 0.0
    if endpoint is not None:
        cost = count * endpoint.cost(sizes.prompt, sizes.answer)
    seconds = 0.0 if endpoint else sizes.sampling(count * sizes.answer)
    rows = [Row("sample", "candidates", count, seconds, cost)]
    for panelist in panel:
        judged = [prompt for prompt in train if prompt.mode in panelist.settings.modes]
        calls = len(judged) * panelist.calls(config.sampling.candidates)
        calls -= done.judged.get(panelist.version, 0)
        rows.append(_calls("judge", panelist, calls, sizes))
    return rows


def reward_model_rows(config: Config, ranked: int, sizes: Sizes) -> list[Row]:
    """Return the steps on all rankings; imported ones count as long as the run's own."""
    settings = config.reward_model
    steps = step_count(ranked, settings.prompts_per_step, settings.epochs)
    row_tokens = sizes.prompt + config.sampling.candidates * sizes.answer
    tokens = ranked * settings.epochs * row_tokens
    return [Row("train_reward", "optimizer steps, at most", steps, sizes.training(tokens, steps))]


def policy_rows(config: Config, train: list[Prompt], ranked: int, sizes: Sizes) -> list[Row]:
    settings = config.training
    if isinstance(settings, OnlineSettings):
        return _online(settings, sizes)
    if isinstance(settings, DPOSettings):
        updates = step_count(ranked, settings.prompts_per_step, settings.epochs)
        row = sizes.prompt + config.sampling.candidates * sizes.answer
        learnt = sizes.training(ranked * settings.epochs * row, updates)
        observed = sizes.forward(ranked * settings.epochs * row)  # by the reference
        return [Row("train_policy", "optimizer steps, at most", updates, learnt + observed)]
    updates = step_count(len(train), settings.prompts_per_step, settings.epochs)
    row = sizes.prompt + sizes.answer
    drawn = len(train) * settings.n
    scored = sizes.forward(len(train) * sizes.prompt + drawn * sizes.answer)
    return [
        Row("train_policy", "answers", drawn, sizes.sampling(drawn * sizes.answer) + scored),
        Row(
            "train_policy",
            "optimizer steps",
            updates,
            sizes.training(len(train) * settings.epochs * row, updates),
        ),
    ]


def _online(settings: OnlineSettings, sizes: Sizes) -> list[Row]:
    prompts = settings.steps * settings.prompts_per_step
    rollouts = prompts * settings.samples_per_prompt
    tokens = prompts * sizes.prompt + rollouts * sizes.answer
    with_critic = isinstance(settings, PPOSettings) and settings.critic == "separate"
    observed = (3 + with_critic) * sizes.forward(tokens)  # policy, reference, reward model, critic
    updates = settings.steps * settings.epochs * settings.minibatches
    texts = updates * settings.ptx.examples if settings.ptx else 0
    updated = (1 + with_critic) * sizes.training(settings.epochs * tokens, updates)
    updated += sizes.training(texts * (sizes.prompt + sizes.answer), 0)
    return [
        Row("train_policy", "rollouts", rollouts, sizes.sampling(rollouts * sizes.answer)),
        Row("train_policy", "optimizer steps", updates, observed + updated),
    ]


def rewards_rows(config: Config, train: int, sizes: Sizes) -> list[Row]:
    """Calls of the judges that are part of the reward."""
    settings = config.training
    if isinstance(settings, OnlineSettings):
        calls = settings.steps * settings.prompts_per_step * settings.samples_per_prompt
    else:
        calls = 0 if isinstance(settings, DPOSettings) else train * settings.n
    judges = [Panelist(judge) for judge in rewarding_judges(settings)]
    return [_calls("train_policy", judge, calls, sizes) for judge in judges]


def evaluation_rows(
    config: Config, holdout: list[Prompt], judges: list[Panelist], sizes: Sizes, done: Done
) -> list[Row]:
    samples = config.evaluation.samples_per_prompt
    answers = 2 * len(holdout) * samples - done.answers
    rows = [Row("evaluate", "answers", answers, sizes.sampling(answers * sizes.answer))]
    for panelist in judges:
        judged = [prompt for prompt in holdout if prompt.mode in panelist.settings.modes]
        calls = len(judged) * samples * panelist.calls(2)
        rows.append(
            _calls("evaluate", panelist, calls - done.evaluated.get(panelist.version, 0), sizes)
        )
    return rows


def _calls(stage: str, panelist: Panelist, calls: int, sizes: Sizes) -> Row:
    load: Workload = panelist.workload(sizes.prompt, sizes.answer)
    size = load.parameters or sizes.parameters
    seconds = sizes.asking(calls * load.tokens, size) if load.tokens else 0.0
    name = f"judgements by {panelist.settings.name}"
    return Row(stage, name, calls, seconds, calls * load.cost_usd)


def measure_sizes(config: Config, prompts: list[Prompt], compute: Compute) -> Sizes:
    chat = ChatFormat(load_tokenizer(config.policy.model), config.policy.system_prompt)
    lengths = [len(chat.prompt_ids(prompt.instruction)) for prompt in prompts]
    answers = [
        min(len(chat.answer_ids(text)), config.sampling.max_new_tokens)
        for prompt in prompts
        for text in prompt.reference_answers
    ]
    return Sizes(
        prompt=sum(lengths) / len(lengths),
        answer=sum(answers) / len(answers) if answers else config.sampling.max_new_tokens / 2,
        parameters=parameter_count(config.policy.model),
        speed=measure_speed(config.policy.model, compute, config.policy.lora_rank),
    )
