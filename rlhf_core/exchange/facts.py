"""Conversion of examples into facts, the records that imported rows become in the store.

Answers become candidates of a model of kind external, each text of a prompt once. Labels become
judgements by a judge named after the source, and scores those of a second version of it. Rankings
and pairs are made from both, so that views, lineage and checks treat them like our own. A hash
draws which of two answers comes first; otherwise every label would be "first". Single labelled
answers (kto) make pairs if the prompt has answers of both labels; otherwise they prefer nothing and
are kept only so that exports round-trip.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import Example
from rlhf_core.files.scales import UNIT, Scale
from rlhf_core.identity import content_id, unit_interval
from rlhf_core.records import (
    Candidate,
    ConfigVersion,
    Import,
    ImportedRow,
    Judgement,
    ModelKind,
    ModelVersion,
    Outcome,
    Pair,
    PairOutcome,
    Presented,
    Prompt,
    Ranking,
    Record,
    split_of,
)
from rlhf_core.records.conversation import opening_of, to_json

EXTERNAL = "external"


@dataclass(frozen=True)
class Importer:
    """Converts the examples of one source into facts.

    Args:
        source: Name under which the import is stored.
        form: Form of all examples.
        digest: Hash of all examples; with the name, it identifies this version of the source.
        holdout: Share of the prompts that are held out, drawn from their own words.
        scale: Range of the file's scores, stored with the settings.
    """

    source: str
    form: Form
    digest: str
    holdout: float
    scale: Scale = UNIT

    @cached_property
    def judge_version(self) -> str:
        return f"{EXTERNAL}-{content_id(EXTERNAL, self.source, self.form, self.digest)}"

    @cached_property
    def scores_version(self) -> str:
        return self.judge_version.replace(EXTERNAL, f"{EXTERNAL}-scores", 1)

    @cached_property
    def model(self) -> ModelVersion:
        """The model that stands for all answers of a source, whoever wrote them."""
        return ModelVersion(
            kind=ModelKind.EXTERNAL,
            base=self.source,
            recipe="{}",
            config_hash=self.config.config_hash,
        )

    @cached_property
    def config(self) -> ConfigVersion:
        settings = {
            "source": self.source,
            "form": self.form,
            "judge_version": self.judge_version,
            "holdout": self.holdout,
            "scale": [self.scale.low, self.scale.high],
        }
        written = json.dumps({"import": settings}, ensure_ascii=False)
        return ConfigVersion(config_hash=content_id("import", settings), config=written)

    def record(self, rows: int, left_out: int, bad: int) -> Import:
        """Return the record that marks the import as complete.

        Args:
            rows: Number of rows that are kept.
            left_out: Number of readable rows that are not kept.
            bad: Number of rows that could not be read.
        """
        return Import(
            source=self.source,
            form=self.form,
            judge_version=self.judge_version,
            model_id=self.model.id,
            config_hash=self.config.config_hash,
            rows=rows,
            left_out=left_out,
            bad=bad,
        )

    def prompt(self, example: Example, references: tuple[str, ...] = ()) -> Prompt:
        text, context, messages = example.prompt.text, example.context, example.prompt.messages
        # Prompts of a config are stripped when read, so the same words draw the same split.
        stripped = context.strip() if context else None
        opening = opening_of(messages) if messages else text
        return Prompt(
            text=text,
            context=context,
            mode=example.mode,
            reference_answers=references or example.reference_answers,
            messages=to_json(messages) if messages else None,
            few_shot=example.few_shot,
            tools=example.tools,
            rubric=example.rubric,
            split=split_of(opening.strip(), stripped, self.holdout),
        )

    def facts(self, prompt: Prompt, examples: Sequence[Example]) -> Iterator[Record]:
        """Yield the records of the rows of one prompt; only demonstrations come in groups."""
        yield prompt
        for part, example in enumerate(examples):
            if example.form == "sft":
                yield self.row(example, prompt, prompt, part)
            else:
                yield from self._of_row(prompt, example)

    def _of_row(self, prompt: Prompt, example: Example) -> Iterator[Record]:
        candidates = [self._candidate(prompt, answer.text) for answer in example.answers]
        yield from candidates
        if example.label is not None:
            label = self._score(candidates[0], float(example.label), self.judge_version, example)
            yield label
            yield self.row(example, prompt, label)
            return
        order = [self._order(example, *two) for two in _two_by_two(candidates, example)]
        scores = [
            self._score(candidate, score, self.scores_version)
            for candidate, score in zip(candidates, example.scores or (), strict=False)
        ]
        yield from (*order, *scores)
        ranking = Ranking(
            prompt_id=prompt.id,
            model_id=self.model.id,
            seed=0,
            recipe=self.judge_version,
            candidate_ids=tuple(candidate.id for candidate in candidates),
            utilities=example.utilities,
            judgement_ids=tuple(sorted(judgement.id for judgement in (*order, *scores))),
        )
        yield ranking
        pairs = list(self._pairs(example, ranking, candidates, [*order, *scores]))
        yield from pairs
        yield self.row(example, prompt, pairs[0] if example.form == "preference" else ranking)

    def label_pairs(self, prompt_id: str, labels: "Labels") -> Iterator[Record]:
        """Yield a ranking of two answers and its pair for each match of a prompt's labels."""
        for better, worse in match_labels(labels):
            behind = tuple(sorted((labels[better][True], labels[worse][False])))
            ranking = Ranking(
                prompt_id=prompt_id,
                model_id=self.model.id,
                seed=0,
                recipe=self.judge_version,
                candidate_ids=(better, worse),
                utilities=(1.0, -1.0),
                judgement_ids=behind,
            )
            left, right = _drawn(better, worse)
            yield ranking
            yield Pair(
                prompt_id=prompt_id,
                ranking_id=ranking.id,
                left_id=left,
                right_id=right,
                outcome=PairOutcome.PREFERRED,
                chosen_id=better,
                rejected_id=worse,
                margin=1.0,
                agreement=1.0,
                judgement_ids=behind,
                judge_versions=(self.judge_version,),
                config_hash=self.config.config_hash,
            )

    def row(self, example: Example, prompt: Prompt, subject: Record, part: int = 0) -> ImportedRow:
        """Return the record of the row itself, with its cells other than words and labels.

        Args:
            example: The row.
            prompt: Its prompt.
            subject: The record that the row became.
            part: Number of the row among those that became the same record, from 0.
        """
        messages = {
            str(place): answer.messages
            for place, answer in enumerate(example.answers)
            if answer.messages is not None
        }
        return ImportedRow(
            import_id=self.record(0, 0, 0).id,
            prompt_id=prompt.id,
            subject_table=subject.table,
            subject_id=subject.id,
            part=part,
            place=example.place,
            is_conversation=example.is_conversation,
            messages=json.dumps(messages, ensure_ascii=False) if messages else None,
            columns=example.columns_json,
        )

    def _candidate(self, prompt: Prompt, text: str) -> Candidate:
        return Candidate(
            prompt_id=prompt.id,
            model_id=self.model.id,
            sampling=content_id(EXTERNAL, text),
            temperature=0.0,
            max_new_tokens=0,
            seed=0,
            sample_index=0,
            text=text,
            finish_reason=EXTERNAL,
            prompt_tokens=0,
            completion_tokens=0,
        )

    def _order(
        self, example: Example, better: Candidate, worse: Candidate, margin: float
    ) -> Judgement:
        """Return the row's preference as a verdict on the two answers in a drawn order."""
        first, second = _drawn(better.id, worse.id)
        sign = 1 if first == better.id else -1
        outcomes = {1: Outcome.FIRST, -1: Outcome.SECOND}
        return Judgement(
            prompt_id=better.prompt_id,
            judge=self.source,
            judge_version=self.judge_version,
            candidate_id=first,
            opponent_id=second,
            presented=Presented.FORWARD,
            outcome=outcomes[sign] if margin else Outcome.TIE,
            probability=(1 + sign * min(1.0, margin)) / 2,
            # Rows of one file may contradict each other; each is a fact of its own.
            attempt=example.hash,
        )

    def _score(
        self, candidate: Candidate, score: float, version: str, example: Example | None = None
    ) -> Judgement:
        """Return a candidate's score; equal scores are one judgement, except for labelled rows."""
        return Judgement(
            prompt_id=candidate.prompt_id,
            judge=self.source,
            judge_version=version,
            candidate_id=candidate.id,
            outcome=Outcome.SCORED,
            score=score,
            attempt=example.hash if example else content_id(score),
        )

    def _pairs(
        self,
        example: Example,
        ranking: Ranking,
        candidates: Sequence[Candidate],
        judgements: Sequence[Judgement],
    ) -> Iterator[Pair]:
        for better, worse, margin in _two_by_two(candidates, example):
            left, right = _drawn(better.id, worse.id)
            behind = [judgement for judgement in judgements if _is_about(judgement, better, worse)]
            preferred = {
                "chosen_id": better.id,
                "rejected_id": worse.id,
                "agreement": example.agreement,
            }
            yield Pair(
                prompt_id=ranking.prompt_id,
                ranking_id=ranking.id,
                left_id=left,
                right_id=right,
                outcome=PairOutcome.PREFERRED if margin else PairOutcome.TIE,
                margin=margin,
                judgement_ids=tuple(judgement.id for judgement in behind),
                judge_versions=tuple(sorted({j.judge_version for j in behind})),
                config_hash=self.config.config_hash,
                **(preferred if margin else {}),
            )


