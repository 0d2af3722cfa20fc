"""Programs that try to forge a verdict while tests run apart from the answer."""

from tests.judges.hostile import ENDED, SQUARE, Hostile, forgery

FRAMES = """
import gc, json, os, sys
found = [sys._getframe()]
while found[-1].f_back:
    found.append(found[-1].f_back)
peers = [v for f in found for v in f.f_locals.values() if type(v).__name__ == "Peer"]
peer = (peers + [o for o in gc.get_objects() if type(o).__name__ == "Peer"])[0]
"""


def on_the_line(name: str, sent: str, expected: str = "^0/2 ") -> Hostile:
    """Return a program that finds the pipe to its tests and sends a message of its own."""
    return forgery(name, f"{FRAMES}\n{sent}\nos._exit(0)\n", expected)


FORGERIES = [
    forgery("leave", "import os; os._exit(0)", ENDED),
    forgery("exit", "import sys; sys.exit(0)", "^0/2 SystemExit"),
    forgery("interrupt", "raise KeyboardInterrupt", "^0/2 KeyboardInterrupt"),
    forgery("crash", "import ctypes; ctypes.string_at(0)", ENDED),
    forgery(
        "print a verdict",
        """
        print('{"passed": 2, "total": 2, "reason": "", "nonce": ""}', flush=True)
        import os; os._exit(0)
        """,
        ENDED,
    ),
    forgery(
        "write a verdict everywhere",
        r"""
        import os
        for descriptor in range(64):
            for text in (b'{"passed": 2, "total": 2, "reason": "", "nonce": ""}',
                         b'{"refused": "by the code itself"}\n', b'\n'):
                try: os.write(descriptor, text)
                except OSError: pass
        os._exit(0)
        """,
        f"{ENDED}|^0/2 a message",
    ),
    forgery("leave when asked", "import os\ndef f(x): os._exit(0)", ENDED),
    forgery("exit when asked", "def f(x): raise SystemExit(0)", "^0/2 SystemExit"),
    forgery("exit at exit", "import atexit, os; atexit.register(os._exit, 0)\nf = lambda x: 0"),
    forgery(
        "equal everything",
        "class All:\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
        "f = lambda x: All()",
    ),
    forgery(
        "a number that equals everything",
        "class All(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\n"
        "f = lambda x: All(0)",
    ),
    forgery(
        "a text that equals everything",
        "class All(str):\n    __eq__ = lambda s, o: True\n    __hash__ = str.__hash__\n"
        "f = lambda x: All('')",
        "^0/1 ",
        "assert f(2) == 'four'",
    ),
    forgery(
        "a list that equals everything",
        "class All(list):\n    __eq__ = lambda s, o: True\nf = lambda x: All()",
        "^0/1 ",
        "assert f(2) == [4]",
    ),
    forgery(
        "arithmetic that pleases",
        "class All:\n    __sub__ = __rsub__ = lambda s, o: 0\n    __abs__ = lambda s: 0\n"
        "    __lt__ = lambda s, o: True\nf = lambda x: All()",
        "^0/1 ",
        "assert abs(f(2) - 4.0) < 1e-6",
    ),
    forgery("not a number", "f = lambda x: float('nan')"),
    forgery(
        "redefine what tests call",
        "abs = len = sum = lambda *a: 0\nisinstance = lambda *a: True\nf = lambda x: [1]",
        "^0/3 ",
        "assert abs(f(2)[0] - 4) < 1\nassert len(f(2)) == 0\nassert isinstance(f(2), str)",
    ),
    forgery(
        "bring a module that agrees",
        "class math:\n    isclose = lambda *a: True\nf = lambda x: 1.0",
        "^0/1 ",
        "assert math.isclose(f(2), 4.0)",
    ),
    forgery(
        "patch built-ins",
        "import builtins\nclass Never(Exception): pass\nbuiltins.AssertionError = Never\n"
        "builtins.Exception = Never\nbuiltins.compile = lambda *a, **k: None\n"
        "f = lambda x: 0",
    ),
    forgery(
        "patch what counts",
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    if name.startswith('contained'):\n"
        "        for key in ('run', 'count_tests', 'check', '_is_test'):\n"
        "            setattr(module, key, lambda *a: (2, ''))\nf = lambda x: 0",
    ),
    forgery(
        "patch the encoder",
        'import json\njson.dumps = lambda *a, **k: \'{"passed": 2, "total": 2, "reason": ""}\'\n'
        "f = lambda x: 0",
    ),
    forgery("trace", "import sys\nsys.settrace(lambda *a: None)\nf = lambda x: 0"),
    forgery(
        "write later, from a thread",
        "import os, threading, time\ndef late():\n    time.sleep(0.05)\n"
        "    os.write(4, b'\\0\\0\\0\\x0d{\"value\": true}')\n"
        "threading.Thread(target=late, daemon=True).start()\nf = lambda x: 0",
    ),
    forgery("a yielding of everything", "def f(x):\n    while True: yield 4"),
    forgery("a name of the checker's", "class Gone(BaseException): pass\ndef f(x): raise Gone"),
    forgery("the end of an iteration", "def f(x): raise StopIteration(4)"),
    forgery(
        "an exception without words",
        "class Quiet(BaseException):\n    def __str__(self): raise SystemExit\n"
        "def f(x): raise Quiet",
    ),
    forgery("a value without bottom", "def f(x):\n    a = []; a.append(a); return a"),
    forgery(
        "a value too deep", "def f(x):\n    a = 4\n    for _ in range(9999): a = [a]\n    return a"
    ),
    forgery("a value too large", "f = lambda x: 'a' * (9 << 20)"),
    forgery("recursion", "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)", "^0/"),
    forgery("half a surrogate", "f = lambda x: '\\ud800'"),
    forgery("a huge number", "f = lambda x: 10 ** 100_000"),
    forgery("no Python", "I cannot help with that.", "^0/2 SyntaxError"),
    forgery("a null", "\0", "^0/2 (SyntaxError|ValueError)"),
    forgery("brackets", "(" * 100_000, "^0/2 "),
    on_the_line("say nothing known", "peer._send({'verdict': {'passed': 2}})"),
    on_the_line("say two of two", "peer._send({'value': ['list', [2, '']]})"),
    on_the_line("say NaN", "os.write(4, b'\\0\\0\\0\\x0e{\"value\": NaN }')"),
    on_the_line("say no JSON", "os.write(4, b'\\0\\0\\0\\x04\\xff{[}')", f"{ENDED}|^0/2 a message"),
    on_the_line(
        "say too much",
        "os.write(4, b'\\xff\\xff\\xff\\xff')",
        f"{ENDED}|^0/2 a message is too large",
    ),
    on_the_line("say something deep", "os.write(4, (200_000).to_bytes(4, 'big') + b'[' * 200_000)"),
    on_the_line(
        "say a huge number", "s = b'9' * 99999; os.write(4, len(s).to_bytes(4, 'big') + s)"
    ),
    on_the_line(
        "call what tests keep", "peer._send({'do': 'call', 'of': 0, 'with': [], 'named': []})"
    ),
    on_the_line(
        "look into the checker",
        "peer._send({'do': 'get', 'of': 0, 'with': ['__globals__'], 'named': []})",
    ),
    on_the_line("name eval", "peer._send({'value': ['dict', [['f', ['builtin', 'eval']]]]})"),
    on_the_line("name a module", "peer._send({'value': ['dict', [['f', ['module', 'os']]]]})"),
    on_the_line("name a class", "peer._send({'value': ['dict', [['f', ['Popen', ['id']]]]]})"),
    on_the_line("give back its own", "peer._send({'value': ['yours', 99]})"),
    on_the_line(
        "raise what ends the checker", "peer._send({'raised': [['Gone', 'SystemExit'], '']})"
    ),
    on_the_line("raise nonsense", "peer._send({'raised': 3})"),
    on_the_line(
        "change what was not passed", "peer._send({'changed': [[0, 1], 3], 'value': None})"
    ),
    on_the_line(
        "a range without end",
        "peer._send({'value': ['dict', [['f', ['tuple', [['range', [0, 1 << 60, 1]]]]]]]})",
    ),
]

