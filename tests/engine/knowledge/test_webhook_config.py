"""What a webhook source may ask for, and how its secrets are shown."""

from __future__ import annotations

import pytest

from engine.knowledge import webhook_config
from storage.errors import Blocked

TOKEN = "sk_live_0123456789"
URL = "https://api.example.com/products"


def problems(config):
    try:
        webhook_config.require_sound(config)
    except Blocked as refusal:
        return [problem.path for problem in refusal.problems]
    return []


@pytest.mark.parametrize(
    "config",
    [
        {"url": URL},
        {"url": f"{URL}?page={{{{page}}}}", "flowInputs": [{"name": "page", "value": "1"}]},
        {"url": URL, "auth": {"type": "bearer", "token": TOKEN}},
        {"url": URL, "auth": {"type": "basic", "username": "ada", "password": TOKEN}},
        {"url": URL, "auth": {"type": "header", "name": "X-Api-Key", "value": TOKEN}},
        {"url": URL, "auth": {"type": "none"}},
        {
            "flowInputs": [{"name": "user", "value": "ada"}],
            "steps": [
                {"name": "login", "url": URL, "body": '{"user": "{{user}}"}', "extract": {"token": "/token"}},
                {"url": URL, "headers": {"Authorization": "Bearer {{token}}", "X-All": "{{ login }}"}},
            ],
        },
    ],
)
def test_sound_configuration_passes(config):
    assert problems(config) == []


@pytest.mark.parametrize(
    ("config", "paths"),
    [
        ({}, ["/url"]),
        ({"url": URL, "steps": [{"url": URL}]}, ["/url"]),
        ({"url": "ftp://api.example.com/"}, ["/url"]),
        ({"url": "http://127.1/"}, ["/url"]),
        ({"url": "https://user:pass@api.example.com/"}, ["/url"]),
        ({"url": "https://{{host}}/", "flowInputs": [{"name": "host", "value": "x"}]}, ["/url"]),
        ({"url": "https://api.{{host}}.com/", "flowInputs": [{"name": "host", "value": "x"}]}, ["/url"]),
        ({"url": "https://api.example.com:{{port}}/", "flowInputs": [{"name": "port", "value": "1"}]}, ["/url"]),
        ({"url": "{{url}}", "flowInputs": [{"name": "url", "value": URL}]}, ["/url"]),
        ({"url": f"{URL}/{{{{id}}}}"}, ["/url"]),
        ({"url": URL, "headers": {"Host": "evil.example.com"}}, ["/headers/Host"]),
        ({"url": URL, "headers": {"X": "a\r\nb"}}, ["/headers/X"]),
        ({"url": URL, "headers": {"X": "{{nobody}}"}, "body": "{{nobody}}"}, ["/headers/X", "/body"]),
        ({"url": URL, "auth": {"type": "bearer"}}, ["/auth/token"]),
        ({"url": URL, "auth": {"type": "basic"}}, ["/auth/username", "/auth/password"]),
        ({"url": URL, "auth": {"type": "header", "name": "Content-Length", "value": "1"}}, ["/auth/name"]),
        (
            {"url": URL, "flowInputs": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]},
            ["/flowInputs/1/name"],
        ),
        ({"steps": [{"url": URL, "body": "{{later}}"}, {"name": "later", "url": URL}]}, ["/steps/0/body"]),
        ({"steps": [{"name": "a", "url": URL}, {"name": "a", "url": URL}]}, ["/steps/1/name"]),
        ({"steps": [{"name": "a", "url": URL, "extract": {"a": "/x"}}]}, ["/steps/0/extract/a"]),
    ],
)
def test_unsound_configuration_is_refused_with_its_places(config, paths):
    assert problems(config) == paths


SECRETS = {
    "url": URL,
    "headers": {"Accept": "application/json", "X-Api-Key": TOKEN, "Authorization": "Bearer {{token}}"},
    "auth": {"type": "basic", "username": "ada", "password": "short"},
    "flowInputs": [{"name": "page", "value": "1"}, {"name": "accessToken", "value": TOKEN}],
}


def test_secrets_are_cut_and_can_be_put_back():
    shown, secrets = webhook_config.parted(SECRETS)

    assert shown == {
        "url": URL,
        "headers": {"Accept": "application/json", "X-Api-Key": "…6789", "Authorization": "Bearer {{token}}"},
        "auth": {"type": "basic", "username": "ada", "password": "…"},
        "flowInputs": [{"name": "page", "value": "1"}, {"name": "accessToken", "value": "…6789"}],
    }
    assert webhook_config.whole(shown, secrets) == SECRETS


def test_secrets_of_steps_are_cut_too():
    step = {"url": URL, "headers": {"Cookie": TOKEN}, "auth": {"type": "header", "name": "X-Key", "value": TOKEN}}

    shown, secrets = webhook_config.parted({"steps": [{"url": URL}, step]})

    assert TOKEN not in str(shown)
    assert secrets == {"steps.1.headers.Cookie": TOKEN, "steps.1.auth.value": TOKEN}
    assert webhook_config.whole(shown, secrets)["steps"][1] == step


def test_secret_sent_back_as_it_was_shown_stays():
    shown, secrets = webhook_config.parted(SECRETS)

    assert webhook_config.unmasked(shown, secrets) == SECRETS


def test_secret_may_move():
    _, secrets = webhook_config.parted({"url": URL, "auth": {"type": "bearer", "token": TOKEN}})

    moved = webhook_config.unmasked({"url": URL, "headers": {"X-Token": "…6789"}}, secrets)

    assert moved["headers"] == {"X-Token": TOKEN}


@pytest.mark.parametrize("secrets", [{}, {"auth.token": "another secret"}, {"a": "one secret 6789", "b": TOKEN}])
def test_mask_of_an_unknown_secret_is_refused(secrets):
    with pytest.raises(Blocked) as refusal:
        webhook_config.unmasked({"url": URL, "auth": {"type": "bearer", "token": "…6789"}}, secrets)

    assert (refusal.value.code, refusal.value.problems[0].path) == ("masked_secret", "/auth/token")
