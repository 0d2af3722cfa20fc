"""Estimate hours, GPUs and money of a cycle at InstructGPT's scale, for deploy/docs/scaling.md.

    python deploy/cycle_costs.py                          # the tables of that page
    python deploy/cycle_costs.py --dollars 2.2 --mfu 0.3  # with other assumptions

A forward pass takes 2 N floating-point operations a token and a training step 6 N, for N parameters
(adapters save the gradients of the base, about 2 N). Generation is memory-bound, so it is given in
tokens a second. Nothing here was measured on such a cluster.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Model:
    """A policy's size, and how it is served and trained."""

    name: str
    parameters: float
    tokens_per_second: float
    """Tokens that one GPU generates with vLLM, in large batches; its share where several GPUs hold
    one replica."""
    decode_seconds: float
    """Time that one token of a batch takes, however small the batch is."""
    replica_gpus: int
    """GPUs that hold one copy of a training: memory decides."""


@dataclass(frozen=True)
class Assumptions:
    """The scale of the data, the judge, the hardware and its price."""

    prompts: int = 31_000
    prompt_tokens: int = 300
    answer_tokens: int = 200
    episodes: int = 256_000
    batch: int = 512
    """Episodes of one PPO step (arXiv:2203.02155, appendix C.4)."""
    rows_per_gpu: int = 4
    """Fewest rows of a batch that keep a replica busy."""
    holdout: int = 3_000
    judge_parameters: float = 8e9
    question_tokens: int = 200
    """Words of the judge's question, beside the prompt and two answers."""
    peak_flops: float = 989e12
    """An H200's dense bf16 rate."""
    mfu: float = 0.4
    """Share of that rate that prefill and training reach."""
    dollars: float = 3.0
    """Price of a GPU-hour in US dollars."""
    judge_dollars: float = 0.4
    """Price of a million input tokens of a remote judge in US dollars."""


MODELS = (
    Model("1B", 1e9, 40_000, 0.006, 1),
    Model("8B", 8e9, 15_000, 0.012, 2),
    Model("70B", 70e9, 1_500, 0.025, 32),
)
CANDIDATES = (4, 9)
CLUSTERS = (8, 64, 1_000)


@dataclass(frozen=True)
class Stage:
    """The work of a stage in GPU-hours, and what keeps more GPUs from making it shorter."""

    name: str
    gpu_hours: float
    useful_gpus: float
    least_hours: float = 0.0
    """Time of the tokens that must be generated one after the other."""

    def hours(self, gpus: int) -> float:
        """Return the wall-clock hours on a cluster."""
        return max(self.gpu_hours / min(gpus, self.useful_gpus), self.least_hours)


def questions(candidates: int) -> int:
    """Return how often a pairwise judge is asked about one prompt: each pair in both orders."""
    return candidates * (candidates - 1)


def judge_tokens(a: Assumptions, candidates: int) -> float:
    """Return the tokens that a pairwise judge reads in a cycle."""
    one = a.prompt_tokens + 2 * a.answer_tokens + a.question_tokens
    return float(a.prompts * questions(candidates) * one)


def compute_hours(a: Assumptions, flops: float) -> float:
    """Return the GPU-hours of prefill or training."""
    return flops / (a.peak_flops * a.mfu) / 3600


def generation_hours(model: Model, tokens: float) -> float:
    """Return the GPU-hours of generation."""
    return tokens / model.tokens_per_second / 3600


def stages(a: Assumptions, model: Model, candidates: int) -> Iterator[Stage]:
    """Yield the stages of a cycle after the first, which also fine-tunes.

    Args:
        a: The assumptions.
        model: The policy; reward model and critic are of its size.
        candidates: Answers to each prompt, K.

    Yields:
        The stages in their order.
    """
    n, row = model.parameters, a.prompt_tokens + a.answer_tokens
    free = float("inf")  # shards that know nothing of each other
    replicas = a.batch / a.rows_per_gpu * model.replica_gpus
    drawn = a.prompts * candidates
    yield Stage("sample", generation_hours(model, drawn * a.answer_tokens), free)
    judged = judge_tokens(a, candidates)
    yield Stage("judge", compute_hours(a, 2 * a.judge_parameters * judged), free)
    yield Stage("train_reward", compute_hours(a, 6 * n * drawn * row), replicas)
    # Policy, reference, reward model and critic read each episode; policy and critic learn from it.
    learnt = compute_hours(a, (4 * 2 + 2 * 6) * n * a.episodes * row)
    rolled_out = generation_hours(model, a.episodes * a.answer_tokens)
    steps = a.episodes / a.batch
    serial = steps * a.answer_tokens * model.decode_seconds / 3600
    yield Stage("train_policy", rolled_out + learnt, replicas, serial)
    evaluated = 2 * a.holdout * (a.prompt_tokens + 2 * a.answer_tokens + a.question_tokens)
    compared = compute_hours(a, 2 * a.judge_parameters * evaluated)
    sampled = generation_hours(model, 2 * a.holdout * a.answer_tokens)
    yield Stage("evaluate", sampled + compared, free)


def work_table(a: Assumptions) -> str:
    """Return GPU-hours by stage, and the money, for each model and K."""
    lines = [
        "| model | K | sample | judge | reward | policy | evaluate | GPU-hours | US dollars |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for k in CANDIDATES:
            hours = [stage.gpu_hours for stage in stages(a, model, k)]
            total = sum(hours)
            cells = [*(f"{each:,.1f}" for each in hours), f"{total:,.0f}"]
            money = f"{total * a.dollars:,.0f}"
            lines.append(f"| {model.name} | {k} | {' | '.join(cells)} | {money} |")
    return "\n".join(lines)


def time_table(a: Assumptions, candidates: int = 4) -> str:
    """Return the wall-clock hours of a cycle on clusters of several sizes."""
    heads = " | ".join(f"{gpus:,} GPUs" for gpus in CLUSTERS)
    lines = [
        f"| model | {heads} | the policy's part of the last |",
        "|---|" + "---|" * (len(CLUSTERS) + 1),
    ]
    for model in MODELS:
        work = list(stages(a, model, candidates))
        cells = [
            "does not fit" if gpus < model.replica_gpus else _duration(cycle_hours(work, gpus))
            for gpus in CLUSTERS
        ]
        (policy,) = (stage for stage in work if stage.name == "train_policy")
        share = policy.hours(CLUSTERS[-1]) / cycle_hours(work, CLUSTERS[-1])
        lines.append(f"| {model.name} | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


def cycle_hours(work: list[Stage], gpus: int) -> float:
    """Return the wall-clock hours of stages that run one after the other."""
    return sum(stage.hours(gpus) for stage in work)


def _duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.0f} min"


def remote_judge_table(a: Assumptions) -> str:
    """Return tokens and price of a pairwise judge on somebody else's server."""
    lines = ["| K | questions | million tokens | US dollars |", "|---|---|---|---|"]
    for k in CANDIDATES:
        millions = judge_tokens(a, k) / 1e6
        asked = a.prompts * questions(k)
        lines.append(f"| {k} | {asked:,} | {millions:,.0f} | {millions * a.judge_dollars:,.0f} |")
    return "\n".join(lines)


def tables(a: Assumptions) -> tuple[str, ...]:
    """Return the tables of the page, in their order."""
    return work_table(a), time_table(a), remote_judge_table(a)


def main() -> None:
    """Print the tables, with assumptions from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Assumptions()
    for name, value in vars(default).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    print("\n\n".join(tables(replace(default, **vars(parser.parse_args())))))


if __name__ == "__main__":
    main()
