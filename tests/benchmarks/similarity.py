"""The similarity judge against its encoder alone: all else should take no twentieth of the time."""

import random

from sentence_transformers import SentenceTransformer

from judges.panel.judge import Answer
from judges.similarity import SimilarityJudge, SimilarityOptions
from rlhf_core.models.device import Compute
from rlhf_core.models.loading import locate
from rlhf_core.records import Mode, Prompt, Split
from tests.benchmarks.ratio import ratio
from tests.benchmarks.result import Result

PAIRS = 1000
WORDS = ("a", "man", "woman", "dog", "plays", "runs", "in", "the", "red", "street", "guitar")


def run(compute: Compute) -> list[Result]:
    """A thousand pairs of sentences of 6 to 20 words, every distinct text encoded once."""
    draw = random.Random(1)

    def sentence() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(6, 20)))

    answers = [
        Answer(
            Prompt(
                text="Compare.",
                mode=Mode.KNOWLEDGE_SEEKING,
                reference_answers=(sentence(),),
                split=Split.TRAIN,
            ),
            sentence(),
        )
        for _ in range(PAIRS)
    ]
    judge = SimilarityJudge(SimilarityOptions())
    encoder = SentenceTransformer(locate(judge.options.model))
    texts = sorted({text for a in answers for text in (a.text, *a.prompt.reference_answers)})

    def ours() -> None:
        judge.score(answers)

    def theirs() -> None:
        encoder.encode(
            texts,
            batch_size=64,
            convert_to_tensor=True,
            normalize_embeddings=True,
            show_progress_bar=False,
        )

    return [
        ratio("similarity", ours, "its encoder alone", theirs, detail="similarity of 1000 pairs")
    ]
