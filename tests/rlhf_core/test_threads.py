"""Waiting threads: the environment's choice is kept, and children inherit ours."""

import os
import subprocess
import sys

import pytest

from rlhf_core.distributed.threads import CHOICES, spin_shortly


@pytest.fixture(autouse=True)
def _without_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)


def test_threads_sleep_after_a_short_spin():
    spin_shortly()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_of_the_environment_is_kept(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "active")
    spin_shortly()
    assert [os.environ.get(each) for each in CHOICES if each != name] == [None]


def test_the_command_chooses_before_torch_is_imported():
    code = (
        "import sys; from flows.cli import main; assert 'torch' not in sys.modules; "
        "main._set_up_libraries(); import os; print(os.environ['GOMP_SPINCOUNT'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1000"
