"""Requests handed over together, by OpenAI's Batch API: cheaper, within 24 hours.

Nothing is kept on this side. A batch carries the hash of its requests in its metadata, and is
looked for before one is made, so a run that was killed goes on with the batch it had begun.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import httpx2
from openai import AsyncOpenAI

from rlhf_core.config.tree import EndpointSettings
from rlhf_core.endpoints.batch_files import (
    PATH,
    Answer,
    BatchPage,
    BatchState,
    Line,
    Part,
    UploadedFile,
    as_line,
    read_answers,
    split,
)
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.chat_completion import (
    ChatReply,
    ChatRequest,
    as_reply,
    read_as,
    read_completion,
)
from rlhf_core.endpoints.retries import client_errors, with_retries
from rlhf_core.errors import EndpointError

MARK = "solon_requests"
"""Key in a batch's metadata, of the hash of its requests."""
KEPT_SECONDS = 29 * 86_400
"""OpenAI deletes what a batch answered after 30 days."""

T = TypeVar("T")
Report = Callable[[int, ChatReply | EndpointError], None]


class BatchDelivery:
    """One `complete` of an endpoint.

    Args:
        client: Open, without retries of its own.
        settings: Model, limits and prices.
        budget: What may be spent. A batch that is made goes whole or not at all.
    """

    def __init__(self, client: AsyncOpenAI, settings: EndpointSettings, budget: Budget) -> None:
        self.client, self.settings, self.budget = client, settings, budget

    async def deliver(self, requests: Sequence[ChatRequest], report: Report) -> None:
        """Report every request once, by its index, when its batch has ended."""
        lines, seen = [], Counter[str]()
        for index, request in enumerate(requests):
            try:
                lines.append(as_line(index, request, self.settings, seen))
            except EndpointError as error:
                report(index, error)
        async with asyncio.TaskGroup() as parts:
            for part in split(lines):
                parts.create_task(self._deliver_part(part, report))

    async def _deliver_part(self, part: Part, report: Report) -> None:
        try:
            replies = await self._part(part)
        except EndpointError as error:
            replies = [error] * len(part.lines)
        for line, reply in zip(part.lines, replies, strict=True):
            report(line.index, reply)

    async def _part(self, part: Part) -> list[ChatReply | EndpointError]:
        found = await self._try(partial(self._find, part))
        at_most = self._at_most(part)
        async with self.budget.hold(at_most, is_committed=found is not None) as hold:
            hold.cost = at_most
            try:
                if found is None:
                    found = await self._try(partial(self._find_or_create, part))
            except EndpointError as error:
                if not error.may_be_billed:
                    hold.cost = Spend()
                raise
            replies = await self._collect(part, await self._wait(found))
            answered = [reply for reply in replies if isinstance(reply, ChatReply)]
            hold.cost = Spend(
                sum(reply.cost_usd for reply in answered),
                sum(reply.prompt_tokens + reply.completion_tokens for reply in answered),
                len(answered),
            )
        return replies

    def _at_most(self, part: Part) -> Spend:
        input_tokens = sum(line.request.input_tokens_at_most for line in part.lines)
        output_tokens = sum(line.request.max_tokens for line in part.lines)
        usd = self.settings.cost(input_tokens, output_tokens)
        return Spend(usd, input_tokens + output_tokens, len(part.lines))

    async def _find(self, part: Part) -> BatchState | None:
        """The newest batch of these requests that is of use."""
        found: list[BatchState] = []
        page: BatchPage | None = None
        after: dict[str, str] = {}
        while page is None or (page.has_more and page.data):
            page = read_as(BatchPage, await self._get("/batches", limit="100", **after), "list")
            found += [b for b in page.data if (b.metadata or {}).get(MARK) == part.content_hash]
            after = {"after": page.data[-1].id} if page.data else {}
        oldest = time.time() - KEPT_SECONDS
        useful = [b for b in found if b.created_at > oldest and not b.is_fruitless]
        return max(useful, key=lambda batch: batch.created_at, default=None)

    async def _find_or_create(self, part: Part) -> BatchState:
        """Looks again before each attempt: one that seemed to fail may have succeeded."""
        if found := await self._find(part):
            return found
        file = await self.client.files.with_raw_response.create(
            file=("requests.jsonl", part.content), purpose="batch"
        )
        body = {
            "completion_window": "24h",
            "endpoint": PATH,
            "input_file_id": read_as(UploadedFile, file.content, "file").id,
            "metadata": {MARK: part.content_hash},
        }
        made = await self.client.post("/batches", cast_to=httpx2.Response, body=body)
        return read_as(BatchState, made.content, "batch")

    async def _wait(self, batch: BatchState) -> BatchState:
        path = f"/batches/{quote(batch.id, safe='')}"

        async def look() -> BatchState:
            return read_as(BatchState, await self._get(path), "batch")

        while not batch.has_ended:
            await asyncio.sleep(self.settings.batch_poll_seconds)
            batch = await self._try(look)
        return batch

    async def _collect(self, part: Part, batch: BatchState) -> list[ChatReply | EndpointError]:
        contents = []
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            path = f"/files/{quote(file_id, safe='')}/content"
            contents.append(await self._try(partial(self._get, path)))
        answers = read_answers(contents)
        return [self._reply(line, batch, answers.get(line.custom_id)) for line in part.lines]

    def _reply(
        self, line: Line, batch: BatchState, answer: Answer | None
    ) -> ChatReply | EndpointError:
        if answer is None:
            return EndpointError(f"{batch.reason}; it holds no answer to this request")
        seconds = (batch.completed_at or batch.created_at) - batch.created_at
        try:
            completion = read_completion(answer.completion)
        except EndpointError as error:
            return error
        return as_reply(completion, line.request, self.settings, seconds)

    async def _get(self, path: str, **query: str) -> bytes:
        response = await self.client.get(path, cast_to=httpx2.Response, options={"params": query})
        return response.content.replace(self.client.api_key.encode(), b"[key]")

    async def _try(self, once: Callable[[], Awaitable[T]]) -> T:
        async def translated() -> T:
            with client_errors(self.client.api_key):
                return await once()

        return await with_retries(translated, self.settings.max_attempts)
