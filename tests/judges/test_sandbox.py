"""Code that tries to escape, to intrude, or to forge a verdict."""

import os
import socket
import textwrap
import time

import pytest

from judges import load
from judges.panel.judge import Answer, Opinion
from judges.verifiers import sandbox
from judges.verifiers.sandbox import Limits, check, is_test_code, run_tests
from rlhf_core.config import JudgeSettings
from rlhf_core.errors import ConfigError
from rlhf_core.records import Outcome
from tests.facts import prompt

LIMITS = Limits(timeout_seconds=5, memory_megabytes=256)
TESTS = "assert f(2) == 4\nassert f(3) == 9"


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    try:
        check()
    except ConfigError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


def reason(code: str, tests: str = "pass", limits: Limits = LIMITS) -> str:
    """Return the reason why hostile code passed no test."""
    ran = run_tests(textwrap.dedent(code), tests, limits)
    assert ran.passed == 0
    return ran.reason


def judge(text: str, *references: str, **options: object) -> Opinion:
    settings = {"kind": "verifier", "metric": "code", **options}
    found = load(JudgeSettings.model_validate(settings))
    (opinion,) = found.score([Answer(prompt(reference_answers=references), text)])
    return opinion


def test_the_score_is_the_share_of_tests_that_pass():
    assert judge("def f(x): return x * x", TESTS).score == 1.0
    assert judge("def f(x): return 4", TESTS).score == 0.5
    assert judge("def f(x): return y", TESTS).score == 0.0
    assert judge("Sure:\n```python\ndef f(x):\n    return x * x\n```\nDone.", TESTS).score == 1.0


def test_test_functions_count_and_test_code_without_any_is_one_test():
    functions = "def test_two():\n    assert f(2) == 4\ndef test_three():\n    assert f(3) == 9\n"
    assert judge("def f(x): return 4", functions).score == 0.5
    assert judge("def f(x): return 4", "if f(3) != 9: raise ValueError").score == 0.0
    assert judge("def f(x): return 9", "if f(3) != 9: raise ValueError").score == 1.0


def test_tests_of_the_options_replace_those_of_the_prompt():
    assert judge("def f(x): return 4", TESTS, tests="assert f(2) == 4").score == 1.0


def test_the_best_of_several_references_counts_and_one_that_is_no_code_does_not():
    assert judge("def f(x): return 4", TESTS, "assert f(2) == 4", "what is this").score == 1.0
    assert judge("def f(x): return 4", "what is this", "").outcome is Outcome.ABSTAINS


def test_a_failure_says_why():
    said = judge("def f(x): return 4", TESTS).raw_output or ""
    assert '"passed": 1, "total": 2, "reason": "test of line 2: AssertionError' in said
    assert "invalid syntax" in (judge("I cannot help with that.", TESTS).raw_output or "")


def test_a_loop_without_end_is_stopped():
    began = time.monotonic()
    assert reason("while True: pass", limits=Limits(1, 256)) == "stopped after 1 s"
    assert time.monotonic() - began < 4


def test_a_child_that_outlives_the_code_is_stopped_with_it():
    """A process in a new session escapes its process group, but not the namespace."""
    mark = f"{time.time_ns()}"
    code = f"""
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            stay = "import time; open('alive', 'w'); time.sleep(99)"
            os.execv(sys.executable, [sys.executable, "-c", stay, "{mark}"])
    """
    tests = "while not os.path.exists('alive'): time.sleep(0.01)"
    assert run_tests(textwrap.dedent(code), tests, LIMITS).passed == 1
    assert mark not in _command_lines()


def _command_lines() -> str:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                found.append(file.read())
        except OSError:
            continue
    return "\n".join(found)


def test_a_fork_bomb_stays_small():
    """Eight processes at most: the code's own and seven more."""
    code = """
        import os, time
        children = 0
        try:
            while children < 100:
                if os.fork() == 0:
                    time.sleep(60)
                children += 1
        except BlockingIOError:
            pass
    """
    ran = run_tests(textwrap.dedent(code), "assert 1 <= children <= 7, children", LIMITS)
    assert ran.passed == 1, ran.reason


