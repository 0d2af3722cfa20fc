"""What training stages share: demonstrations in, metrics and models with their lineage out."""

from collections.abc import Sequence

from rlhf_core.algorithms.optimisation import TrainingStep
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import Metric, ModelInput, ModelVersion, Prompt, Record, Revision
from rlhf_core.store import Store


def demonstrations(
    chat: ChatFormat, prompts: Sequence[Prompt], revisions: Sequence[Revision] = ()
) -> list[TokenSequence]:
    """First reference answers, and revisions of these prompts, as tokens with their end."""
    by_id = {prompt.id: prompt for prompt in prompts}
    shown = [(prompt, answer) for prompt in prompts for answer in prompt.reference_answers[:1]]
    shown += [(by_id[revision.prompt_id], revision.text) for revision in revisions]
    return [
        TokenSequence(tuple(chat.prompt_ids(prompt.instruction)), tuple(chat.answer_ids(answer)))
        for prompt, answer in shown
    ]


def keep_metrics(store: Store, model_id: str, step: TrainingStep) -> None:
    """Add a step's metrics, where an earlier, interrupted run has not."""
    store.append(
        Metric(model_id=model_id, step=step.step, name=name, value=value)
        for name, value in step.metrics.items()
    )


def add_model(store: Store, version: ModelVersion, learnt_from: Sequence[Record]) -> None:
    """Add a model whose files are in place, and its lineage, in one transaction."""
    inputs = [
        ModelInput(model_id=version.id, input_table=record.table, input_id=record.id)
        for record in learnt_from
    ]
    store.append([version, *inputs])
