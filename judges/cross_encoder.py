"""An encoder trained on labelled pairs reads answer and reference together and rates likeness."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from judges.panel.judge import Answer, Opinion, PointwiseJudge, Workload, abstains, scored
from judges.panel.trainable import Advance, Estimate, Metrics, Trainable, TrainingRun
from rlhf_core.config import Settings
from rlhf_core.config.base import ASIDE, PositiveInt
from rlhf_core.encoders.bi_encoder import train_bi_encoder
from rlhf_core.encoders.calibration import calibrate
from rlhf_core.encoders.cross_encoder import measure_step_seconds, train_cross_encoder
from rlhf_core.encoders.pair_encoder import APART, PairEncoder, check_pair_encoder, fingerprint
from rlhf_core.encoders.sentence_encoder import TwoTexts
from rlhf_core.encoders.training import CrossEncoderTraining, step_count
from rlhf_core.files.text_pairs import PairTask, TextPair
from rlhf_core.models.device import choose_compute

ENCODER_PARAMETERS = 22_000_000
"""Size of the default base model, for the plan."""


class CrossEncoderOptions(Settings):
    model: str
    """Folder written by `solon judges train cross_encoder`; or, for similarity and paraphrase, a
    hub id or folder of a sequence classifier with one output."""
    head: Literal["similarity", "paraphrase", "entailment", "mean"] = "similarity"
    """similarity: how close they are in meaning; paraphrase: whether they say the same; entailment:
    whether the answer follows from the reference; mean: the mean of all three."""
    batch_size: Annotated[PositiveInt, ASIDE] = 64
    """Pairs per batch."""


class CrossEncoderJudge(PointwiseJudge[CrossEncoderOptions], Trainable[CrossEncoderTraining]):
    """Scores the head's calibrated probability, for the reference answer with the highest one."""

    Options = CrossEncoderOptions
    TrainingOptions = CrossEncoderTraining
    code = "2"

    def fixed_text(self) -> str:
        return fingerprint(self.options.model)

    def check(self) -> None:
        for task in self._tasks:
            check_pair_encoder(self.options.model, task)

    def workload(self, prompt_tokens: float, answer_tokens: float) -> Workload:
        reads = sum(1 if task is PairTask.ENTAILMENT else 2 for task in self._tasks)
        return Workload(tokens=2 * reads * answer_tokens, parameters=ENCODER_PARAMETERS)

    def score(self, answers: Sequence[Answer]) -> list[Opinion]:
        pairs = [(r, a.text) for a in answers for r in a.prompt.reference_answers]
        heads = [self._encoder.probabilities(task, pairs) for task in self._tasks] if pairs else []
        return [self._opinion(answer, heads) for answer in answers]

    def _opinion(self, answer: Answer, heads: Sequence[dict[TwoTexts, float]]) -> Opinion:
        references = answer.prompt.reference_answers
        if not references:
            return abstains("the prompt has no reference answer")
        best = max(
            sum(head[reference, answer.text] for head in heads) / len(heads)
            for reference in references
        )
        return scored(best, raw_output=f"{best:.6f}")

    @property
    def _tasks(self) -> list[PairTask]:
        return list(PairTask) if self.options.head == "mean" else [PairTask(self.options.head)]

    @cached_property
    def _encoder(self) -> PairEncoder:
        compute = choose_compute(self.ledger.compute)
        return PairEncoder(self.options.model, compute, self.options.batch_size)

    @classmethod
    def estimate(cls, run: TrainingRun[CrossEncoderTraining]) -> Estimate:
        steps = step_count(run.pairs, run.settings)
        steps += step_count(_similarities(run.pairs), run.settings)
        return Estimate(steps, steps * measure_step_seconds(run.pairs, run.settings, run.compute))

    @classmethod
    def train(
        cls, run: TrainingRun[CrossEncoderTraining], folder: Path, advance: Advance
    ) -> Metrics:
        """Train the heads and, on pairs with a similarity, an encoder that reads texts apart.

        Args:
            run: The data, settings and device.
            folder: The empty folder to write both models to.
            advance: Called after every step.

        Returns:
            Metrics on the held-out pairs.
        """
        similarities = _similarities(run.pairs)
        if similarities:
            checkpoints = run.checkpoints / APART
            apart = train_bi_encoder(similarities, run.settings, run.compute, checkpoints, advance)
            apart.save_pretrained(str(folder / APART), create_model_card=False)
        model = train_cross_encoder(
            run.pairs, run.settings, run.compute, run.checkpoints / "together", advance
        )
        model.save_pretrained(str(folder), create_model_card=False)
        trained = [task for task in PairTask if any(pair.task is task for pair in run.pairs)]
        return calibrate(folder, run.held_out, trained, run.compute)


def _similarities(pairs: Sequence[TextPair]) -> list[TextPair]:
    return [pair for pair in pairs if pair.task is PairTask.SIMILARITY]


JUDGE = CrossEncoderJudge
