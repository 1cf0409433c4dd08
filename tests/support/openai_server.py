"""A server on loopback that speaks OpenAI's documented chat completions, and says and does what a test wants."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from engine.agents import ModelConfig

API_KEY = "sk-loopback-secret-0001"


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
    model: str = "gpt-4o-mini"  # that it says it is

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
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_770_000_000, "model": self.model}
        self.replies.append(Reply(body={**body, "choices": [choice], "usage": usage}))

    def refuses(self) -> None:
        """Queues what a safety system says instead of the model."""
        self.answers({"role": "assistant", "content": None, "refusal": "I cannot help with that."})

    def fails(self, status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        error = {"message": f"failed, your key was {API_KEY}", "type": "error", "param": None, "code": code}
        self.replies.append(Reply(status, {"error": error}, headers or {}))


@contextlib.contextmanager
def openai_server() -> Iterator[OpenAIServer]:
    """A server on loopback, until the end of the block."""
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
    try:
        yield server
    finally:
        over.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()
