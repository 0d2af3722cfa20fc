"""A bi-encoder's cosine similarity to the reference answer; with several, to the closest one."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.base import ASIDE, PositiveInt
from rlhf_core.encoders.sentence_encoder import TwoTexts, cosines, load_sentence_encoder
from rlhf_core.models.device import choose_compute
from rlhf_core.models.loading import locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


ENCODER_PARAMETERS = 22_000_000
"""Size of the default encoder, for the plan."""


class SimilarityOptions(Settings):
    model: str = "all-minilm-l6-v2"
    """A sentence-transformers model: bundled name, local folder or hub id."""
    batch_size: Annotated[PositiveInt, ASIDE] = 64
    """Texts per batch."""


class SimilarityJudge(PointwiseJudge[SimilarityOptions]):
    Options = SimilarityOptions
    code = "1"

    def check(self) -> None:
        locate(self.options.model)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return Workload(tokens=answer_tokens, parameters=ENCODER_PARAMETERS)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        pairs = [(a.text, text) for a in answers for text in a.prompt.reference_answers]
        values = cosines(self._encoder, pairs, self.options.batch_size).tolist() if pairs else []
        similarity = dict(zip(pairs, values, strict=True))
        return [_opinion(answer, similarity) for answer in answers]

    @cached_property
    def _encoder(self) -> "SentenceTransformer":
        return load_sentence_encoder(
            self.options.model, device=str(choose_compute(self.ledger.compute).device)
        )


def _opinion(answer: Answer, similarity: dict[TwoTexts, float]) -> Opinion:
    references = answer.prompt.reference_answers
    if not references:
        return abstains("the prompt has no reference answer")
    best = max(similarity[answer.text, reference] for reference in references)
    return scored(best, raw_output=f"{best:.6f}")


JUDGE = SimilarityJudge
