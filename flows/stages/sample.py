"""K candidates are sampled for each prompt of the training split."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.cycle import versions
from flows.cycle.candidates import missing_shards, policy_sampler, sample_shards
from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.engine import open_engine
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.quarantine import without_quarantined
from flows.cycle.silence import MissingAnswers
from flows.cycle.stage import stage
from flows.service.gpu import take_gpu
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.lora_shape import trained_lora
from rlhf_core.models.trunk import Role
from rlhf_core.records import Split
from rlhf_core.sampling.candidates import AnswerSampler, EndpointSampler
from rlhf_core.store import Store, queries


@cycle_flow("sample")
def sample(cycle: Cycle, prompt_set_id: str, sft_id: str) -> CandidateBatch:
    """Sample the missing candidates of this cycle.

    Args:
        cycle: The cycle under way.
        prompt_set_id: Prompt set of the cycle.
        sft_id: SFT model of the line.

    Returns:
        The batch of all candidates of this cycle.
    """
    sampling = cycle.config.sampling
    with stage(cycle, "sample") as work:
        champion = cycle.champion(work.store, sft_id)
        refuse_judging_trainers(cycle.config, work.store, [champion] if champion else [])
        batch = cycle.own_batch(work.store, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        asked = without_quarantined(cycle, work.store, "sample", prompts)
        shards = missing_shards(work.store, batch, asked, sampling.candidates)
        if shards:
            missing = MissingAnswers("the remote sampler", cycle.config.judging)
            due = sum(len(indices) * len(members) for indices, members in shards)
            missing.add(len(asked) * sampling.candidates - due, ())  # the stored candidates
            with _sampler(cycle, work.store, sft_id) as sampler:
                added = sample_shards(
                    work.store, sampler, batch, sampling, shards, "sampling", missing
                )
            work.news = f"{added} new"
        candidates = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        work.detail = {
            "candidates": sum(map(len, candidates.values())),
            "from": batch.model_id,
            "seed": batch.seed,
        }
        work.result = Handover(prompt_set_id=prompt_set_id, sft_id=sft_id, batch=batch)
    return batch


@sample.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the missing candidates."""
    sampling, sizes = work.config.sampling, work.sizes
    count = len(work.train) * sampling.candidates - work.done.candidates
    if sampling.endpoint is not None:
        cost = count * sampling.endpoint.cost(sizes.prompt, sizes.answer)
        return [Row("sample", "candidates", count, cost_usd=cost)]
    return [Row("sample", "candidates", count, sizes.sampling(count * sizes.answer))]


@contextmanager
def _sampler(cycle: Cycle, store: Store, sft_id: str) -> Iterator[AnswerSampler]:
    """Yield the sampler of this cycle: a remote model, else the champion or the SFT model."""
    config = cycle.config
    if config.sampling.endpoint is not None:
        store.append([versions.endpoint(config, config.sampling.endpoint)])
        sampler = EndpointSampler(
            config.sampling.endpoint, config.policy.system_prompt, config.sampling, cycle.budget
        )
        sampler.preflight()
        yield sampler
        return
    take_gpu(config)
    base = str(cycle.folder(sft_id))
    trunk = on_all_ranks(open_trunk, base, cycle.compute(), trained_lora(config.policy))
    champion, role = cycle.champion(store, sft_id), Role.REFERENCE
    if champion is not None:
        role = Role.POLICY
        on_all_ranks(load_role, trunk, role, cycle.folder(champion))
    with open_engine(cycle, sft_id) as engine:
        yield policy_sampler(cycle, trunk, role, config.sampling, engine)
