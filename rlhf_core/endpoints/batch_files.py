"""The formats of OpenAI's Batch API: request lines within its limits, batch states, answers."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.chat_completion import ChatRequest, request_body
from rlhf_core.endpoints.profile import profile_of
from rlhf_core.endpoints.retries import is_filtered, one_line
from rlhf_core.errors import ContentFilteredError, EndpointError
from rlhf_core.identity import content_id

PATH = "/v1/chat/completions"
LINES_AT_MOST = 50_000
BYTES_AT_MOST = 200_000_000


@dataclass(frozen=True)
class Line:
    """One request in a batch.

    Args:
        index: Index of the request in the caller's list.
        custom_id: Derived from the content, so that answers in any order find their requests.
        request: The request.
        text: JSON that ends in a line feed.
    """

    index: int
    custom_id: str
    request: ChatRequest
    text: bytes


@dataclass(frozen=True)
class BatchPart:
    """The lines of one batch."""

    lines: tuple[Line, ...]

    @cached_property
    def content_hash(self) -> str:
        return content_id([line.custom_id for line in self.lines])

    @property
    def content(self) -> bytes:
        return b"".join(line.text for line in self.lines)


def to_line(
    index: int, request: ChatRequest, settings: EndpointSettings, seen: Counter[str]
) -> Line:
    """Return a request as a line.

    Args:
        index: Index of the request in the caller's list.
        request: The request.
        settings: Names the model.
        seen: Number of requests so far with each content; the count goes into `custom_id` and
            keeps equal requests apart. It is updated.

    Returns:
        The line.

    Raises:
        EndpointError: If the request is not valid Unicode, or needs an option that the server
            refuses, so it can never be sent.
    """
    body = profile_of(settings).fit(request, request_body(request, settings))
    batch_key = {} if request.batch_key is None else {"messages": request.batch_key}
    content = content_id({**body, **batch_key})
    seen[content] += 1
    custom_id = f"{content}-{seen[content]}"
    line = {"custom_id": custom_id, "method": "POST", "url": PATH, "body": body}
    return Line(index, custom_id, request, json.dumps(line).encode() + b"\n")


def split_lines(lines: Iterable[Line]) -> Iterator[BatchPart]:
    """Yield parts within the limits; the same lines in any order give the same parts."""
    part: list[Line] = []
    size = 0
    for line in sorted(lines, key=lambda line: line.custom_id):
        if part and (len(part) == LINES_AT_MOST or size + len(line.text) > BYTES_AT_MOST):
            yield BatchPart(tuple(part))
            part, size = [], 0
        part.append(line)
        size += len(line.text)
    if part:
        yield BatchPart(tuple(part))


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
    """The state of a batch: the fields that Solon reads."""

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
    def has_failed(self) -> bool:
        """True if the batch stopped without any answer, so its requests may be sent again."""
        is_stopping = self.has_ended or self.status == "cancelling"
        return is_stopping and (self.request_counts is None or not self.request_counts.completed)

    @property
    def reason(self) -> str:
        """The status and errors of the batch, for requests without an answer."""
        failures = self.errors.data if self.errors and self.errors.data else []
        errors = "; ".join(str(failure) for failure in failures[:3])
        status = f"batch {one_line(self.id)} {one_line(self.status)}"
        return status + (f": {errors}" if errors else "")


class BatchPage(BaseModel):
    data: list[BatchState]
    has_more: bool = False


class UploadedFile(BaseModel):
    id: str


class _Response(BaseModel):
    status_code: int
    body: Any = None


class BatchAnswer(BaseModel):
    """A line of a batch's output or error file."""

    custom_id: str
    response: _Response | None = None
    error: _Failure | None = None

    @property
    def completion(self) -> bytes:
        """The body of the answer, as JSON.

        Raises:
            EndpointError: If the request failed or has no answer; it gives the reason.
        """
        if self.error is not None:
            raise EndpointError(f"the batch's line failed: {self.error}")
        if self.response is None:
            raise EndpointError("the batch's line holds neither an answer nor an error")
        body = json.dumps(self.response.body)
        if self.response.status_code != 200:
            reason = f"HTTP {self.response.status_code}: {one_line(body)}"
            raise (ContentFilteredError if is_filtered(self.response.body) else EndpointError)(
                reason
            )
        return body.encode()


def read_answers(contents: Sequence[bytes]) -> dict[str, BatchAnswer]:
    """Return the answers by custom_id; an unreadable line is left out and counts as missing."""
    answers: dict[str, BatchAnswer] = {}
    for content in contents:
        for text in content.split(b"\n"):  # splitlines() would split inside texts
            try:
                answer = BatchAnswer.model_validate_json(text)
            except ValidationError:
                continue
            answers[answer.custom_id] = answer
    return answers
