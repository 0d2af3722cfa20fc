"""What models wrote is shown on terminals, in logs and charts, and steers none of them."""

import io
import json
import logging

import pytest
from rich.table import Table

from flows.charts import svg as charts
from flows.cli.main import _fail
from flows.terminal import screen
from flows.terminal.harmless import SafeConsole, harmless, harmless_json
from flows.terminal.logs import _ConsoleLog
from rlhf_core.errors import ConfigError

TITLE = "\x1b]0;owned\x07"
CLIPBOARD = "\x9b31m\x1b]52;c;ZXZpbA==\x1b\\"
BACKWARDS = "\u202etxt.exe"
STEERING = TITLE + CLIPBOARD + BACKWARDS + "\r\x08\x00"


def is_harmless(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


def test_control_characters_are_written_out():
    assert harmless("\x1b[2J") == "\\x1b[2J"
    assert harmless("\x9b2J\r") == "\\x9b2J\\r"
    assert harmless("naïve 日本語\n\ttext") == "naïve 日本語\n\ttext"
    assert is_harmless(harmless(STEERING))


def test_json_stays_the_same_json():
    text = json.dumps([STEERING, "\U000e0041"], ensure_ascii=False)
    assert json.loads(harmless_json(text)) == [STEERING, "\U000e0041"]
    assert is_harmless(harmless_json(text))


def test_a_console_prints_no_control_character_of_a_text():
    """A plain print, a table's cell and a title alike; rich itself removes a few of them only."""
    stream = io.StringIO()
    console = SafeConsole(file=stream, width=200)
    console.print(STEERING, markup=False)
    table = Table("judge", title=STEERING)
    table.add_row(STEERING)
    console.print(table)
    assert "owned" in stream.getvalue()
    assert is_harmless(stream.getvalue())


def test_a_console_keeps_its_own_colours():
    stream = io.StringIO()
    console = SafeConsole(file=stream, force_terminal=True, color_system="standard", width=80)
    console.print("[bold]a[/bold]\x1b[2J")
    assert "\x1b[1ma" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()


def test_every_console_of_the_commands_is_such_a_one():
    assert isinstance(screen.out, SafeConsole)


def test_what_a_server_said_does_not_steer_the_log(capsys: pytest.CaptureFixture[str]):
    record = logging.LogRecord("flows", logging.INFO, "", 0, "server: %s", (STEERING,), None)
    _ConsoleLog().emit(record)
    said = capsys.readouterr().err
    assert "owned" in said
    assert is_harmless(said)


def test_errors_and_json_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        _fail(ConfigError(f"no judge {STEERING}"), 2)
    screen.print_json({"reason": STEERING})
    said = capsys.readouterr()
    assert is_harmless(said.err + said.out)
    assert json.loads(said.out) == {"reason": STEERING}


def test_a_name_in_a_chart_is_a_text():
    """Matplotlib reads what stands between dollars as mathematics, and refuses "$_$"."""
    page = charts.bars([("costs $5_$ or <b>more</b>", 0.2)], "share")
    assert "costs $5_$ or &lt;b&gt;more&lt;/b&gt;" in page
