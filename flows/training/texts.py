"""Texts that the training stages learn from: demonstrations, and files for PTX."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from rlhf_core.config.training import OnlineSettings, PTXSettings, TrainingSettings
from rlhf_core.errors import DataFileError
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
    """First reference answers, and revisions of these prompts, as tokens with their end.

    Args:
        chat: How prompts and answers become tokens.
        prompts: What is asked.
        revisions: Shown beside the references.
        abstentions: Each stands in place of its prompt's reference.
        cut_off: Ids of the revisions that did not end, and are shown without an end.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    unknown = {abstention.prompt_id for abstention in abstentions}
    known = [prompt for prompt in prompts if prompt.id not in unknown]
    shown = [(prompt, answer, True) for prompt in known for answer in prompt.reference_answers[:1]]
    shown += [
        (by_id[mended.prompt_id], mended.text, mended.id not in cut_off)
        for mended in (*revisions, *abstentions)
    ]
    return [
        TokenSequence(
            tuple(chat.prompt_ids(prompt.instruction)), tuple(chat.answer_ids(answer, is_finished))
        )
        for prompt, answer, is_finished in shown
    ]


def ptx_texts(
    settings: PTXSettings, chat: ChatFormat, prompts: Sequence[Prompt]
) -> list[TokenSequence]:
    """What PTX models beside the reward: a file's texts, or the reference answers."""
    if settings.path is None:
        return demonstrations(chat, prompts)
    found = []
    for text in read_texts(Path(settings.path)):
        ids = chat.plain_ids(text)[: settings.max_tokens]
        if len(ids) > 1:  # nothing predicts the first token
            found.append(TokenSequence(tuple(ids[:1]), tuple(ids[1:])))
    return found


def ptx_files(settings: TrainingSettings) -> list[Path]:
    """The file of texts that PTX models, where there is one."""
    if isinstance(settings, OnlineSettings) and settings.ptx and settings.ptx.path:
        return [Path(settings.ptx.path)]
    return []


def check_texts(settings: TrainingSettings) -> None:
    """Refuse a file of PTX texts that is not there or broken, before hours are spent.

    Raises:
        DataFileError: As `read_texts`.
    """
    for path in ptx_files(settings):
        read_texts(path)


def read_texts(path: Path) -> list[str]:
    """Texts of a .txt file, one a line, or of a .jsonl file, the `text` of each line.

    Raises:
        DataFileError: With the file, and the line where one is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataFileError(f"texts {path}: {reason.lower()}") from None
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if path.suffix == ".jsonl":
        texts = [_text_of(line, path, number) for number, line in numbered]
    else:
        texts = [line.strip() for _, line in numbered]
    if not texts:
        raise DataFileError(f"texts {path}: the file is empty")
    return texts


def _text_of(line: str, path: Path, number: int) -> str:
    try:
        found = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or not found.strip():
        raise DataFileError(f'texts {path}, line {number}: expected {{"text": "…"}}')
    return found
