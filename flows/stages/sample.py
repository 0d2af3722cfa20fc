"""K candidates are sampled for each prompt of the training split."""

from flows.cycle import versions
from flows.cycle.candidates import local_sampler, missing_shards, sample_shards
from flows.cycle.cycle import CandidateBatch, Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.independence import refuse_judging_trainers
from flows.cycle.silence import MissingAnswers
from flows.cycle.stage import stage
from rlhf_core.distributed.collective import on_all_ranks
from rlhf_core.models.artifacts import load_role, open_trunk
from rlhf_core.models.trunk import Role
from rlhf_core.records import Split
from rlhf_core.sampling.samplers import EndpointSampler, Sampler
from rlhf_core.store import Store, queries


@cycle_flow("sample")
def sample(cycle: Cycle, prompt_set_id: str, sft_id: str) -> CandidateBatch:
    """Sample the candidates that are missing; which batch they are."""
    sampling = cycle.config.sampling
    with stage(cycle, "sample") as work:
        champion = cycle.champion(work.store, sft_id)
        refuse_judging_trainers(cycle.config, work.store, [champion] if champion else [])
        batch = cycle.own_batch(work.store, sft_id)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        shards = missing_shards(work.store, batch, prompts, sampling.candidates)
        if shards:
            sampler = _sampler(cycle, work.store, sft_id)
            heard = MissingAnswers("the remote sampler", cycle.config.judging)
            missing = sum(len(indices) * len(some) for indices, some in shards)
            heard.add(len(prompts) * sampling.candidates - missing, ())  # what is there already
            added = sample_shards(work.store, sampler, batch, sampling, shards, "sampling", heard)
            work.news = f"{added} new"
        found = queries.candidates_by_prompt(
            work.store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        work.detail = {
            "candidates": sum(map(len, found.values())),
            "from": batch.model_id,
            "seed": batch.seed,
        }
    return batch


def _sampler(cycle: Cycle, store: Store, sft_id: str) -> Sampler:
    """The model of this cycle: a remote one if configured, else the champion or the SFT model."""
    config = cycle.config
    if config.sampling.endpoint is not None:
        store.append([versions.endpoint(config)])
        sampler = EndpointSampler(
            config.sampling.endpoint, config.policy.system_prompt, config.sampling, cycle.budget
        )
        sampler.preflight()
        return sampler
    base = str(cycle.folder(sft_id))
    trunk = on_all_ranks(open_trunk, base, cycle.compute(), config.policy.lora_rank)
    champion = cycle.champion(store, sft_id)
    if champion is None:
        return local_sampler(cycle, trunk, Role.REFERENCE, config.sampling)
    on_all_ranks(load_role, trunk, Role.POLICY, cycle.folder(champion))
    return local_sampler(cycle, trunk, Role.POLICY, config.sampling)
