"""What OpenAI's Batch API takes and gives: lines of requests within its limits, states, answers."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.chat_completion import ChatRequest, request_body
from rlhf_core.endpoints.retries import one_line
from rlhf_core.errors import EndpointError
from rlhf_core.identity import content_id

PATH = "/v1/chat/completions"
LINES_AT_MOST = 50_000
BYTES_AT_MOST = 200_000_000


@dataclass(frozen=True)
class Line:
    """One request in a batch.

    Args:
        index: Where the request stands in the caller's list.
        custom_id: By content, so that an answer finds its request in whatever order it comes.
        text: JSON that ends in a line feed.
    """

    index: int
    custom_id: str
    request: ChatRequest
    text: bytes


@dataclass(frozen=True)
class Part:
    """As many lines as fit into one batch."""

    lines: tuple[Line, ...]

    @cached_property
    def content_hash(self) -> str:
        return content_id([line.custom_id for line in self.lines])

    @property
    def content(self) -> bytes:
        return b"".join(line.text for line in self.lines)


def as_line(
    index: int, request: ChatRequest, settings: EndpointSettings, seen: Counter[str]
) -> Line:
    """A request as a line; requests that are alike are told apart by their count.

    Raises:
        EndpointError: If it cannot be sent at all.
    """
    body = request_body(request, settings)
    known_by = {} if request.known_by is None else {"messages": request.known_by}
    content = content_id({**body, **known_by})
    seen[content] += 1
    custom_id = f"{content}-{seen[content]}"
    line = {"custom_id": custom_id, "method": "POST", "url": PATH, "body": body}
    return Line(index, custom_id, request, json.dumps(line).encode() + b"\n")


def split(lines: Iterable[Line]) -> Iterator[Part]:
    """Parts within the limits, the same ones for the same requests in any order."""
    part: list[Line] = []
    size = 0
    for line in sorted(lines, key=lambda line: line.custom_id):
        if part and (len(part) == LINES_AT_MOST or size + len(line.text) > BYTES_AT_MOST):
            yield Part(tuple(part))
            part, size = [], 0
        part.append(line)
        size += len(line.text)
    if part:
        yield Part(tuple(part))


class _Failure(BaseModel):
    code: str | None = None
    message: str | None = None

    def __str__(self) -> str:
        return one_line(": ".join(word for word in (self.code, self.message) if word))


class _Failures(BaseModel):
    data: list[_Failure] | None = None


class _Counts(BaseModel):
    completed: int = 0


class BatchState(BaseModel):
    """A batch, as far as it is read."""

    id: str
    status: str
    created_at: float
    completed_at: float | None = None
    metadata: dict[str, str] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: _Counts | None = None
    errors: _Failures | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def is_fruitless(self) -> bool:
        """Whether nothing came of it or will, so that its requests may be sent again."""
        is_stopping = self.has_ended or self.status == "cancelling"
        return is_stopping and (self.request_counts is None or not self.request_counts.completed)

    @property
    def reason(self) -> str:
        """Why a request may be without an answer."""
        failures = self.errors.data if self.errors and self.errors.data else []
        said = "; ".join(str(failure) for failure in failures[:3])
        return f"batch {one_line(self.id)} {one_line(self.status)}" + (f": {said}" if said else "")


class BatchPage(BaseModel):
    data: list[BatchState]
    has_more: bool = False


class UploadedFile(BaseModel):
    id: str


class _Response(BaseModel):
    status_code: int
    body: Any = None


class Answer(BaseModel):
    """A line of an output or error file."""

    custom_id: str
    response: _Response | None = None
    error: _Failure | None = None

    @property
    def completion(self) -> bytes:
        """The body of the answer, as JSON.

        Raises:
            EndpointError: With the reason why there is none.
        """
        if self.error is not None:
            raise EndpointError(f"the batch's line failed: {self.error}")
        if self.response is None:
            raise EndpointError("the batch's line holds neither an answer nor an error")
        body = json.dumps(self.response.body)
        if self.response.status_code != 200:
            raise EndpointError(f"HTTP {self.response.status_code}: {one_line(body)}")
        return body.encode()


def read_answers(contents: Sequence[bytes]) -> dict[str, Answer]:
    """Answers by custom_id; a line that cannot be read is left out, and so counts as missing."""
    answers: dict[str, Answer] = {}
    for content in contents:
        for text in content.split(b"\n"):  # splitlines() would split inside texts
            try:
                answer = Answer.model_validate_json(text)
            except ValidationError:
                continue
            answers[answer.custom_id] = answer
    return answers
