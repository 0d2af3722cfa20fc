"""Sampling the missing candidates of a batch, one shard of prompts at a time."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.silence import MissingAnswers
from flows.terminal.progress import progress
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id, seed_from
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.records import Candidate, Failure, Prompt, Record, candidate_identity
from rlhf_core.sampling.candidates import AnswerSampler, Completion, PolicySampler
from rlhf_core.sampling.sampler import LOCAL, Sampler
from rlhf_core.store import Store, queries

PROMPTS_PER_SHARD = 32
Shard = tuple[tuple[int, ...], list[Prompt]]
"""Sample indices, and the prompts that lack a candidate of each of these indices."""


def policy_sampler(
    cycle: Cycle,
    trunk: Trunk,
    role: Role,
    sampling: SamplingSettings,
    sampler: Sampler = LOCAL,
) -> AnswerSampler:
    """Return a sampler of the answers of a trunk's role; each process samples its share.

    Args:
        cycle: The cycle under way.
        trunk: A trunk that all processes opened.
        role: The role that answers.
        sampling: Temperature and length of the answers.
        sampler: Samples the tokens; made on all ranks.
    """
    drawing = on_all_ranks(PolicySampler, trunk, role, cycle.config.policy, sampling, sampler)
    return partial(on_all_ranks, drawing)  # type: ignore[call-arg]  # arguments come later


def missing_shards(
    store: Store, batch: CandidateBatch, prompts: Sequence[Prompt], count: int
) -> list[Shard]:
    """Return the shards to sample until every prompt has `count` candidates of the batch.

    Args:
        store: Store with the candidates sampled so far.
        batch: Model, sampling settings and seed of the candidates.
        prompts: Prompts to be answered.
        count: Candidates a prompt, K.
    """
    ids = {
        (prompt.id, index): content_id(
            Candidate.table,
            *candidate_identity(prompt.id, batch.model_id, batch.sampling, batch.seed, index),
        )
        for prompt in prompts
        for index in range(count)
    }
    known = queries.known_ids(store, Candidate.table, ids.values())
    by_indices: dict[tuple[int, ...], list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        indices = tuple(i for i in range(count) if ids[prompt.id, i] not in known)
        if indices:
            by_indices[indices].append(prompt)
    return [
        (indices, members[start : start + PROMPTS_PER_SHARD])
        for indices, members in by_indices.items()
        for start in range(0, len(members), PROMPTS_PER_SHARD)
    ]


def sample_shards(
    store: Store,
    sampler: AnswerSampler,
    batch: CandidateBatch,
    sampling: SamplingSettings,
    shards: Sequence[Shard],
    label: str,
    missing: MissingAnswers | None = None,
) -> int:
    """Sample the shards one after the other, and store each as it ends.

    Args:
        store: Receives candidates and failures.
        sampler: Draws the answers.
        batch: Model, sampling settings and seed of the candidates.
        sampling: Temperature and length of the answers.
        shards: The missing candidates, from `missing_shards`.
        label: Label of the progress bar.
        missing: Counts the answers that a remote model did not give; None for a local model.

    Returns:
        The number of new candidates.

    Raises:
        EndpointError: If no answer of a shard succeeded, or too many are missing.
    """
    total = sum(len(indices) * len(prompts) for indices, prompts in shards)
    added = 0
    with progress(label, total) as advance:
        for shard in shards:
            new, reasons = sample_shard(store, sampler, batch, sampling, shard)
            added += new
            advance(len(shard[0]) * len(shard[1]), "")
            if missing is not None:
                missing.add(len(shard[0]) * len(shard[1]), reasons)
                missing.check(is_over=False)
    if missing is not None:
        missing.check(is_over=True)
    return added


@task(
    name="sample shard",
    task_run_name="sample shard from {batch.model_id}",
    cache_policy=NO_CACHE,
)
def sample_shard(
    store: Store,
    sampler: AnswerSampler,
    batch: CandidateBatch,
    sampling: SamplingSettings,
    shard: Shard,
) -> tuple[int, list[str]]:
    """Sample a shard and add it in one transaction; an answer that failed is a Failure row.

    Args:
        store: Receives candidates and failures.
        sampler: Draws the answers.
        batch: Model, sampling settings and seed of the candidates.
        sampling: Temperature and length of the answers.
        shard: Sample indices, and the prompts that lack them.

    Returns:
        The number of candidates, and the reason of each failure.

    Raises:
        EndpointError: If no answer of the shard succeeded.
    """
    indices, prompts = shard
    seeds = [[seed_from(batch.seed, prompt.id, index) for index in indices] for prompt in prompts]
    completions = sampler(prompts, seeds)
    records: list[Record] = [
        _record(store, batch, sampling, prompt, index, completion)
        for prompt, row in zip(prompts, completions, strict=True)
        for index, completion in zip(indices, row, strict=True)
    ]
    store.append(records)
    failures = [record for record in records if isinstance(record, Failure)]
    if len(failures) == len(records):
        raise EndpointError(
            f"no answer of {len(records)} succeeded; the first: {failures[0].reason}"
        )
    return len(records) - len(failures), [failure.reason for failure in failures]


def _record(
    store: Store,
    batch: CandidateBatch,
    sampling: SamplingSettings,
    prompt: Prompt,
    index: int,
    completion: Completion | EndpointError,
) -> Candidate | Failure:
    if isinstance(completion, EndpointError):
        return Failure(
            stage="sample", subject_id=prompt.id, reason=str(completion), attempt=store.run_id
        )
    return Candidate(
        prompt_id=prompt.id,
        model_id=batch.model_id,
        sampling=batch.sampling,
        temperature=sampling.temperature,
        max_new_tokens=sampling.max_new_tokens,
        seed=batch.seed,
        sample_index=index,
        **vars(completion),
    )
