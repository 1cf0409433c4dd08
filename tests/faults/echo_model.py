"""A language model on loopback that answers `re: <what the lead said last>`, slowly, and outlives the servers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

OPENING = "Hello, this is Mia."
_SLOWEST_S = 0.06


@dataclass
class EchoModel:
    """Speaks OpenAI's chat completions at `base_url`. asked: how often."""

    base_url: str
    asked: int = 0
    _lock: Any = field(default_factory=threading.Lock)
    _random: Random = field(default_factory=lambda: Random(1))

    @property
    def settings(self) -> dict[str, str]:
        """What makes a server use it, in the test environment too."""
        name = "openai-compatible:echo"
        return {"NEWLEAF_MODEL": name, "NEWLEAF_SANDBOX_MODEL": name, "NEWLEAF_MODEL_BASE_URL": self.base_url}

    def think(self) -> float:
        """Count a question; returns how long the answer takes, in seconds."""
        with self._lock:
            self.asked += 1
            return self._random.uniform(0, _SLOWEST_S)


@contextlib.contextmanager
def echo_model() -> Iterator[EchoModel]:
    """A model, answering until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.model = EchoModel(f"http://127.0.0.1:{server.server_address[1]}/v1")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.model  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # whoever was asking has died
            return
        asked = json.loads(body)
        time.sleep(self.server.model.think())  # type: ignore[attr-defined]
        answer = json.dumps(_answer(_reply_to(asked["messages"][-1]["content"]))).encode()
        with contextlib.suppress(ConnectionError):  # who asked may be dead
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def _reply_to(prompt: str) -> str:
    messages = [json.loads(line)["message"] for line in prompt.splitlines() if line.startswith('{"message":')]
    said = [message["text"] for message in messages if message["role"] == "lead"]
    return f"re: {said[-1]}" if said else OPENING


def _answer(reply: str) -> dict[str, Any]:
    function = {"name": "take_turn", "arguments": json.dumps({"reply": reply})}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    head = {"id": "1", "object": "chat.completion", "created": 1_770_000_000, "model": "echo"}
    return {**head, "choices": [choice], "usage": usage}
