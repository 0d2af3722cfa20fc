"""A model revises its own answers by a constitution; the last revisions become demonstrations.

Off unless the config has `revision`. Each round is stored as it ends, so a rerun is a resume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.cycle.cycle import Cycle
from flows.cycle.estimates import CycleWork, Row
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.handover import Handover
from flows.cycle.judgements import CallMeter
from flows.cycle.ledger import StoreLedger
from flows.cycle.prompts import read_checked_prompts
from flows.cycle.quarantine import without_quarantined
from flows.cycle.revision import build_reviser
from flows.cycle.silence import MissingAnswers
from flows.cycle.stage import stage
from flows.service.gpu import take_gpu
from flows.terminal.progress import Advance, progress
from judges.language_model.choice import ModelReply
from judges.language_model.revision import Draft, Reviser
from rlhf_core.config import Config
from rlhf_core.distributed.launch import launched_world_size
from rlhf_core.models.loading import parameter_count
from rlhf_core.records import Failure, Prompt, Revision, Split
from rlhf_core.store import Store, queries

PROMPTS_AT_ONCE = 64


@cycle_flow("revise")
def revise(cycle: Cycle, prompt_set_id: str) -> str | None:
    """Add the missing revisions; return the version of the reviser, None without revision."""
    settings = cycle.config.revision
    if settings is None:
        return None
    with stage(cycle, "revise") as work:
        ledger = StoreLedger(work.store, cycle.budget, compute=cycle.config.compute)
        reviser = build_reviser(settings, ledger)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        prompts = without_quarantined(cycle, work.store, "revise", prompts)
        known = queries.revisions_by(work.store, reviser.version)
        total = sum(settings.rounds + 1 - len(known.get(prompt.id, ())) for prompt in prompts)
        if total:
            reviser.model.preflight()
        if total and settings.endpoint is None:
            take_gpu(cycle.config)
        missing = MissingAnswers("the reviser", cycle.config.judging)
        missing.add(sum(len(known.get(prompt.id, ())) for prompt in prompts), ())
        with progress("revising", total) as advance:
            ledger.on_answer = CallMeter(advance)
            revising = _Revising(work.store, reviser, settings.rounds, advance, missing)
            for start in range(0, len(prompts), PROMPTS_AT_ONCE):
                revising.complete(prompts[start : start + PROMPTS_AT_ONCE], known)
        missing.check(is_over=True)
        finished = queries.revisions_by(work.store, reviser.version)
        work.detail = {
            "reviser": reviser.version,
            "revised": sum(chain[-1].round == settings.rounds for chain in finished.values()),
            "unfinished": sum(
                prompt.id not in finished or finished[prompt.id][-1].round < settings.rounds
                for prompt in prompts
            ),
        }
        work.result = Handover(prompt_set_id=prompt_set_id, reviser=reviser.version)
        work.news = f"{total} missing"
    return reviser.version


@revise.estimator
def estimate(work: CycleWork) -> list[Row]:
    """Estimate the missing calls of the reviser."""
    settings, sizes = work.config.revision, work.sizes
    if settings is None or work.done.has_sft:
        return []
    rounds = len(work.train) * (1 + settings.rounds)
    calls = revision_calls(work.config, len(work.train)) * (rounds - work.done.revisions) // rounds
    written = calls * settings.max_new_tokens
    if settings.endpoint is not None:
        read = calls * (sizes.prompt + 2 * settings.max_new_tokens)
        return [Row("revise", "calls", calls, 0.0, settings.endpoint.cost(read, written))]
    # Rank 0 revises alone.
    share = launched_world_size() * parameter_count(settings.model) / sizes.parameters
    return [Row("revise", "calls", calls, sizes.sampling(written) * share)]


def revision_calls(config: Config, train: int | None = None) -> int:
    """Return the number of calls of the reviser: a first answer, then two calls a round.

    Args:
        config: Config of the run.
        train: Number of training prompts; None counts them.
    """
    if config.revision is None:
        return 0
    if train is None:
        train = sum(p.split is Split.TRAIN for p in read_checked_prompts(config).prompts)
    return train * (1 + 2 * config.revision.rounds)


Revised = tuple[Prompt, Revision, str | None]
"""A prompt, the revision of its round, and the reason why there is none."""


@dataclass(frozen=True)
class _Revising:
    """Brings answers through all rounds of revision, and stores each round as it ends."""

    store: Store
    reviser: Reviser
    rounds: int
    """Rounds after the first answer."""
    advance: Advance
    """Advances the progress bar."""
    missing: MissingAnswers

    def complete(self, prompts: Sequence[Prompt], known: Mapping[str, Sequence[Revision]]) -> None:
        """Add the missing rounds of some prompts; a chain that fails stops there.

        Args:
            prompts: Prompts of one batch.
            known: Stored rounds of all prompts, by prompt id.

        Raises:
            EndpointError: If too many answers are missing.
        """
        last = {prompt.id: known[prompt.id][-1] for prompt in prompts if prompt.id in known}
        for number in range(self.rounds + 1):
            due = [prompt for prompt in prompts if _round(last.get(prompt.id)) == number - 1]
            revised = self._answer(due) if number == 0 else self._revise(due, last, number)
            kept: list[Revision | Failure] = []
            for prompt, revision, reason in revised:
                if reason is not None:
                    kept.append(self._failure(prompt, reason))
                else:
                    last[prompt.id] = revision
                    kept.append(revision)
            self.store.append(kept)
            self.advance(len(due), "")
            self.missing.add(len(due), [reason for _, _, reason in revised if reason is not None])
            self.missing.check(is_over=False)

    def _failure(self, prompt: Prompt, reason: str) -> Failure:
        return Failure(
            stage="revise", subject_id=prompt.id, reason=reason, attempt=self.store.run_id
        )

    def _answer(self, prompts: Sequence[Prompt]) -> list[Revised]:
        answers = self.reviser.answer(prompts)
        return [
            (
                prompt,
                Revision(
                    prompt_id=prompt.id,
                    reviser=self.reviser.version,
                    model=self.reviser.model.options.model,
                    round=0,
                    text=answer.text or "",
                    response_ids=answer.record().response_ids,
                    cost_usd=answer.record().cost_usd,
                ),
                _reason([answer]),
            )
            for prompt, answer in zip(prompts, answers, strict=True)
        ]

    def _revise(
        self, prompts: Sequence[Prompt], last: Mapping[str, Revision], number: int
    ) -> list[Revised]:
        drafts = [Draft(prompt, last[prompt.id].text) for prompt in prompts]
        revisions = self.reviser.revise(drafts, number)
        return [
            (
                prompt,
                Revision(
                    prompt_id=prompt.id,
                    reviser=self.reviser.version,
                    model=self.reviser.model.options.model,
                    round=number,
                    parent_id=last[prompt.id].id,
                    principle=step.principle.name,
                    critique=step.critique.text,
                    text=step.revision.text or "",
                    response_ids=step.critique.record().response_ids
                    + step.revision.record().response_ids,
                    cost_usd=step.critique.record().cost_usd + step.revision.record().cost_usd,
                ),
                _reason([step.critique, step.revision]),
            )
            for prompt, step in zip(prompts, revisions, strict=True)
        ]


def _reason(replies: Sequence[ModelReply]) -> str | None:
    """Return why one of the replies is empty; None if none is."""
    for reply in replies:
        if not (reply.text or "").strip():
            return reply.record().reason or "the model wrote nothing"
    return None


def _round(revision: Revision | None) -> int:
    return revision.round if revision else -1