TOGETHER = "import sys\n" + SQUARE
"""Tests that share a process with the answer; what it can report is limited too.

An answer that equals everything passes here; judges/README.md lists what it can still do.
"""


def beside(name: str, code: str, expected: str = "^0/2 ") -> Hostile:
    return forgery(f"{name}, beside the tests", code, expected, TOGETHER)


FORGERIES += [
    beside("leave", "import os; os._exit(0)", ENDED),
    beside("leave when asked", "import os\ndef f(x): os._exit(0)", ENDED),
    beside("exit when asked", "import sys\ndef f(x): sys.exit(0)", "^0/2 SystemExit"),
    beside("be wrong", "f = lambda x: 0", "^0/2 test of line 2: AssertionError"),
    *(
        beside(f"report nonsense {place}", f"{FRAMES}\npeer._send({said})\nos._exit(0)")
        for place, said in enumerate(
            (
                "{}",
                "{'value': 2}",
                "{'value': ['list', [3, '']]}",
                "{'value': ['list', [-1, '']]}",
                "{'value': ['list', [True, '']]}",
                "{'value': ['list', [float('nan'), '']]}",
                "{'value': ['list', ['2', 2]]}",
                "{'value': ['list', [['int', '0x2' * 999], '']]}",
                "{'value': ['object', 3]}",
                "{'raised': [['Gone'], 'a' * 100_000]}",
            )
        )
    ),
]
