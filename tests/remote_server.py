"""A fast OpenAI-compatible server of chat completions that can misbehave, in its own process.

    python -m tests.remote_server --latency 0.02 --faults 0.1

Prints its address, then serves until its standard input ends. GET /account says what it answered
and what it would bill, by its own count. With --faults each of five faults has that chance, drawn
from a hash of the request and the number of the attempt, so that every run sees the same.
"""

import argparse
import asyncio
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

FAULTS = ("throttled", "broken", "hung", "truncated", "wrong schema")
BILLED_FAULTS = ("hung", "truncated", "wrong schema")
HANG_SECONDS = 30.0


@dataclass
class Account:
    attempts: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    answered_tokens: Counter[str] = field(default_factory=Counter)
    """Prompt and completion tokens of the answers; the same of the faults below."""
    faulty_tokens: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    busiest: int = 0


def share(*parts: object) -> float:
    """A number in [0, 1) drawn from the parts."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:13], 16) / 16**13


def usage(question: str, max_tokens: int) -> dict[str, int]:
    prompt_tokens = 8 + len(question.split())
    completion_tokens = 1 + int(share("length", question) * max_tokens)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}


def completion(question: str, max_tokens: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"answer to {question}"}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": usage(question, max_tokens),
    }


class ChatServer:
    def __init__(self, latency: float, faults: float) -> None:
        self.latency, self.faults = latency, faults
        self.account = Account()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = await reader.readexactly(length)
                status, headers, text = await self.answer(head, body)
                content = text.encode()
                lines = [f"HTTP/1.1 {status} X", *headers, f"content-length: {len(content)}"]
                lines.append("content-type: application/json")
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def answer(self, head: bytes, body: bytes) -> tuple[int, list[str], str]:
        if head.startswith(b"GET /account"):
            return 200, [], json.dumps(vars(self.account))
        self.account.busy += 1
        self.account.busiest = max(self.account.busiest, self.account.busy)
        try:
            await asyncio.sleep(self.latency)
            return await self.chat(json.loads(body))
        finally:
            self.account.busy -= 1

    async def chat(self, asked: dict[str, Any]) -> tuple[int, list[str], str]:
        account, question = self.account, asked["messages"][-1]["content"]
        account.attempts[question] += 1
        drawn = int(share(question, account.attempts[question]) / self.faults) if self.faults else 9
        good = json.dumps(completion(question, asked["max_tokens"]))
        if drawn >= len(FAULTS):
            account.answers[question] += 1
            account.answered_tokens.update(usage(question, asked["max_tokens"]))
            return 200, [], good
        fault = FAULTS[drawn]
        account.faults[fault] += 1
        if fault in BILLED_FAULTS:
            account.faulty_tokens.update(usage(question, asked["max_tokens"]))
        if fault == "hung":
            await asyncio.sleep(HANG_SECONDS)
        return {
            "throttled": (429, ["retry-after: 0.02"], '{"error": {"message": "slower"}}'),
            "broken": (500, [], '{"error": {"message": "broken"}}'),
            "hung": (504, [], "{}"),
            "truncated": (200, [], good[: len(good) // 2]),
            "wrong schema": (200, [], '{"object": "list", "data": []}'),
        }[fault]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--faults", type=float, default=0.0)
    chosen = parser.parse_args()
    chat = ChatServer(chosen.latency, chosen.faults)
    server = await asyncio.start_server(chat.connected, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