def demonstrated_prompt(importer: Importer, shown: Sequence[Example]) -> Prompt:
    """Return the prompt of demonstrations, whose references are all answers shown for it."""
    return importer.prompt(shown[0], tuple(example.answers[0].text for example in shown))


Labels = dict[str, dict[bool, str]]
"""Ids of judgements by answer and label: True is desirable, and an answer may have both."""


def labels_among(facts: Iterable[Record]) -> Iterator[tuple[str, bool, Judgement]]:
    """Yield the labels among the facts of a row: answer id, label, judgement."""
    rows = {fact.subject_id for fact in facts if isinstance(fact, ImportedRow)}
    for fact in facts:
        if isinstance(fact, Judgement) and fact.id in rows:
            yield fact.candidate_id, bool(fact.score), fact


def match_labels(labels: Labels) -> list[tuple[str, str]]:
    """Return pairs of a desirable and an undesirable answer to a prompt.

    This inverts TRL's unpair_preference_dataset as far as possible: each answer is in at least one
    pair, and the shorter side is repeated, so that a prompt makes no more pairs than it has
    answers. An answer with both labels is in no pair.
    """
    desirable = sorted(answer for answer, given in labels.items() if set(given) == {True})
    undesirable = sorted(answer for answer, given in labels.items() if set(given) == {False})
    if not desirable or not undesirable:
        return []
    return [
        (desirable[place % len(desirable)], undesirable[place % len(undesirable)])
        for place in range(max(len(desirable), len(undesirable)))
    ]


def _two_by_two(
    candidates: Sequence[Candidate], example: Example
) -> Iterator[tuple[Candidate, Candidate, float]]:
    """Yield every two candidates of a ranking, the better first, with their margin."""
    for better, worse in combinations(range(len(candidates)), 2):
        yield candidates[better], candidates[worse], example.margin(better, worse)


def _drawn(one: str, other: str) -> tuple[str, str]:
    """Return two candidates in the order that their hash draws, so it reveals no label."""
    ordered = sorted((one, other))
    is_forward = unit_interval("order", *ordered) < 0.5
    return (ordered[0], ordered[1]) if is_forward else (ordered[1], ordered[0])


def _is_about(judgement: Judgement, one: Candidate, other: Candidate) -> bool:
    shown = {judgement.candidate_id, judgement.opponent_id or judgement.candidate_id}
    return shown <= {one.id, other.id}
