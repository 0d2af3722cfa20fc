"""Whether the answer follows from the reference or the given text, and they from the answer."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Literal

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.base import ASIDE, PositiveInt
from rlhf_core.config.tree import ComputeSettings
from rlhf_core.encoders.pair_encoder import PairEncoder, check_pair_encoder, fingerprint
from rlhf_core.encoders.sentence_encoder import TwoTexts
from rlhf_core.files.text_pairs import Task
from rlhf_core.models.device import choose_compute
from rlhf_core.text.sentences import chunks, split_sentences

ENCODER_PARAMETERS = 22_000_000
"""Of the default base model, for the plan."""


class EntailmentOptions(Settings):
    model: str
    """Folder that `solon judges train cross_encoder` wrote, or a folder or hub id of an NLI model:
    a sequence classifier with an output called entailment."""
    premise: Literal["reference", "context"] = "reference"
    """What the answer is held against: the reference answers or the given text."""
    direction: Literal["answer_follows", "premise_follows", "both"] = "answer_follows"
    """answer_follows: the answer adds no fact; premise_follows: it lacks none; both: the lower of
    the two, so that only the same meaning scores high."""
    aggregate: Literal["mean", "min"] = "mean"
    """How a text's sentences become one number."""
    chunk_tokens: PositiveInt = 350
    """Length of the pieces a long premise is read in."""
    batch_size: Annotated[PositiveInt, ASIDE] = 32
    """Pairs read at once."""


class EntailmentJudge(PointwiseJudge[EntailmentOptions]):
    """Each sentence against its best chunk, then over sentences (arXiv:2305.16739, section 3.3)."""

    Options = EntailmentOptions
    code = "1"

    def fixed_text(self) -> str:
        return fingerprint(self.options.model)

    def check(self) -> None:
        check_pair_encoder(self.options.model, Task.ENTAILMENT)

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
        found = self._encoder.probabilities(Task.ENTAILMENT, pairs) if pairs else {}
        scores = {pair: self._follows(grid, found) for pair, grid in grids.items()}
        return [self._opinion(answer, scores) for answer in answers]

    def _opinion(self, answer: Answer, scores: dict[TwoTexts, float]) -> Opinion:
        premises = self._premises(answer)
        if not premises:
            return abstains(f"the prompt has no {self._premise_name}")
        if not answer.text.strip():
            return abstains("the answer is empty")
        found = [
            {name: scores[pair] for name, pair in self._directions(text, answer.text).items()}
            for text in premises
        ]
        best = max(found, key=lambda numbers: min(numbers.values()))
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
        """Premise and hypothesis of each direction that is asked for."""
        both = {"answer_follows": (premise, answer), "premise_follows": (answer, premise)}
        direction = self.options.direction
        return both if direction == "both" else {direction: both[direction]}

    def _grid(self, premise: str, hypothesis: str) -> list[list[TwoTexts]]:
        """Each sentence of the hypothesis with every chunk of the premise."""
        encoder = self._encoder
        pieces = chunks(split_sentences(premise), self.options.chunk_tokens, encoder.count_tokens)
        return [[(piece, sentence) for piece in pieces] for sentence in split_sentences(hypothesis)]

    def _follows(self, grid: Sequence[Sequence[TwoTexts]], found: dict[TwoTexts, float]) -> float:
        best = [max(found[pair] for pair in row) for row in grid if row]
        return aggregate(best, self.options.aggregate)

    @cached_property
    def _encoder(self) -> PairEncoder:
        compute = choose_compute(ComputeSettings())
        return PairEncoder(self.options.model, compute, self.options.batch_size)


def aggregate(sentences: Sequence[float], how: Literal["mean", "min"]) -> float:
    """One number for a text from those of its sentences; 0 for a text that has none."""
    if not sentences:
        return 0.0
    return min(sentences) if how == "min" else sum(sentences) / len(sentences)


JUDGE = EntailmentJudge
