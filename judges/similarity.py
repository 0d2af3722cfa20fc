"""A bi-encoder's cosine similarity to the reference answer; with several, to the nearest one."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from judges._base import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from rlhf_core.config import Settings
from rlhf_core.config.tree import PositiveInt
from rlhf_core.errors import ModelNotFoundError
from rlhf_core.models.loading import locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


ENCODER_PARAMETERS = 22_000_000
"""Of the default encoder, for the plan."""


class SimilarityOptions(Settings):
    model: str = "all-minilm-l6-v2"
    """A sentence-transformers model: bundled name, local folder or hub id."""
    batch_size: PositiveInt = 64
    """Texts encoded at once."""


class SimilarityJudge(PointwiseJudge[SimilarityOptions]):
    Options = SimilarityOptions
    code = "1"
    transport = frozenset({"batch_size"})

    def check(self) -> None:
        locate(self.options.model)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        return Workload(tokens=answer_tokens, parameters=ENCODER_PARAMETERS)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        texts = {answer.text for answer in answers if answer.prompt.reference_answers}
        texts |= {text for answer in answers for text in answer.prompt.reference_answers}
        pairs = [(a.text, text) for a in answers for text in a.prompt.reference_answers]
        cosines = dict(zip(pairs, self._cosines(sorted(texts), pairs), strict=True))
        return [_opinion(answer, cosines) for answer in answers]

    def _cosines(self, texts: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Of each pair, from one encoding of the distinct texts; the encoder sorts by length."""
        if not pairs:
            return []
        vectors = self._encoder.encode(
            list(texts),
            batch_size=self.options.batch_size,
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        ).cpu()
        row = {text: index for index, text in enumerate(texts)}
        first, second = (vectors[[row[pair[side]] for pair in pairs]] for side in (0, 1))
        found: list[float] = (first * second).sum(dim=-1).tolist()
        return found

    @cached_property
    def _encoder(self) -> "SentenceTransformer":
        from sentence_transformers import SentenceTransformer

        location = locate(self.options.model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                return SentenceTransformer(location, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelNotFoundError(
                f"judge model {self.options.model!r} cannot be loaded: {error}"
            ) from None


def _opinion(answer: Answer, cosines: dict[tuple[str, str], float]) -> Opinion:
    references = answer.prompt.reference_answers
    if not references:
        return abstains("the prompt has no reference answer")
    nearest = max(cosines[answer.text, reference] for reference in references)
    return scored(nearest, raw_output=f"{nearest:.6f}")


JUDGE = SimilarityJudge
