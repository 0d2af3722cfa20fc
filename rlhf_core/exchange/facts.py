"""From examples to facts: what an imported row is in the store.

Answers are candidates of a model of kind external, the same text of a prompt once. Labels are the
judgements of a judge of the source's name, scores those of a second version of it, and rankings
and pairs are made from both, so that views, lineage and checks see what they see of our own. Which
of two answers stands first is drawn by hash, or every label would be "first". Answers that are
labelled by themselves (kto) make pairs where a prompt has some of either label; else they prefer
nothing, and are kept to go out again.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from rlhf_core.exchange import Form
from rlhf_core.exchange.examples import UNIT, Example, Scale
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

EXTERNAL = "external"


@dataclass(frozen=True)
class Importer:
    """Writes the examples of one source as facts.

    Args:
        source: The name under which they are kept.
        form: Of all of them.
        digest: Hash of all of them; with the name, it tells this version of the source.
        holdout: Share of the prompts that are held out, by their own words.
        scale: Where the scores of the file lie, kept with the settings.
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
        """All answers of a source, whatever model wrote them."""
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
        """What says that all was written."""
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
        text, context = example.prompt.text, example.context
        # Prompts of a config are stripped when they are read: the same words, the same split.
        stripped = context.strip() if context else None
        return Prompt(
            text=text,
            context=context,
            mode=example.mode,
            reference_answers=references or example.reference_answers,
            split=split_of(text.strip(), stripped, self.holdout),
        )

    def facts(self, prompt: Prompt, examples: Sequence[Example]) -> Iterator[Record]:
        """All that rows about one prompt become; only demonstrations come several at a time."""
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

    def matched_labels(self, prompt_id: str, labels: "Labels") -> Iterator[Record]:
        """Rankings of two and their pairs, of the labelled answers to a prompt."""
        for better, worse in matched(labels):
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
        """What the row held beside words and labels."""
        messages = {
            name: words.messages
            for name, words in zip(
                ("prompt", *map(str, range(len(example.answers)))),
                (example.prompt, *example.answers),
                strict=True,
            )
            if words.messages is not None
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
        """What the row says of two answers, as a verdict on the two in a drawn order."""
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
            # Rows of one file can contradict each other, and each is a fact.
            attempt=example.hash,
        )

    def _score(
        self, candidate: Candidate, score: float, version: str, example: Example | None = None
    ) -> Judgement:
        """Of one candidate; the same score twice is one judgement but for labelled rows."""
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


def shown_to(importer: Importer, shown: Sequence[Example]) -> Prompt:
    """The prompt of demonstrations: all the answers that a file shows to it are its references."""
    return importer.prompt(shown[0], tuple(example.answers[0].text for example in shown))


Labels = dict[str, dict[bool, str]]
"""Of each answer to a prompt, the judgement that calls it desirable, undesirable, or both."""


def labelled(facts: Iterable[Record]) -> Iterator[tuple[str, bool, Judgement]]:
    """The labels among the facts of a row: the answer, the label, the judgement that it became."""
    rows = {fact.subject_id for fact in facts if isinstance(fact, ImportedRow)}
    for fact in facts:
        if isinstance(fact, Judgement) and fact.id in rows:
            yield fact.candidate_id, bool(fact.score), fact


def matched(labels: Labels) -> list[tuple[str, str]]:
    """Desirable answers to a prompt, each before an undesirable one.

    The way back from TRL's unpair_preference_dataset, as far as there is one: each answer is in at
    least one pair, and the shorter side begins again, so that a prompt with many answers makes no
    more pairs than answers. An answer that is labelled both ways is in none.
    """
    desirable = sorted(answer for answer, said in labels.items() if set(said) == {True})
    undesirable = sorted(answer for answer, said in labels.items() if set(said) == {False})
    if not desirable or not undesirable:
        return []
    return [
        (desirable[place % len(desirable)], undesirable[place % len(undesirable)])
        for place in range(max(len(desirable), len(undesirable)))
    ]


def _two_by_two(
    candidates: Sequence[Candidate], example: Example
) -> Iterator[tuple[Candidate, Candidate, float]]:
    """Every two of a ranking, with their margin."""
    for better, worse in combinations(range(len(candidates)), 2):
        yield candidates[better], candidates[worse], example.margin(better, worse)


def _drawn(one: str, other: str) -> tuple[str, str]:
    """Two candidates in the order that a hash of them draws, so that no label shows in it."""
    ordered = sorted((one, other))
    is_forward = unit_interval("order", *ordered) < 0.5
    return (ordered[0], ordered[1]) if is_forward else (ordered[1], ordered[0])


def _is_about(judgement: Judgement, one: Candidate, other: Candidate) -> bool:
    shown = {judgement.candidate_id, judgement.opponent_id or judgement.candidate_id}
    return shown <= {one.id, other.id}
