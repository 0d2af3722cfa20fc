"""Texts that the training stages learn from: demonstrations, and the texts of PTX."""

from collections.abc import Collection, Sequence
from pathlib import Path

from rlhf_core.config.training import OnlineSettings, PTXSettings, TrainingSettings
from rlhf_core.errors import DataFileError
from rlhf_core.files.cells import Cells
from rlhf_core.files.rows import read_source
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.sequences import TokenSequence
from rlhf_core.records import Prompt, Revision


def demonstrations(
    chat: ChatFormat,
    prompts: Sequence[Prompt],
    revisions: Sequence[Revision] = (),
    abstentions: Sequence[Revision] = (),
    cut_off: Collection[str] = (),
) -> list[TokenSequence]:
    """Return the demonstrations of some prompts as tokens.

    Args:
        chat: Chat format of the model that is trained.
        prompts: Prompts; each is shown with its first reference answer, if it has one.
        revisions: Revisions, shown in addition to the references.
        abstentions: Abstentions, each shown in place of its prompt's reference.
        cut_off: Ids of the revisions that were cut off and get no end token.

    Returns:
        Prompt and answer tokens, one sequence a demonstration.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    unknown = {abstention.prompt_id for abstention in abstentions}
    known = [prompt for prompt in prompts if prompt.id not in unknown]
    shown = [(prompt, answer, True) for prompt in known for answer in prompt.reference_answers[:1]]
    shown += [
        (by_id[revision.prompt_id], revision.text, revision.id not in cut_off)
        for revision in (*revisions, *abstentions)
    ]
    return [
        TokenSequence(
            tuple(chat.prompt_ids(prompt.conversation)), tuple(chat.answer_ids(answer, is_finished))
        )
        for prompt, answer, is_finished in shown
    ]


def ptx_texts(
    settings: PTXSettings, chat: ChatFormat, prompts: Sequence[Prompt]
) -> list[TokenSequence]:
    """Return the texts of PTX, the language modelling loss beside the reward (arXiv:2203.02155).

    Args:
        settings: File of the texts, and their greatest length in tokens.
        chat: Chat format of the policy.
        prompts: Prompts whose reference answers are used without a file.
    """
    if settings.path is None:
        return demonstrations(chat, prompts)
    sequences = []
    for text in read_texts(Path(settings.path)):
        ids = chat.plain_ids(text)[: settings.max_tokens]
        if len(ids) > 1:  # nothing predicts the first token
            sequences.append(TokenSequence(tuple(ids[:1]), tuple(ids[1:])))
    return sequences


def ptx_files(settings: TrainingSettings) -> list[Path]:
    """Return the file of PTX texts, if the config names one."""
    if isinstance(settings, OnlineSettings) and settings.ptx and settings.ptx.path:
        return [Path(settings.ptx.path)]
    return []


def check_texts(settings: TrainingSettings) -> None:
    """Refuse a missing or broken file of PTX texts, before hours are spent.

    Raises:
        DataFileError: If the file cannot be read; with the line that is wrong.
    """
    for path in ptx_files(settings):
        read_texts(path)


def read_texts(path: Path) -> list[str]:
    """Read the texts of a .txt file, one a line, or of a .jsonl file, the `text` of each line.

    Raises:
        DataFileError: If the file cannot be read; with the line that is wrong.
    """
    if path.suffix == ".jsonl":
        texts = [_text_of(Cells(place, row)) for place, row in read_source(path)]
    else:
        texts = [line.strip() for line in _lines(path) if line.strip()]
    if not texts:
        raise DataFileError(f"texts {path}: the file is empty")
    return texts


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataFileError(f"texts {path}: {reason.lower()}") from None


def _text_of(cells: Cells) -> str:
    text = cells.text("text")
    if not text.strip():
        raise cells.error("'text' is empty; fill it in or remove the line")
    return text
