"""Delivery of requests through OpenAI's Batch API: cheaper, and answered within 24 hours.

Nothing is stored locally. A batch carries the hash of its requests in its metadata, and an existing
batch is looked up before a new one is created. So a killed run resumes with the batch it started.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import httpx2
from openai import AsyncOpenAI

from rlhf_core.config.endpoint import EndpointSettings
from rlhf_core.endpoints.batch_files import (
    PATH,
    BatchAnswer,
    BatchPage,
    BatchPart,
    BatchState,
    Line,
    UploadedFile,
    read_answers,
    split_lines,
    to_line,
)
from rlhf_core.endpoints.budget import Budget, Spend
from rlhf_core.endpoints.chat_completion import (
    ChatReply,
    ChatRequest,
    filtered_reply,
    parse_as,
    read_completion,
    to_reply,
)
from rlhf_core.endpoints.profile import with_room
from rlhf_core.endpoints.retries import client_errors, with_retries, without_secrets
from rlhf_core.errors import ContentFilteredError, EndpointError

HASH_KEY = "solon_requests"
"""Key in a batch's metadata that holds the hash of its requests."""
KEPT_SECONDS = 29 * 86_400
"""Age up to which a batch is reused; OpenAI deletes its answers after 30 days."""

T = TypeVar("T")
OnReply = Callable[[int, ChatReply | EndpointError], None]


class BatchDelivery:
    """Delivers the requests of one `Endpoint.complete` call in batches.

    Args:
        client: An open client that does not retry by itself.
        settings: Model, limits and prices.
        budget: Limits the spending. A new batch must fit as a whole.
        secrets: Texts of the requests that no error may repeat.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        settings: EndpointSettings,
        budget: Budget,
        secrets: Collection[str] = (),
    ) -> None:
        self.client, self.settings, self.budget = client, settings, budget
        self.secrets = secrets

    async def deliver(self, requests: Sequence[ChatRequest], report: OnReply) -> None:
        """Send all requests and report each exactly once, when its batch has ended.

        Args:
            requests: The requests.
            report: Called with the index of a request and its reply or error.
        """
        lines, seen = [], Counter[str]()
        for index, request in enumerate(requests):
            try:
                roomy = with_room(request, self.settings)
                lines.append(to_line(index, roomy, self.settings, seen))
            except EndpointError as error:
                report(index, error)
        async with asyncio.TaskGroup() as parts:
            for part in split_lines(lines):
                parts.create_task(self._deliver_part(part, report))

    async def _deliver_part(self, part: BatchPart, report: OnReply) -> None:
        try:
            replies = await self._part(part)
        except EndpointError as error:
            replies = [error] * len(part.lines)
        for line, reply in zip(part.lines, replies, strict=True):
            report(line.index, reply)

    async def _part(self, part: BatchPart) -> list[ChatReply | EndpointError]:
        batch = await self._try(partial(self._find, part))
        at_most = self._at_most(part)
        async with self.budget.hold(at_most, is_committed=batch is not None) as hold:
            hold.cost = at_most
            try:
                if batch is None:
                    batch = await self._try(partial(self._find_or_create, part))
            except EndpointError as error:
                if not error.may_be_billed:
                    hold.cost = Spend()
                raise
            replies = await self._collect(part, await self._wait(batch))
            answered = [reply for reply in replies if isinstance(reply, ChatReply)]
            hold.cost = Spend(
                sum(reply.cost_usd for reply in answered),
                sum(reply.prompt_tokens + reply.completion_tokens for reply in answered),
                len(answered),
            )
        return replies

    def _at_most(self, part: BatchPart) -> Spend:
        input_tokens = sum(line.request.input_tokens_at_most for line in part.lines)
        output_tokens = sum(line.request.max_tokens for line in part.lines)
        usd = self.settings.cost(input_tokens, output_tokens)
        return Spend(usd, input_tokens + output_tokens, len(part.lines))

    async def _find(self, part: BatchPart) -> BatchState | None:
        """Return the newest batch of these requests that has answers or may still get some."""
        batches: list[BatchState] = []
        page: BatchPage | None = None
        after: dict[str, str] = {}
        while page is None or (page.has_more and page.data):
            page = parse_as(BatchPage, await self._get("/batches", limit="100", **after), "list")
            batches += [
                b for b in page.data if (b.metadata or {}).get(HASH_KEY) == part.content_hash
            ]
            after = {"after": page.data[-1].id} if page.data else {}
        oldest = time.time() - KEPT_SECONDS
        useful = [b for b in batches if b.created_at > oldest and not b.has_failed]
        return max(useful, key=lambda batch: batch.created_at, default=None)

    async def _find_or_create(self, part: BatchPart) -> BatchState:
        """Return the batch of these requests, created if it does not exist.

        Each attempt looks it up again: an earlier attempt that seemed to fail may have succeeded.
        """
        if existing := await self._find(part):
            return existing
        file = await self.client.files.with_raw_response.create(
            file=("requests.jsonl", part.content), purpose="batch"
        )
        body = {
            "completion_window": "24h",
            "endpoint": PATH,
            "input_file_id": parse_as(UploadedFile, file.content, "file").id,
            "metadata": {HASH_KEY: part.content_hash},
        }
        created = await self.client.post("/batches", cast_to=httpx2.Response, body=body)
        return parse_as(BatchState, created.content, "batch")

    async def _wait(self, batch: BatchState) -> BatchState:
        path = f"/batches/{quote(batch.id, safe='')}"

        async def look() -> BatchState:
            return parse_as(BatchState, await self._get(path), "batch")

        while not batch.has_ended:
            await asyncio.sleep(self.settings.batch_poll_seconds)
            batch = await self._try(look)
        return batch

    async def _collect(self, part: BatchPart, batch: BatchState) -> list[ChatReply | EndpointError]:
        contents = []
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            path = f"/files/{quote(file_id, safe='')}/content"
            contents.append(await self._try(partial(self._get, path)))
        answers = read_answers(contents)
        return [self._reply(line, batch, answers.get(line.custom_id)) for line in part.lines]

    def _reply(
        self, line: Line, batch: BatchState, answer: BatchAnswer | None
    ) -> ChatReply | EndpointError:
        if answer is None:
            return EndpointError(f"{batch.reason}; it holds no answer to this request")
        seconds = (batch.completed_at or batch.created_at) - batch.created_at
        try:
            completion = read_completion(answer.completion)
        except ContentFilteredError:
            return filtered_reply(seconds)
        except EndpointError as error:
            return error
        return to_reply(completion, line.request, self.settings, seconds)

    async def _get(self, path: str, **query: str) -> bytes:
        response = await self.client.get(path, cast_to=httpx2.Response, options={"params": query})
        return without_secrets(response.content.decode(errors="replace"), self.secrets).encode()

    async def _try(self, once: Callable[[], Awaitable[T]]) -> T:
        async def translated() -> T:
            with client_errors(self.secrets):
                return await once()

        return await with_retries(translated, self.settings.max_attempts)
