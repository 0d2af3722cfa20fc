"""Demonstrations that say "I don't know" to questions that the base model gets wrong.

The base model's answers are candidates, their verdicts are judgements, and each abstention is a
revision of a wrong answer, with the reason as its critique. All of it is in the store, so a rerun
is a resume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from flows.cycle import versions
from flows.cycle.candidates import missing_shards, policy_sampler, sample_shards
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
from rlhf_core.prompts.unknown import choose_abstentions, draw_wording, is_unknown
from rlhf_core.records import Candidate, Judgement, Mode, Prompt, Revision
from rlhf_core.sampling.sampler import LOCAL, Sampler
from rlhf_core.store import Store, queries
from rlhf_core.text.declining import declines

KEY = "sft.abstention"
PRINCIPLE = "abstention"
"""The principle that the store names for each abstention."""


@dataclass(frozen=True)
class AnsweredPrompt:
    """A prompt with the base model's answers; each has its judgement, or None without a score."""

    prompt: Prompt
    answers: Sequence[Candidate]
    judgements: Sequence[Judgement | None]

    @property
    def scores(self) -> list[float | None]:
        return [judgement.score if judgement else None for judgement in self.judgements]


@dataclass(frozen=True)
class Seeder:
    """Finds the questions that the base model gets wrong, and stores an abstention for each."""

    config: Config
    settings: AbstentionSettings
    judge: Panelist
    ledger: Ledger

    @cached_property
    def name(self) -> str:
        """The reviser that the store names for the abstentions: a hash of all that decides them."""
        config = self.config
        options = self.settings.model_dump(mode="json", exclude={"judge", "max_share"})
        sampling = (config.sampling.temperature, config.sampling.max_new_tokens, config.seed)
        engine = config.sampling.engine.of_base.kind
        engines = () if engine == "local" else (engine,)
        policy = config.policy
        model = (versions.base(config).id, policy.system_prompt, *policy.template_changes())
        return (
            f"abstention-{content_id(self.judge.version, options, *sampling, *model, *engines)[:8]}"
        )

    def answerable_prompts(self, learnt: Sequence[Prompt]) -> list[Prompt]:
        """Return the knowledge-seeking prompts whose reference gives an answer.

        A reference that declines to answer teaches abstention as it is.

        Args:
            learnt: Prompts of the fine-tuning.

        Raises:
            ConfigError: If there is none.
        """
        answerable = [
            prompt
            for prompt in learnt
            if prompt.mode is Mode.KNOWLEDGE_SEEKING
            and prompt.reference_answers
            and not any(declines(answer) for answer in prompt.reference_answers)
        ]
        if not answerable:
            raise ConfigError(
                f"{KEY}: no knowledge-seeking prompt of the training split has a reference answer "
                "to judge by; add some, or set it to null"
            )
        return answerable

    def seed(
        self,
        cycle: Cycle,
        work: StageWork,
        trunk: Trunk,
        learnt: Sequence[Prompt],
        shown: Mapping[str, int],
        sampler: Sampler = LOCAL,
    ) -> tuple[list[Revision], list[Judgement]]:
        """Add the answers, verdicts and abstentions that are missing.

        Args:
            cycle: The cycle under way.
            work: The store and the logger of the stage.
            trunk: A trunk whose reference role is the base model.
            learnt: Prompts of the fine-tuning.
            shown: Number of demonstrations of each prompt, by id.
            sampler: Samples the tokens of the base model's answers.

        Returns:
            The abstentions, and the judgements that they follow from.
        """
        threshold = self.settings.threshold
        sampled = self._sample(cycle, work.store, trunk, learnt, sampler)
        answered = self._judge(work.store, sampled)
        unknown = [each.prompt.id for each in answered if is_unknown(each.scores, threshold)]
        known = sum(any((s or 0.0) >= threshold for s in each.scores) for each in answered)
        chosen = set(choose_abstentions(unknown, shown, self.settings.max_share))
        unanswered = [each for each in answered if each.prompt.id in chosen]
        chains = [self._chain(each) for each in unanswered]
        work.store.append([revision for chain in chains for revision in chain])
        work.logger.info(
            "of %d knowledge-seeking prompts the base model knows %d and does not know %d "
            "(%d undecided); %d become abstentions",
            len(answered),
            known,
            len(unknown),
            len(answered) - known - len(unknown),
            len(chains),
        )
        reasons = [judgement for each in unanswered for judgement in each.judgements if judgement]
        return [abstention for _, abstention in chains], reasons

    def _sample(
        self,
        cycle: Cycle,
        store: Store,
        trunk: Trunk,
        learnt: Sequence[Prompt],
        sampler: Sampler,
    ) -> list[tuple[Prompt, list[Candidate]]]:
        """Return the base model's answers to each prompt; sample those that are missing."""
        prompts, count = self.answerable_prompts(learnt), self.settings.answers
        base = versions.base(self.config)
        changes = {"endpoint": None, "engine": self.config.sampling.engine.of_base}
        sampling = self.config.sampling.model_copy(update=changes)
        batch = cycle.batch(base.id, sampling, "abstention")
        store.append([base])
        shards = missing_shards(store, batch, prompts, count)
        answering = policy_sampler(cycle, trunk, Role.REFERENCE, sampling, sampler)
        sample_shards(store, answering, batch, sampling, shards, "what it knows")
        answers = queries.candidates_by_prompt(
            store, batch.model_id, batch.sampling, batch.seed, prompts
        )
        return [(prompt, answers[prompt.id][:count]) for prompt in prompts]

    def _judge(
        self, store: Store, answered: Sequence[tuple[Prompt, list[Candidate]]]
    ) -> list[AnsweredPrompt]:
        """Judge the answers that have no judgement yet; return each answer with its judgement."""
        tasks = [
            t for prompt, answers in answered for t in ranking_tasks(self.judge, prompt, answers)
        ]
        limits = self.config.judging
        judge_missing(store, self.ledger, [self.judge], lambda _: tasks, "judging", limits)
        ids = [task.candidate.id for task in tasks]
        judgements = {
            judgement.candidate_id: judgement
            for judgement in queries.judgements_of(store, ids, [self.judge.version])
            if judgement.score is not None
        }
        return [
            AnsweredPrompt(prompt, answers, [judgements.get(answer.id) for answer in answers])
            for prompt, answers in answered
        ]

    def _chain(self, answered: AnsweredPrompt) -> tuple[Revision, Revision]:
        """Return the first wrong answer, and the abstention that takes its place."""
        best = max(score for score in answered.scores if score is not None)
        wrong = Revision(
            prompt_id=answered.prompt.id,
            reviser=self.name,
            model=self.config.policy.model,
            round=0,
            text=answered.answers[0].text,
        )
        why = (
            f"{self.judge.version} finds none of {len(answered.answers)} answers right: "
            f"{best:.3f} at best, and right is {self.settings.threshold:g}"
        )
        abstention = Revision(
            prompt_id=answered.prompt.id,
            reviser=self.name,
            model=self.config.policy.model,
            round=1,
            parent_id=wrong.id,
            principle=PRINCIPLE,
            critique=why,
            text=draw_wording(answered.prompt.id, self.settings.wordings),
        )
        return wrong, abstention


def build_seeder(config: Config, ledger: Ledger | None = None) -> Seeder | None:
    """Return the seeder of a config, before any model is loaded; None if the config seeds nothing.

    Raises:
        ConfigError: If the judge compares two answers, or is unknown.
        InputError: If the judge's own check fails.
    """
    settings = config.sft.abstention
    if settings is None:
        return None
    ledger = ledger or Ledger()
    judge = Panelist(settings.judge, ledger)
    if judge.is_pairwise:
        raise ConfigError(
            f"{KEY}.judge: {settings.judge.name!r} compares two answers, and here "
            "each is judged alone; name a judge such as verifier, entailment or similarity"
        )
    judge.check()
    return Seeder(config, settings, judge, ledger)
