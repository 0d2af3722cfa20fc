"""An entailment model compares the answer with the reference or given text, by sentence."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Literal

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.base import ASIDE, PositiveInt
from rlhf_core.encoders.pair_encoder import PairEncoder, check_pair_encoder, fingerprint
from rlhf_core.encoders.sentence_encoder import TwoTexts
from rlhf_core.files.text_pairs import PairTask
from rlhf_core.models.device import choose_compute
from rlhf_core.text.sentences import chunks, split_sentences

ENCODER_PARAMETERS = 22_000_000
"""Size of the default base model, for the plan."""


class EntailmentOptions(Settings):
    model: str
    """Folder written by `solon judges train cross_encoder`, or a folder or hub id of an NLI model:
    a sequence classifier with an output called entailment."""
    premise: Literal["reference", "context"] = "reference"
    """The text to compare the answer with: the reference answers or the given text."""
    direction: Literal["answer_follows", "premise_follows", "both"] = "answer_follows"
    """answer_follows: the answer adds no fact; premise_follows: it omits none; both: the lower of
    the two, so that only the same meaning scores high."""
    aggregate: Literal["mean", "min"] = "mean"
    """Combines the scores of a text's sentences into one number."""
    chunk_tokens: PositiveInt = 350
    """Most tokens of a chunk of a long premise."""
    batch_size: Annotated[PositiveInt, ASIDE] = 32
    """Pairs per batch."""


class EntailmentJudge(PointwiseJudge[EntailmentOptions]):
    """Scores each sentence by its best chunk, then aggregates (arXiv:2305.16739, section 3.3)."""

    Options = EntailmentOptions
    code = "1"

    def fixed_text(self) -> str:
        return fingerprint(self.options.model)

    def check(self) -> None:
        check_pair_encoder(self.options.model, PairTask.ENTAILMENT)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        premise = prompt_tokens if self.options.premise == "context" else answer_tokens
        reads = 2 if self.options.direction == "both" else 1
        return Workload(tokens=reads * (premise + answer_tokens), parameters=ENCODER_PARAMETERS)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        wanted = {
            (premise, hypothesis)
            for answer in answers
            for text in self._premises(answer)
            for premise, hypothesis in self._directions(text, answer.text).values()
        }
        grids = {pair: self._grid(*pair) for pair in sorted(wanted)}
        pairs = sorted({pair for grid in grids.values() for row in grid for pair in row})
        entailed = self._encoder.probabilities(PairTask.ENTAILMENT, pairs) if pairs else {}
        scores = {pair: self._follows(grid, entailed) for pair, grid in grids.items()}
        return [self._opinion(answer, scores) for answer in answers]

    def _opinion(self, answer: Answer, scores: dict[TwoTexts, float]) -> Opinion:
        premises = self._premises(answer)
        if not premises:
            return abstains(f"the prompt has no {self._premise_name}")
        if not answer.text.strip():
            return abstains("the answer is empty")
        by_premise = [
            {name: scores[pair] for name, pair in self._directions(text, answer.text).items()}
            for text in premises
        ]
        best = max(by_premise, key=lambda numbers: min(numbers.values()))
        raw_output = json.dumps({name: round(number, 6) for name, number in best.items()})
        return scored(min(best.values()), raw_output=raw_output)

    def _premises(self, answer: Answer) -> list[str]:
        if self.options.premise == "reference":
            texts: Iterable[str | None] = answer.prompt.reference_answers
        else:
            texts = [answer.prompt.context]
        return [text for text in texts if text and text.strip()]

    @property
    def _premise_name(self) -> str:
        return "reference answer" if self.options.premise == "reference" else "given text"

    def _directions(self, premise: str, answer: str) -> dict[str, TwoTexts]:
        """Return premise and hypothesis of each direction that the options name."""
        both = {"answer_follows": (premise, answer), "premise_follows": (answer, premise)}
        direction = self.options.direction
        return both if direction == "both" else {direction: both[direction]}

    def _grid(self, premise: str, hypothesis: str) -> list[list[TwoTexts]]:
        """Return each sentence of the hypothesis, paired with every chunk of the premise."""
        encoder = self._encoder
        pieces = chunks(split_sentences(premise), self.options.chunk_tokens, encoder.count_tokens)
        return [[(piece, sentence) for piece in pieces] for sentence in split_sentences(hypothesis)]

    def _follows(
        self, grid: Sequence[Sequence[TwoTexts]], entailed: dict[TwoTexts, float]
    ) -> float:
        best = [max(entailed[pair] for pair in row) for row in grid if row]
        return aggregate(best, self.options.aggregate)

    @cached_property
    def _encoder(self) -> PairEncoder:
        compute = choose_compute(self.ledger.compute)
        return PairEncoder(self.options.model, compute, self.options.batch_size)


def aggregate(sentences: Sequence[float], how: Literal["mean", "min"]) -> float:
    """Return the score of a text from those of its sentences; 0 for a text without sentences."""
    if not sentences:
        return 0.0
    return min(sentences) if how == "min" else sum(sentences) / len(sentences)


JUDGE = EntailmentJudge
