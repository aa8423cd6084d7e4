"""A model provider on the loopback interface: real HTTP in the words of OpenAI, Anthropic or Google.

What it answers is a list of replies, one for each request; the last one is repeated.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal

Ending = Literal["complete", "truncated", "filtered"]


@dataclass(frozen=True, slots=True)
class Said:
    """The model's own answer: the arguments of the tool that it was given, or plain text."""

    arguments: Any = None
    text: str | None = None
    ending: Ending = "complete"
    input_tokens: int = 1000
    output_tokens: int = 200

    @property
    def written(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments)


@dataclass(frozen=True, slots=True)
class Refused:
    """A status of the provider with a body that no user may see."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    code: str | None = None
    message: str = "secret words of the provider about key sk-1234"


@dataclass(frozen=True, slots=True)
class CutOff:
    """The connection breaks: before any answer, or in the middle of one."""

    in_the_middle: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """Answers only when ``released``, or never within a test."""

    released: threading.Event
    then: Said | Refused


Reply = Said | Refused | CutOff | Held | Callable[["Request"], "Said | Refused"]


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ModelServer:
    """``base_url`` is what JOBQUEUE_LLM_BASE_URL is set to; ``requests`` are those that came, in order."""

    model: ClassVar[str]
    base_path: ClassVar[str]

    def __init__(self, *replies: Reply) -> None:
        self.replies: list[Reply] = list(replies)
        self.requests: list[Request] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._lock = threading.Lock()
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_path}"

    def next_reply(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            return self.replies[min(len(self.requests), len(self.replies)) - 1]

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def picture(self, request: Request) -> tuple[str, str]:
        """Media type and base64 of the picture in the request."""
        raise NotImplementedError

    def tool_schema(self, request: Request) -> dict[str, Any]:
        raise NotImplementedError

    def answer(self, said: Said, request: Request) -> tuple[str, bytes]:
        """Content type and body of an answer."""
        raise NotImplementedError

    def error(self, refused: Refused) -> dict[str, Any]:
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        handler = type("OwnHandler", (Handler,), {"owner": self})
        with Server(("127.0.0.1", 0), handler) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield
            server.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    owner: ModelServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, body)
        with self.owner.counted():
            self._send(self.owner.next_reply(request), request)

    def _send(self, reply: Reply, request: Request) -> None:
        if isinstance(reply, Held):
            reply.released.wait(120)
            reply = reply.then
        elif callable(reply):
            reply = reply(request)
        if isinstance(reply, CutOff):
            self._cut(reply, request)
        elif isinstance(reply, Refused):
            self._respond(reply.status, "application/json", json.dumps(self.owner.error(reply)).encode(), reply.headers)
        else:
            self._respond(200, *self.owner.answer(reply, request), {})

    def _respond(self, status: int, content_type: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _cut(self, cut: CutOff, request: Request) -> None:
        if cut.in_the_middle:
            content_type, body = self.owner.answer(Said({"menu": {"categories": []}, "currency": "EUR"}), request)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
        # Closed with a reset, as by a proxy that died.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            """The other side has given up, as some tests want it to."""

    def log_message(self, *_args: object) -> None:
        """Requests are kept, not printed."""


class Server(ThreadingHTTPServer):
    request_queue_size = 200
    daemon_threads = True


class OpenAiServer(ModelServer):
    """Chat Completions, as OpenAI and everybody who imitates it serve them."""

    model = "openai-chat:gpt-4o"
    base_path = "/v1"

    def picture(self, request: Request) -> tuple[str, str]:
        (part,) = [
            part
            for message in request.body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
            if part["type"] == "image_url"
        ]
        head, _, data = part["image_url"]["url"].partition(";base64,")
        return head.removeprefix("data:"), data

    def tool_schema(self, request: Request) -> dict[str, Any]:
        schema: dict[str, Any] = request.body["tools"][0]["function"]["parameters"]
        return schema

    def answer(self, said: Said, request: Request) -> tuple[str, bytes]:
        assert request.path == "/v1/chat/completions"
        message: dict[str, Any] = {"role": "assistant", "content": said.text}
        finish = "stop"
        if said.ending == "filtered":
            message["refusal"] = "I cannot look at this."
        elif said.text is None:
            name = request.body["tools"][0]["function"]["name"]
            call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": said.written}}
            message["tool_calls"] = [call]
            finish = "tool_calls"
        usage = {
            "prompt_tokens": said.input_tokens,
            "completion_tokens": said.output_tokens,
            "total_tokens": said.input_tokens + said.output_tokens,
        }
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": request.body["model"],
            "choices": [
                {"index": 0, "message": message, "finish_reason": "length" if said.ending == "truncated" else finish}
            ],
            "usage": usage,
        }
        return "application/json", json.dumps(body).encode()

    def error(self, refused: Refused) -> dict[str, Any]:
        return {"error": {"message": refused.message, "type": "some_error", "code": refused.code, "param": None}}


class AnthropicServer(ModelServer):
    """Messages, streamed as server-sent events."""

    model = "anthropic:claude-sonnet-5"
    base_path = ""

    def picture(self, request: Request) -> tuple[str, str]:
        (part,) = [
            part for message in request.body["messages"] for part in message["content"] if part["type"] == "image"
        ]
        return part["source"]["media_type"], part["source"]["data"]

    def tool_schema(self, request: Request) -> dict[str, Any]:
        schema: dict[str, Any] = request.body["tools"][0]["input_schema"]
        return schema

    def answer(self, said: Said, request: Request) -> tuple[str, bytes]:
        assert request.path.partition("?")[0] == "/v1/messages"
        reason = {"truncated": "max_tokens", "filtered": "refusal"}.get(
            said.ending, "tool_use" if said.text is None else "end_turn"
        )
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if said.text is not None:
            blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": said.text}]))
        elif said.ending != "filtered":
            name = request.body["tools"][0]["name"]
            start = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
            half = len(said.written) // 2
            pieces = [said.written[:half], said.written[half:]]
            blocks.append((start, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]))
        events: list[dict[str, Any]] = [
            {
                "type": "message_start",
                "message": {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "model": request.body["model"],
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "usage": {"input_tokens": said.input_tokens, "output_tokens": 1},
                },
            }
        ]
        for index, (start, deltas) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": start})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        events.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": None},
                "usage": {"output_tokens": said.output_tokens},
            }
        )
        events.append({"type": "message_stop"})
        if not request.body.get("stream"):
            raise AssertionError("this provider is always streamed")
        text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return "text/event-stream", text.encode()

    def error(self, refused: Refused) -> dict[str, Any]:
        kind = refused.code or {529: "overloaded_error", 429: "rate_limit_error"}.get(refused.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": refused.message}}


class GoogleServer(ModelServer):
    """generateContent of the Gemini API."""

    model = "google:gemini-2.5-flash"
    base_path = ""

    def picture(self, request: Request) -> tuple[str, str]:
        (part,) = [
            part["inlineData"]
            for content in request.body["contents"]
            for part in content["parts"]
            if "inlineData" in part
        ]
        return part["mime_type"], part["data"].translate({ord("-"): "+", ord("_"): "/"})  # the alphabet for URLs

    def tool_schema(self, request: Request) -> dict[str, Any]:
        declaration = request.body["tools"][0]["functionDeclarations"][0]
        schema: dict[str, Any] = declaration["parameters_json_schema"]
        return schema

    def answer(self, said: Said, request: Request) -> tuple[str, bytes]:
        assert request.path.partition("?")[0] == "/v1beta/models/gemini-2.5-flash:generateContent"
        parts: list[dict[str, Any]] = []
        if said.text is not None:
            parts = [{"text": said.text}]
        elif said.ending == "complete":
            name = request.body["tools"][0]["functionDeclarations"][0]["name"]
            arguments = json.loads(said.written)
            parts = [{"functionCall": {"name": name, "args": arguments}}]
        reason = {"truncated": "MAX_TOKENS", "filtered": "SAFETY"}.get(said.ending, "STOP")
        body = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
            "usageMetadata": {
                "promptTokenCount": said.input_tokens,
                "candidatesTokenCount": said.output_tokens,
                "totalTokenCount": said.input_tokens + said.output_tokens,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r1",
        }
        return "application/json", json.dumps(body).encode()

    def error(self, refused: Refused) -> dict[str, Any]:
        return {"error": {"code": refused.status, "message": refused.message, "status": refused.code or "UNKNOWN"}}
