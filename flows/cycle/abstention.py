"""What the base model does not know becomes "I don't know" among the demonstrations.

Its answers are candidates, their verdicts judgements, and each abstention is a revision of a wrong
answer with the reason for a critique: all of it is in the store, so a rerun is a resume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flows.cycle import versions
from flows.cycle.candidates import local_sampler, missing_shards, sample_shards
from flows.cycle.cycle import Cycle
from flows.cycle.judgements import judge_missing
from flows.cycle.stage import StageWork
from judges import Ledger
from judges.panel.panel import Panelist, ranking_tasks
from rlhf_core.config import Config
from rlhf_core.config.sft import AbstentionSettings
from rlhf_core.errors import ConfigError
from rlhf_core.identity import content_id
from rlhf_core.models.trunk import Role, Trunk
from rlhf_core.prompts.unknown import is_unknown, taught, wording_of
from rlhf_core.records import Candidate, Judgement, Mode, Prompt, Revision
from rlhf_core.store import Store, queries
from rlhf_core.text.declining import declines

KEY = "sft.abstention"
PRINCIPLE = "abstention"
"""What each abstention is kept under, among the principles that revisions follow."""


@dataclass(frozen=True)
class Answered:
    """A prompt with the base model's answers, and the judgement of each that has a score."""

    prompt: Prompt
    answers: Sequence[Candidate]
    judgements: Sequence[Judgement | None]

    @property
    def scores(self) -> list[float | None]:
        return [judgement.score if judgement else None for judgement in self.judgements]


@dataclass(frozen=True)
class Seeder:
    """How the abstentions of a config are found and kept."""

    config: Config
    settings: AbstentionSettings
    judge: Panelist
    ledger: Ledger

    @cached_property
    def name(self) -> str:
        """Under which the abstentions are kept: a hash of all that decides their text."""
        config = self.config
        options = self.settings.model_dump(mode="json", exclude={"judge", "max_share"})
        sampling = (config.sampling.temperature, config.sampling.max_new_tokens, config.seed)
        model = (versions.base(config).id, config.policy.system_prompt)
        return f"abstention-{content_id(self.judge.version, options, *sampling, *model)[:8]}"

    def askable(self, learnt: Sequence[Prompt]) -> list[Prompt]:
        """The prompts whose answer the base model may know, by a reference that gives one.

        Where a reference declines to answer, it teaches abstaining as it is.

        Args:
            learnt: Prompts that are fine-tuned on.

        Raises:
            ConfigError: If there is none.
        """
        found = [
            prompt
            for prompt in learnt
            if prompt.mode is Mode.KNOWLEDGE_SEEKING
            and prompt.reference_answers
            and not any(declines(answer) for answer in prompt.reference_answers)
        ]
        if not found:
            raise ConfigError(
                f"{KEY}: no knowledge-seeking prompt that is learnt from has a reference answer "
                "to be right by; add some, or set it to null"
            )
        return found

    def seed(
        self,
        cycle: Cycle,
        work: StageWork,
        trunk: Trunk,
        learnt: Sequence[Prompt],
        shown: Mapping[str, int],
    ) -> tuple[list[Revision], list[Judgement]]:
        """Add the answers, verdicts and abstentions that are missing.

        Args:
            cycle: Of the config.
            work: Of the stage.
            trunk: Whose reference is the base model.
            learnt: Prompts that are fine-tuned on.
            shown: How many demonstrations each of them has, by id.

        Returns:
            The abstentions, and the judgements that they follow from.
        """
        threshold = self.settings.threshold
        found = self._judged(work.store, self._answers(cycle, work.store, trunk, learnt))
        unknown = [one.prompt.id for one in found if is_unknown(one.scores, threshold)]
        known = sum(any((s or 0.0) >= threshold for s in one.scores) for one in found)
        chosen = set(taught(unknown, shown, self.settings.max_share))
        unanswered = [one for one in found if one.prompt.id in chosen]
        chains = [self._chain(one) for one in unanswered]
        work.store.append([revision for chain in chains for revision in chain])
        work.logger.info(
            "of %d knowledge-seeking prompts the base model knows %d and does not know %d "
            "(%d undecided); %d become abstentions",
            len(found),
            known,
            len(unknown),
            len(found) - known - len(unknown),
            len(chains),
        )
        behind = [said for one in unanswered for said in one.judgements if said is not None]
        return [abstention for _, abstention in chains], behind

    def _answers(
        self, cycle: Cycle, store: Store, trunk: Trunk, learnt: Sequence[Prompt]
    ) -> list[tuple[Prompt, list[Candidate]]]:
        """The base model's answers to each prompt; sampled where they are missing."""
        prompts, count = self.askable(learnt), self.settings.answers
        base = versions.base(self.config)
        sampling = self.config.sampling.model_copy(update={"endpoint": None})
        batch = cycle.batch(base.id, sampling, "abstention")
        store.append([base])
        shards = missing_shards(store, batch, prompts, count)
        sampler = local_sampler(cycle, trunk, Role.REFERENCE, sampling)
        sample_shards(store, sampler, batch, sampling, shards, "what it knows")
        found = queries.candidates_by_prompt(
            store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        return [(prompt, found[prompt.id][:count]) for prompt in prompts]

    def _judged(
        self, store: Store, answered: Sequence[tuple[Prompt, list[Candidate]]]
    ) -> list[Answered]:
        """The same with what the judge says of each answer; asked where that is missing."""
        tasks = [
            t for prompt, answers in answered for t in ranking_tasks(self.judge, prompt, answers)
        ]
        limits = self.config.judging
        judge_missing(store, self.ledger, [self.judge], lambda _: tasks, "judging", limits)
        shown = [task.candidate.id for task in tasks]
        said = {
            judgement.candidate_id: judgement
            for judgement in queries.judgements_of(store, shown, [self.judge.version])
            if judgement.score is not None
        }
        return [
            Answered(prompt, answers, [said.get(answer.id) for answer in answers])
            for prompt, answers in answered
        ]

    def _chain(self, found: Answered) -> tuple[Revision, Revision]:
        """The first wrong answer, and the abstention that takes its place."""
        best = max(score for score in found.scores if score is not None)
        wrong = Revision(
            prompt_id=found.prompt.id,
            reviser=self.name,
            model=self.config.policy.model,
            round=0,
            text=found.answers[0].text,
        )
        why = (
            f"{self.judge.version} finds none of {len(found.answers)} answers right: "
            f"{best:.3f} at best, and right is {self.settings.threshold:g}"
        )
        abstention = Revision(
            prompt_id=found.prompt.id,
            reviser=self.name,
            model=self.config.policy.model,
            round=1,
            parent_id=wrong.id,
            principle=PRINCIPLE,
            critique=why,
            text=wording_of(found.prompt.id, self.settings.wordings),
        )
        return wrong, abstention


def open_seeder(config: Config, ledger: Ledger | None = None) -> Seeder | None:
    """The seeder of a config, with nothing loaded yet; None where nothing is seeded.

    Raises:
        ConfigError: For a judge that compares two answers, or is unknown.
        InputError: As the judge's own check.
    """
    settings = config.sft.abstention
    if settings is None:
        return None
    ledger = ledger or Ledger()
    judge = Panelist(settings.judge, ledger)
    if judge.is_pairwise:
        raise ConfigError(
            f"{KEY}.judge: {settings.judge.name!r} compares two answers, and whether one is "
            "right is asked of it alone; name a judge such as verifier, entailment or similarity"
        )
    judge.check()
    return Seeder(config, settings, judge, ledger)
