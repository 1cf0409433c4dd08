"""Settings: read from the environment, refused where they cannot be. That each is documented, test_readme.py sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from server.settings import Settings


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any settings, in a folder without a .env file."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"NEWLEAF_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NEWLEAF_RATE_LIMITS", "maybe"),
        ("NEWLEAF_LIMIT_KEY", "0"),
        ("NEWLEAF_LIMIT_KEY", "many"),
        ("NEWLEAF_THREADS", "401"),
        ("NEWLEAF_BODY_LIMIT_BYTES", "10"),
        ("NEWLEAF_LOG_LEVEL", "loud"),
        ("NEWLEAF_MODEL_TIMEOUT_S", "0"),
    ],
)
def test_what_a_setting_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError, match=variable.removeprefix("NEWLEAF_").lower()):
        Settings()


def test_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("NEWLEAF_LIMIT_KEY=7\nNEWLEAF_LIMIT_SYNC=3\nOTHER=1\n")
    monkeypatch.setenv("NEWLEAF_LIMIT_KEY", "8")

    chosen = Settings()

    assert (chosen.limit_key, chosen.limit_sync) == (8, 3)


def test_secret_settings_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWLEAF_MODEL_API_KEY", "sk-secret")

    assert "sk-secret" not in repr(Settings())
