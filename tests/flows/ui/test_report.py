"""The report of a cycle on the screen of a telephone."""

from collections.abc import Callable
from typing import Any

import pytest

from flows.cycle.cycle import Cycle
from rlhf_core.config import Config

TELEPHONE = {"width": 390, "height": 844}
TOO_WIDE = """() => [...document.querySelectorAll('main *')]
    .filter(e => !e.closest('pre') && !e.closest('svg'))
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 40))"""

pytestmark = pytest.mark.usefixtures("server")


def test_nothing_of_the_report_is_cut_off_on_a_telephone(
    finished: Config, visit: Callable[..., tuple[Any, Any]]
):
    """Tables of eight columns stood 190 pixels beyond the edge; now each row is a card."""
    path = Cycle(config=finished, number=1, run_id="").report_path
    page, _ = visit(f"file://{path}")
    page.set_viewport_size(TELEPHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
    assert page.evaluate(TOO_WIDE) == []
