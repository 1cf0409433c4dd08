"""Agents, contexts and played conversations; and a loopback server that speaks OpenAI's chat completions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from engine.agents import (
    AgentSpec,
    HistoryMessage,
    LeadFacts,
    ModelConfig,
    Passage,
    Turn,
    TurnContext,
    get_template,
    take_turn,
)

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
API_KEY = "sk-loopback-secret-0001"


@pytest.fixture
def make_context() -> Callable[..., TurnContext]:
    """A turn of the sales template in its first stage; `said` is what the lead wrote last."""

    def make(said: str = "We lose leads at night.", template: str = "sales-qualifier", **changes: Any) -> TurnContext:
        context = TurnContext(
            agent=AgentSpec.from_config(get_template(template) or {}),
            lead=LeadFacts(name="Ada Byron", phone="+12025550123"),
            now=NOW,
            history=(HistoryMessage("agent", "What would you like to solve?"), HistoryMessage("lead", said)),
            messages_in_stage=2,
            message_total=2,
        )
        return replace(context, **changes)

    return make


@dataclass
class Story:
    """A whole conversation with the scripted model, kept as the caller's storage would keep it."""

    agent: AgentSpec
    lead: LeadFacts = field(default_factory=lambda: LeadFacts(name="Ada Byron"))
    passages: tuple[Passage, ...] = ()
    history: tuple[HistoryMessage, ...] = ()
    stage_index: int = 0
    in_stage: int = 0
    turns: list[Turn] = field(default_factory=list)

    def open(self) -> Turn:
        return self._turn(opening=True)

    def reply(self, said: str) -> Turn:
        self.history += (HistoryMessage("lead", said),)
        self.in_stage += 1
        return self._turn(opening=False)

    def _turn(self, *, opening: bool) -> Turn:
        turn = take_turn(
            TurnContext(
                agent=self.agent,
                lead=self.lead,
                now=NOW,
                history=self.history,
                passages=self.passages,
                stage_index=self.stage_index,
                opening=opening,
                messages_in_stage=self.in_stage,
                message_total=len(self.history),
            ),
            ModelConfig(),
        )
        self.history += (HistoryMessage("agent", turn.reply),)
        self.in_stage = 1 if turn.stage_changed else self.in_stage + 1
        self.stage_index = turn.stage.index if turn.stage else 0
        self.lead = replace(self.lead, status=turn.lead_status)
        self.turns.append(turn)
        return turn


@pytest.fixture
def tell() -> Callable[..., Story]:
    """A story with a template's agent: opened, then answered line by line."""

    def tell(template: str, *lines: str, passages: tuple[Passage, ...] = ()) -> Story:
        story = Story(AgentSpec.from_config(get_template(template) or {}), passages=passages)
        story.open()
        for line in lines:
            story.reply(line)
        return story

    return tell


@dataclass
class Reply:
    """What the server answers to one request; body None: nothing, until the test is over."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class OpenAIServer:
    """Answers queued replies in order, the last one forever, and records what it was asked."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def config(self, **changes: Any) -> ModelConfig:
        settings = {"base_url": f"{self.url}/v1", "api_key": API_KEY, "timeout_s": 10.0, **changes}
        return ModelConfig.parse("openai:gpt-4o-mini", **settings)

    def says(self, **arguments: Any) -> None:
        """Queues a tool call with these arguments."""
        self.calls_tool(json.dumps({"reply": "Hello Ada!", **arguments}))

    def calls_tool(self, arguments: str, name: str = "take_turn") -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        self.answers({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")

    def answers(self, message: dict[str, Any], finish_reason: str = "stop") -> None:
        choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_770_000_000, "model": "gpt-4o-mini"}
        self.replies.append(Reply(body={**body, "choices": [choice], "usage": usage}))

    def fails(self, status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        error = {"message": f"failed, your key was {API_KEY}", "type": "error", "param": None, "code": code}
        self.replies.append(Reply(status, {"error": error}, headers or {}))


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append({"path": self.path, **body})
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
            if reply.body is None:
                over.wait()
                return
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence: the test output is for tests."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = OpenAIServer(f"http://127.0.0.1:{httpd.server_port}")
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    over.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()
