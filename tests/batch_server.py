"""The files and batches endpoints of OpenAI's API on loopback, with every failure a test wants."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers import Loopback, QuietHandler

Line = dict[str, Any]
PAGE = 2
"""Batches on one page of the list; few, so that paging happens."""


def answered(line: Line) -> Line:
    """The output line of a request: its own question, 10 tokens in, 5 out."""
    question = line["body"]["messages"][-1]["content"]
    message = {"role": "assistant", "content": f"answer to {question}"}
    body = {
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
    response = {"status_code": 200, "body": body}
    return {"custom_id": line["custom_id"], "response": response, "error": None}


class BatchServer(Loopback):
    """Answers every line of a batch, in an order of its own, when the batch was looked at enough.

    Args:
        answer: What becomes of a line; None leaves it out.
        looks: How often a batch is looked at before it ends; None: until `looks` is set.
        status: How it ends.
    """

    def __init__(
        self,
        answer: Callable[[Line], Line | None] = answered,
        looks: int | None = 2,
        status: str = "completed",
    ) -> None:
        self.answer, self.looks, self.status = answer, looks, status
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.sent: Counter[str] = Counter()
        """How often each question was handed over in a batch that was made."""
        self.seen = threading.Event()
        """Set when a batch was looked at."""
        self.failures_after_creation = 0
        """So many batches are made and answered with a 500 all the same."""
        self._looked: Counter[str] = Counter()
        outer = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                self.reply(*outer.get(urlsplit(self.path)))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/files":
                    self.reply(200, outer.upload(self.headers["content-type"], body))
                else:
                    self.reply(*outer.create(json.loads(body)))

            def reply(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        super().__init__(Handler)

    def upload(self, content_type: str, body: bytes) -> bytes:
        parts = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        fields = {
            part.get_param("name", header="content-disposition"): part
            for part in parts.get_payload()
        }
        assert fields["purpose"].get_payload() == "batch"
        return self._file(fields["file"].get_payload(decode=True))

    def _file(self, content: bytes) -> bytes:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return json.dumps({"id": name, "object": "file"}).encode()

    def create(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        lines = self.lines(asked["input_file_id"])
        assert len({line["custom_id"] for line in lines}) == len(lines)
        for line in lines:
            self.sent[line["body"]["messages"][-1]["content"]] += 1
        batch = {
            "id": f"batch-{len(self.batches)}",
            "status": "validating",
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            **asked,
        }
        self.batches.append(batch)
        if self.failures_after_creation:
            self.failures_after_creation -= 1
            return 500, b"{}"
        return 200, json.dumps(batch).encode()

    def lines(self, file_id: str) -> list[Line]:
        return [json.loads(line) for line in self.files[file_id].splitlines()]

    def get(self, address: Any) -> tuple[int, bytes]:
        _, kind, *rest = address.path.strip("/").split("/")
        if kind == "files":
            return 200, self.files[rest[0]]
        if rest:
            (batch,) = (batch for batch in self.batches if batch["id"] == rest[0])
            self._look(batch)
            return 200, json.dumps(batch).encode()
        newest = self.batches[::-1]
        after = parse_qs(address.query).get("after")
        start = 1 + [batch["id"] for batch in newest].index(after[0]) if after else 0
        page, has_more = newest[start : start + PAGE], len(newest) > start + PAGE
        return 200, json.dumps({"data": page, "has_more": has_more}).encode()

    def _look(self, batch: dict[str, Any]) -> None:
        self._looked[batch["id"]] += 1
        self.seen.set()
        is_due = self.looks is not None and self._looked[batch["id"]] >= self.looks
        if is_due and batch["status"] in ("validating", "in_progress"):
            self.end(batch)

    def end(self, batch: dict[str, Any]) -> None:
        found = [self.answer(line) for line in self.lines(batch["input_file_id"])]
        outcomes = [line for line in found if line is not None]
        random.Random(1).shuffle(outcomes)  # the API promises no order
        good = [line for line in outcomes if not line["error"]]
        bad = [line for line in outcomes if line["error"]]
        for key, lines in (("output_file_id", good), ("error_file_id", bad)):
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            batch[key] = json.loads(self._file(text.encode()))["id"] if lines else None
        batch["request_counts"]["completed"] = len(good)
        batch |= {"status": self.status, "completed_at": batch["created_at"] + 60}
