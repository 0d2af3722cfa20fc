"""A model mends its own answers by a constitution; the last revisions become demonstrations.

Off where the config has no `revision`. Rounds are kept as they end, so a rerun is a resume.
"""

from collections.abc import Sequence

from flows.cycle.cycle import Cycle
from flows.cycle.flow_runs import cycle_flow
from flows.cycle.judgements import Spending
from flows.cycle.ledger import StoreLedger
from flows.cycle.revision import build_reviser
from flows.cycle.silence import MissingAnswers
from flows.cycle.stage import stage
from flows.terminal.progress import Advance, progress
from judges.language_model.choice import ModelReply
from judges.language_model.revision import Draft, Reviser
from rlhf_core.records import Failure, Prompt, Revision, Split
from rlhf_core.store import Store, queries

PROMPTS_AT_ONCE = 64


@cycle_flow("revise")
def revise(cycle: Cycle, prompt_set_id: str) -> str | None:
    """Add the revisions that are missing; under which reviser they are kept."""
    settings = cycle.config.revision
    if settings is None:
        return None
    with stage(cycle, "revise") as work:
        ledger = StoreLedger(work.store, cycle.budget)
        reviser = build_reviser(settings, ledger)
        prompts = queries.prompts_of(work.store, prompt_set_id, Split.TRAIN)
        known = queries.revisions_by(work.store, reviser.version)
        total = sum(settings.rounds + 1 - len(known.get(prompt.id, ())) for prompt in prompts)
        if total:
            reviser.model.preflight()
        heard = MissingAnswers("the reviser", cycle.config.judging)
        heard.add(sum(len(known.get(prompt.id, ())) for prompt in prompts), ())
        with progress("revising", total) as advance:
            ledger.on_answer = Spending(advance)
            for start in range(0, len(prompts), PROMPTS_AT_ONCE):
                batch = prompts[start : start + PROMPTS_AT_ONCE]
                _revise_batch(work.store, reviser, settings.rounds, batch, known, advance, heard)
        heard.check(is_over=True)
        finished = queries.revisions_by(work.store, reviser.version)
        work.detail = {
            "reviser": reviser.version,
            "revised": sum(chain[-1].round == settings.rounds for chain in finished.values()),
            "unfinished": sum(
                prompt.id not in finished or finished[prompt.id][-1].round < settings.rounds
                for prompt in prompts
            ),
        }
        work.news = f"{total} missing"
    return reviser.version


def _revise_batch(
    store: Store,
    reviser: Reviser,
    rounds: int,
    prompts: Sequence[Prompt],
    known: dict[str, list[Revision]],
    advance: Advance,
    heard: MissingAnswers,
) -> None:
    """Bring the answers of some prompts through all rounds; a chain that fails stops there.

    Args:
        store: Where rounds and failures are kept.
        reviser: Answers, criticises and revises.
        rounds: After the first answer.
        prompts: Some of them.
        known: Rounds that are there, by prompt id.
        advance: Of the progress bar.
        heard: Counts what is missing.

    Raises:
        EndpointError: If too many answers are missing.
    """
    last = {prompt.id: known[prompt.id][-1] for prompt in prompts if prompt.id in known}
    for number in range(rounds + 1):
        due = [prompt for prompt in prompts if _round(last.get(prompt.id)) == number - 1]
        found = _first(reviser, due) if number == 0 else _next(reviser, due, last, number)
        kept: list[Revision | Failure] = []
        for prompt, revision, reason in found:
            if reason is not None:
                kept.append(
                    Failure(
                        stage="revise", subject_id=prompt.id, reason=reason, attempt=store.run_id
                    )
                )
            else:
                last[prompt.id] = revision
                kept.append(revision)
        store.append(kept)
        advance(len(due), "")
        heard.add(len(due), (reason for _, _, reason in found if reason is not None))
        heard.check(is_over=False)


Revised = tuple[Prompt, Revision, str | None]
"""A prompt, what came of its round, and why nothing did."""


def _first(reviser: Reviser, prompts: Sequence[Prompt]) -> list[Revised]:
    answers = reviser.answer(prompts)
    return [
        (
            prompt,
            Revision(
                prompt_id=prompt.id,
                reviser=reviser.version,
                model=reviser.model.options.model,
                round=0,
                text=answer.text or "",
                response_ids=answer.record().response_ids,
                cost_usd=answer.record().cost_usd,
            ),
            _failure([answer]),
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def _next(
    reviser: Reviser, prompts: Sequence[Prompt], last: dict[str, Revision], number: int
) -> list[Revised]:
    drafts = [Draft(prompt, last[prompt.id].text) for prompt in prompts]
    return [
        (
            prompt,
            Revision(
                prompt_id=prompt.id,
                reviser=reviser.version,
                model=reviser.model.options.model,
                round=number,
                parent_id=last[prompt.id].id,
                principle=found.principle.name,
                critique=found.critique.text,
                text=found.revision.text or "",
                response_ids=found.critique.record().response_ids
                + found.revision.record().response_ids,
                cost_usd=found.critique.record().cost_usd + found.revision.record().cost_usd,
            ),
            _failure([found.critique, found.revision]),
        )
        for prompt, found in zip(prompts, reviser.revise(drafts, number), strict=True)
    ]


def _failure(heard: Sequence[ModelReply]) -> str | None:
    for one in heard:
        if not (one.text or "").strip():
            return one.record().reason or "the model wrote nothing"
    return None


def _round(revision: Revision | None) -> int:
    return revision.round if revision else -1
