"""Mathematical equality of two final answers, by math-verify in a separate process.

The library's own timeouts are signals, which work in a main thread only and cannot interrupt a
power tower inside a single multiplication; so a process that overruns is killed instead.
"""

import json
import os
import re
import resource
import selectors
import subprocess
import sys
from importlib.util import find_spec
from types import TracebackType

from rlhf_core.errors import ConfigError

MISSING = "metric: maths needs math-verify; pip install 'solon[verifiers]'"
TIMEOUT_SECONDS = 5.0
MEMORY_BYTES = 1 << 30
NEEDED = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")
"""Environment variables that the process gets: it reads model output and must not see any key."""
TAIL_CHARACTERS = 2000
"""Length of the end of a text that is read; conclusions stand there."""

GSM8K = re.compile(r"####[ \t]*(\S[^\n]*)")
STATED = re.compile(r"\b(?:answer|result)(?:\s+is|\s*[:=])+[ \t]*(\S[^\n]*)", re.IGNORECASE)
LETTERED = re.compile(r"^\s*A:[ \t]*(\S[^\n]*)", re.MULTILINE)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
SENTENCE_END = re.compile(r"\.(?=\s|$)")
WORD = re.compile(r"(?<!\\)\b[A-Za-z]{2,}")


class MathsWorker:
    """Compares answers one by one; the process starts with the first and ends with the `with`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "MathsWorker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def equal(self, text: str, reference: str) -> bool | None:
        """Return True if the final answers are equal; None if the reference has no mathematics.

        Raises:
            TimeoutError: If they cannot be compared within the limits of time and memory.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        segments = [final_answer(reference), final_answer(text)]
        try:
            process.stdin.write(json.dumps(segments) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._overrun() from None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            is_ready = selector.select(TIMEOUT_SECONDS)
        line = process.stdout.readline() if is_ready else ""
        if not line:
            raise self._overrun()
        is_equal: bool | None = json.loads(line)
        return is_equal

    def _start(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in NEEDED if name in os.environ},
                text=True,
                bufsize=1,
            )
            assert self._process.stdout is not None
            if not self._process.stdout.readline():  # written once all is imported
                raise ConfigError(MISSING)
        return self._process

    def _overrun(self) -> TimeoutError:
        self._end()
        return TimeoutError(f"the answers could not be compared within {TIMEOUT_SECONDS:g} s")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def check() -> None:
    """Refuse to start without the library.

    Raises:
        ConfigError: If it is missing; the message names the command that installs it.
    """
    if find_spec("math_verify") is None:
        raise ConfigError(MISSING)


def final_answer(text: str) -> str:
    r"""Return the conclusion of a text as math-verify reads it: mathematics without words in `$`.

    That is the last `\boxed{}`; else what follows the last `####`, "the answer is" or "A:"; else
    the end of the text, of which math-verify takes the last expression.
    """
    text = text[-TAIL_CHARACTERS:]
    segment = _last_boxed(text) or _last_stated(text)
    if segment is None:
        return text
    return segment if WORD.search(segment) or not segment else f"${segment}$"


def _last_boxed(text: str) -> str | None:
    for opening in reversed(list(BOXED.finditer(text))):
        depth = 1
        for end in range(opening.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[opening.end() : end].strip()
    return None


def _last_stated(text: str) -> str | None:
    for pattern in (GSM8K, STATED, LETTERED):
        matches = pattern.findall(text)
        if matches:
            return SENTENCE_END.split(matches[-1])[0].strip(" \t$*.")
    return None


def _work() -> None:
    """Compare pairs of final answers, one JSON line each, until the input ends."""
    from math_verify import parse, verify

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(flush=True)
    for line in sys.stdin:
        _limit_time()
        wanted, given = (parse(segment, parsing_timeout=None) for segment in json.loads(line))
        is_equal = verify(wanted, given, timeout_seconds=None) if wanted else None
        print(json.dumps(is_equal), flush=True)


def _limit_time() -> None:
    """Have the kernel end this process some seconds from now, in case its parent is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + TIMEOUT_SECONDS) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


if __name__ == "__main__":
    _work()
