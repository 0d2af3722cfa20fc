import pytest

from rlhf_core.endpoints import retries

KEY = "sk-secret-of-the-test"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without a pause, and set a key in TEST_KEY."""
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("TEST_KEY", KEY)
