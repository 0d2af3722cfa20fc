"""Mathematical equality of two final answers, in a separate process.

The timeouts of math-verify are signals, which work in a main thread only and cannot interrupt a
power tower inside a single multiplication; so a process that overruns is killed instead.
"""

import json
import os
import resource
import selectors
import subprocess
import sys
from importlib.util import find_spec
from types import TracebackType

from judges.verifiers.final_answer import final_answer
from judges.verifiers.structure import ScalarsEqual, equal, expressions, read
from rlhf_core.errors import ConfigError

MISSING = "metric: maths needs math-verify; pip install 'solon[verifiers]'"
TIMEOUT_SECONDS = 5.0
MEMORY_BYTES = 1 << 30
REASON_CHARACTERS = 100
NEEDED = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH")
"""Environment variables that the process gets: it reads model output and must not see any key."""


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
            ValueError: If they cannot be compared, and not because the answer is no mathematics.
        """
        process = self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps([reference, text]) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._overrun() from None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            is_ready = selector.select(TIMEOUT_SECONDS)
        line = process.stdout.readline() if is_ready else ""
        if not line:
            raise self._overrun()
        result = json.loads(line)
        if "reason" in result:
            raise ValueError(result["reason"])
        is_equal: bool | None = result["is_equal"]
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


def _work() -> None:
    """Compare references and answers, one JSON line a pair, until the input ends."""
    from judges.verifiers.scalars import expressions_equal

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for what a library may print
    print(file=results)
    for line in sys.stdin:
        _limit_time()
        reference, text = json.loads(line)
        try:
            result: dict[str, object] = {"is_equal": compare(reference, text, expressions_equal)}
        except ValueError as error:
            result = {"reason": str(error)}
        print(json.dumps(result), file=results)


def compare(reference: str, text: str, expressions_equal: ScalarsEqual) -> bool | None:
    """Return True if the final answers are equal; None if the reference has none.

    Args:
        reference: A text that ends in the reference answer.
        text: The answer.
        expressions_equal: Compares expressions.

    Raises:
        ValueError: If the reference cannot be evaluated, or if both can and yet not be compared.
    """
    wanted, given = final_answer(reference), final_answer(text)
    if wanted is None:
        return None
    if given is None:
        return False
    try:
        return equal(read(wanted), read(given), expressions_equal)
    except MemoryError:
        raise
    except Exception as error:  # parsers and sympy raise errors of many kinds
        reason = f"{type(error).__name__}: {str(error)[:REASON_CHARACTERS]}"
        if not _can_be_evaluated(wanted, expressions_equal):
            raise ValueError(
                f"the reference {wanted[:60]!r} cannot be evaluated ({reason})"
            ) from None
        if _can_be_evaluated(given, expressions_equal):
            raise ValueError(f"{given[:60]!r} cannot be compared ({reason})") from None
        return False


def _can_be_evaluated(conclusion: str, expressions_equal: ScalarsEqual) -> bool:
    """Return True if each expression of a final answer can be compared with a number."""
    try:
        for text in expressions(read(conclusion)):
            expressions_equal(text, "0", None)
    except MemoryError:
        raise
    except Exception:  # as in `compare`: an error of any kind is the finding
        return False
    return True


def _limit_time() -> None:
    """Have the kernel end this process some seconds from now, in case its parent is gone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + TIMEOUT_SECONDS) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


if __name__ == "__main__":
    _work()
