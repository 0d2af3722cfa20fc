"""Texts for language modelling beside the reward, out of files."""

from pathlib import Path

import pytest

from flows._training import ptx_texts, read_texts
from rlhf_core.config.training import PTXSettings
from rlhf_core.errors import DataFileError
from rlhf_core.models.chat import ChatFormat
from rlhf_core.models.loading import load_tokenizer


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.txt", "One text.\n\n  Another.  \n"),
        ("texts.jsonl", '{"text": "One text."}\n{"text": "Another.", "id": 2}\n'),
    ],
)
def test_texts_are_read_a_line_each(tmp_path: Path, name: str, content: str):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert [text.strip() for text in read_texts(tmp_path / name)] == ["One text.", "Another."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("texts.txt", b"\n \n", "the file is empty"),
        ("texts.txt", b"\xff\xfe", "not utf-8"),
        ("texts.jsonl", b'{"text": "fine"}\n{"txt": "no"}\n', 'line 2: expected {"text": "…"}'),
        ("texts.jsonl", b"plain words\n", "line 1: expected"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError) as caught:
        read_texts(tmp_path / name)
    assert message in str(caught.value)


def test_long_texts_are_cut_and_the_first_token_is_given(tmp_path: Path):
    path = tmp_path / "texts.txt"
    path.write_text("a long text of many words\nx\n", encoding="utf-8")
    chat = ChatFormat(load_tokenizer("tiny-random"), None)
    (cut,) = ptx_texts(PTXSettings(path=str(path), max_tokens=5), chat, [])[:1]
    assert len(cut.prompt_ids) == 1
    assert len(cut.response_ids) == 4