def test_memory_is_bounded():
    assert reason("x = 'a' * (1 << 30)").startswith("MemoryError")


def test_only_an_empty_folder_can_be_written_and_not_for_long():
    code = "import os\nbefore = os.listdir()\nopen('x', 'w').write('a')"
    for _ in range(2):
        assert run_tests(code, "assert before == []", LIMITS).passed == 1
    assert "File too large" in reason("open('x', 'wb').write(bytes(17 << 20))")
    full = "for n in range(9): open(str(n), 'wb').write(bytes(4 << 20))"
    assert "No space left" in reason(full)


def test_the_machine_is_neither_read_nor_written():
    assert "Read-only" in reason("open('/usr/x', 'w')")
    assert "Read-only" in reason("open('/x', 'w')")
    assert "No such file" in reason("open('/etc/passwd')")
    assert "No such file" in reason(f"open({sandbox.__file__!r})")
    assert "No such file" in reason("open('/proc/self/mem')")


def test_secrets_of_the_environment_are_not_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOLON_TEST_KEY", "secret")
    assert run_tests("import os", "assert not os.environ", LIMITS).passed == 1


def test_no_connection_arrives_even_on_loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        attempt = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)"
        assert "Operation not permitted" in reason(attempt)  # there is no such socket
        with pytest.raises(TimeoutError):
            server.accept()


def test_rights_cannot_be_won_back():
    code = "import ctypes; libc = ctypes.CDLL(None)"
    tests = """
        assert libc.unshare(0x10000000) != 0  # a user namespace, and with it every capability
        assert libc.unshare(0x20000) != 0
        assert libc.umount2(b"/box", 2) != 0
        assert libc.chroot(b"/box") != 0
        assert libc.setuid(0) != 0
    """
    assert run_tests(code, textwrap.dedent(tests), LIMITS).passed == 5


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import sys; sys.exit(0)",
        "raise KeyboardInterrupt",
        'print(\'{"passed": 1, "total": 1, "reason": ""}\'); import os; os._exit(0)',
        "print('a' * 1_000_000); f = lambda x: 0",
        "import atexit, os; atexit.register(os._exit, 0)",
        "class Quiet(BaseException):\n    def __str__(self): raise SystemExit\nraise Quiet",
        """
        import os
        for descriptor in range(64):
            try:
                os.write(descriptor, b'{"passed": 1, "total": 1, "reason": "", "nonce": ""}')
                os.write(descriptor, b'{"refused": "by the code itself"}\\n')
            except OSError:
                pass
        os._exit(0)
        """,
        "def f(x): raise SystemExit(0)",
        "import os\ndef f(x): os._exit(0)",
    ],
)
def test_a_verdict_is_not_forged_by_printing_or_leaving(code: str):
    assert reason(code, "assert f(2) == 4")


def test_where_nothing_can_be_shut_off_nothing_is_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("judges.verifiers.sandbox.sys.platform", "darwin")
    opinion = judge("def f(x): return x * x", TESTS)
    assert opinion.outcome is Outcome.UNAVAILABLE
    assert "it needs Linux" in (opinion.reason or "")
    check.cache_clear()
    with pytest.raises(ConfigError, match="cannot isolate code on this machine"):
        check()
    check.cache_clear()


def test_a_sandbox_that_fails_is_unavailable_not_wrong(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("judges.verifiers.bubblewrap.START", "no Python")
    assert judge("def f(x): return x * x", TESTS).outcome is Outcome.UNAVAILABLE


@pytest.mark.parametrize(
    "text", ["", "# nothing", "two words", "42", "what is this", "\x00", "(" * 10_000]
)
def test_what_is_no_test_code(text: str):
    assert not is_test_code(text)
