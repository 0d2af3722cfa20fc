"""Baselines from outside the line: answers of a file, or of a model behind a server."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from flows.cycle import versions
from flows.cycle.candidates import missing_shards, sample_shards
from flows.cycle.cycle import CandidateBatch, Cycle, evaluation_sampling
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.identity import config_hash
from flows.cycle.silence import MissingAnswers
from rlhf_core.config import Config
from rlhf_core.config.evaluation import EndpointBaseline, FileBaseline
from rlhf_core.config.tree import SamplingSettings
from rlhf_core.endpoints.budget import Budget
from rlhf_core.errors import ConfigError
from rlhf_core.files.answers import read_answers
from rlhf_core.identity import content_id, digest
from rlhf_core.records import Candidate, ModelKind, ModelVersion, Prompt
from rlhf_core.sampling.candidates import EndpointSampler
from rlhf_core.store import Store, queries

logger = logging.getLogger(__name__)

FILE = "external"
"""The finish reason of an answer that came from a file."""
NAMED = 3
"""Prompts that an error names."""
LETTERS = 60
"""Characters of each."""


def is_outside(config: Config) -> bool:
    """Return True if policies have to beat a file's or a server's answers."""
    return isinstance(config.evaluation.baseline, FileBaseline | EndpointBaseline)


def check_baseline(config: Config, prompts: Sequence[Prompt]) -> None:
    """Refuse a file that does not answer every held-out prompt.

    Args:
        config: Config of the run.
        prompts: The held-out prompts.

    Raises:
        InputError: If the file cannot be read, or prompts are missing.
    """
    if isinstance(config.evaluation.baseline, FileBaseline):
        _read(config.evaluation.baseline, prompts)


def outside_answers(
    cycle: Cycle, store: Store, prompts: Sequence[Prompt]
) -> dict[str, list[Candidate]]:
    """Return the baseline's answers by prompt id; ask a server for those that are missing.

    A file or server that gave fewer answers to a prompt than the policy repeats them. Prompts that
    a server did not answer at all are left out.

    Args:
        cycle: The cycle under way; its baseline comes from outside.
        store: Receives the answers.
        prompts: The held-out prompts.

    Raises:
        InputError: If a file does not answer every prompt.
        EndpointError: If a server does not answer, or leaves out too many.
    """
    settings, count = cycle.config.evaluation.baseline, cycle.config.evaluation.samples_per_prompt
    if isinstance(settings, FileBaseline):
        version = file_version(settings.file, config_hash(cycle.config))
        texts = _read(settings, prompts)
        answers = {prompt.id: file_candidates(version, prompt, texts) for prompt in prompts}
        store.append([version, *(each for group in answers.values() for each in group)])
    else:
        assert isinstance(settings, EndpointBaseline), "only these two come from outside"
        version = versions.endpoint(cycle.config, settings.endpoint)
        answers = _asked(cycle, store, settings, version, prompts)
    return {name: as_many(group, count) for name, group in answers.items() if group}


def file_version(path: Path, made_by: str) -> ModelVersion:
    """Return the version of a file of answers, which its name and content identify.

    Args:
        path: The file.
        made_by: Hash of the config.
    """
    return ModelVersion(
        kind=ModelKind.EXTERNAL,
        base=path.name,
        recipe="{}",
        data_hash=digest(path.read_bytes()),
        config_hash=made_by,
    )


def file_candidates(
    version: ModelVersion, prompt: Prompt, answers: Mapping[str, Sequence[str]]
) -> list[Candidate]:
    """Return the answers of a file to a prompt as candidates of the file.

    Args:
        version: Version of the file.
        prompt: The prompt.
        answers: Answers by the prompt's words.
    """
    return [
        Candidate(
            prompt_id=prompt.id,
            model_id=version.id,
            sampling=content_id(FILE, text),
            temperature=0.0,
            max_new_tokens=0,
            seed=0,
            sample_index=place,
            text=text,
            finish_reason=FILE,
            prompt_tokens=0,
            completion_tokens=0,
        )
        for place, text in enumerate(answers[prompt.instruction])
    ]


def as_many(group: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return as many answers as the policy gave, each again where there are fewer."""
    return [group[place % len(group)] for place in range(count)]


def estimate_baseline(work: CycleWork) -> list[Row]:
    """Estimate the missing answers of a server that is the baseline."""
    settings = work.config.evaluation.baseline
    if not isinstance(settings, EndpointBaseline):
        return []
    count = len(work.holdout) * work.config.evaluation.samples_per_prompt - work.done.outside
    cost = settings.endpoint.cost(work.sizes.prompt, work.sizes.answer)
    return [Row("evaluate", "answers of the baseline's server", count, cost_usd=count * cost)]


def remote_baseline(config: Config, settings: EndpointBaseline, budget: Budget) -> EndpointSampler:
    """Return the sampler of a baseline behind a server.

    Args:
        config: Config of the run.
        settings: The baseline.
        budget: Limit on the cost.
    """
    sampling, setting = _sampling(config, settings), "evaluation.baseline.endpoint"
    return EndpointSampler(
        settings.endpoint, config.policy.system_prompt, sampling, budget, setting
    )


def outside_batch(cycle: Cycle, settings: EndpointBaseline) -> CandidateBatch:
    """Return the batch of a server's answers to held-out prompts."""
    version = versions.endpoint(cycle.config, settings.endpoint)
    return cycle.batch(version.id, _sampling(cycle.config, settings), "evaluation")


def _read(settings: FileBaseline, prompts: Sequence[Prompt]) -> dict[str, list[str]]:
    answers = read_answers(
        settings.file, {str(role): name for role, name in settings.columns.items()}
    )
    missing = [prompt for prompt in prompts if prompt.instruction not in answers]
    if missing:
        named = "; ".join(repr(prompt.instruction[:LETTERS]) for prompt in missing[:NAMED])
        raise ConfigError(
            f"evaluation.baseline: {settings.file} does not answer {len(missing)} of the "
            f"{len(prompts)} held-out prompts, among them {named}; it needs an answer to each, "
            "with the prompts word for word as in prompts.path"
        )
    return answers


def _asked(
    cycle: Cycle,
    store: Store,
    settings: EndpointBaseline,
    version: ModelVersion,
    prompts: Sequence[Prompt],
) -> dict[str, list[Candidate]]:
    config, batch = cycle.config, outside_batch(cycle, settings)
    sampling, count = _sampling(config, settings), config.evaluation.samples_per_prompt
    if shards := missing_shards(store, batch, prompts, count):
        store.append([version])
        sampler = remote_baseline(config, settings, cycle.budget)
        sampler.preflight()
        missing = MissingAnswers("the server of evaluation.baseline", config.judging)
        due = sum(len(indices) * len(members) for indices, members in shards)
        missing.add(len(prompts) * count - due, ())  # the stored answers
        label = "answering as the baseline"
        sample_shards(store, sampler, batch, sampling, shards, label, missing)
    answers = queries.candidates_by_prompt(
        store, batch.model_id, batch.sampling, batch.seed, prompts
    )
    if unanswered := sum(not answers.get(prompt.id) for prompt in prompts):
        logger.warning(
            "%d held-out prompts are left out of the comparison: the server of "
            "evaluation.baseline did not answer them; a later run asks again",
            unanswered,
        )
    return answers


def _sampling(config: Config, settings: EndpointBaseline) -> SamplingSettings:
    return evaluation_sampling(config).model_copy(update={"endpoint": settings.endpoint})
