"""A small server on loopback that speaks enough of the OpenAI chat protocol to test a client over real HTTP.

    with ChatServer(["FINAL(Blue)"]) as s:
        client = openai.OpenAI(base_url=s.base_url, api_key="any")
        ...
    s.requests[0].body["messages"]   # what the client sent

`replies` is one reply for every request, a list of replies to give in order, or a function from a request's body to a
reply. A reply is the model's text as a `str`, a `dict` (a message, or a whole completion if it has "choices" or
"error"), an `Http` (anything at all: a status, headers, a raw body, a delay, a broken connection), or a function like
the above. Tokens are counted as words.
"""
from __future__ import annotations
import itertools, json, socket, socketserver, struct, threading, time
from dataclasses import dataclass, field

@dataclass(frozen=True)
class Http:
    "A reply below the chat protocol."
    status: int = 200
    body: str | bytes | dict | list = b""   # dicts and lists are sent as JSON; text as it is
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0                      # seconds to wait before anything is sent
    drop: bool = False                      # reset the connection instead of answering
    wire: tuple = ()                        # instead: bytes as they are, seconds to wait, `RESET` for a reset; then it hangs up

HANG = Http(delay=3600)   # never answers; gives up when the server closes
RESET = Http(drop=True)

@dataclass(frozen=True)
class Request:
    "A chat request as it came over the wire."
    body: dict
    headers: dict[str, str]   # names in lower case
    path: str

def words(messages: list[dict]) -> int:
    return sum(len(str(m.get("content") or "").split()) for m in messages)

def completion(message: str | dict, body: dict | None = None, finish_reason: str = "stop", **more) -> dict:
    "A whole chat completion around one message, in answer to the request `body`."
    if isinstance(message, str): message = {"content": message}
    message = {"role": "assistant", **message}
    body = body or {"model": "test-model", "messages": []}
    sent, said = words(body["messages"]), words([message])
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": {"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said}, **more}

def pieces(whole: dict, body: dict):
    "A whole completion as the pieces of a stream."
    rest = {k: v for k, v in whole.items() if k not in ("choices", "usage")} | {"object": "chat.completion.chunk"}
    choice = whole["choices"][0]
    message = dict(choice["message"])
    texts = {k: message.pop(k) for k in ("reasoning_content", "content") if message.get(k)}
    piece = lambda delta, **more: rest | {"choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}
    yield piece({"role": "assistant", "content": ""})
    for name, text in texts.items():
        for word in text.split(" ")[:1] + [f" {word}" for word in text.split(" ")[1:]]: yield piece({name: word})
    yield piece({k: v for k, v in message.items() if k != "role"},
                **{k: v for k, v in choice.items() if k not in ("index", "message")})
    if body.get("stream_options", {}).get("include_usage"): yield rest | {"choices": [], "usage": whole.get("usage")}

def task_at(body: dict) -> int:
    "Where the question stands among a request's messages: below the worked examples."
    asked = (i for i, m in enumerate(body["messages"]) if m["role"] == "user" and "Task: " in m["content"])
    return max(asked, default=0)

class ChatServer:
    "Serve `/v1/chat/completions` and `/v1/models`, or those below another path, until the `with` block ends."
    def __init__(self,
        replies="ok",             # what to answer; see the module's docstring
        models=("test-model",),   # what `/v1/models` lists; or an `Http`
        delay: float = 0.0,       # seconds before each chat reply, as a model that takes its time
        path: str = "/v1",        # where its routes begin; it knows no other
        streams: bool = False,    # send replies in pieces to whom wants them so, a word each
        pause: float = 0.0,       # seconds between two pieces
    ):
        self.replies, self.models, self.delay, self.path = replies, models, delay, path.rstrip("/")
        self.streams, self.pause = streams, pause
        self.lookups: list[dict[str, str]] = []   # the headers of the requests for its models
        self.requests: list[Request] = []   # the chat requests, in the order they came
        self.usage: list[dict] = []         # the usage that was sent with each completion
        self.busy = self.most = 0           # chat requests being answered now, and at most
        self._lock, self._closing = threading.Lock(), threading.Event()

    def __enter__(self) -> ChatServer:
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.chat = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}{self.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def messages(self) -> list[list[dict]]:
        "The messages of each request."
        return [r.body["messages"] for r in self.requests]

    def answer(self, method: str, path: str, headers: dict, raw: bytes) -> Http:
        "What to send back for one HTTP request."
        if (method, path) == ("GET", f"{self.path}/models"):
            self.lookups.append(headers)
            if isinstance(self.models, Http): return self.models
            return Http(body={"object": "list", "data": [{"id": m, "object": "model"} for m in self.models]})
        if (method, path.partition("?")[0]) != ("POST", f"{self.path}/chat/completions"):
            return Http(404, {"error": {"message": f"no such route: {method} {path}"}})
        body = json.loads(raw)
        with self._lock:
            n = len(self.requests)
            self.requests.append(Request(body, headers, path))
        reply = self.replies
        if isinstance(reply, (list, tuple)):
            if n >= len(reply): return Http(400, {"error": {"message": f"the test's list of {n} replies has run out"}})
            reply = reply[n]
        if callable(reply): reply = reply(body)
        if isinstance(reply, Http): return reply
        if isinstance(reply, str) or not ("choices" in reply or "error" in reply): reply = completion(reply, body)
        with self._lock: self.usage.append(reply.get("usage"))
        if self.streams and body.get("stream"): return Http(body=pieces(reply, body), delay=self.delay)
        return Http(body=reply, delay=self.delay)

    def count(self, step: int):
        "One request more, or fewer, is being answered."
        with self._lock:
            self.busy += step
            self.most = max(self.most, self.busy)

    def wait(self, seconds: float) -> bool:
        "Sleep; True if the server closed meanwhile."
        return bool(seconds) and self._closing.wait(seconds)

class _Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 256
    block_on_close = False

class _Connection(socketserver.StreamRequestHandler):
    "One kept-alive HTTP/1.1 connection. Parsed by hand: `http.server` takes longer than a whole request may."
    disable_nagle_algorithm, wbufsize = True, 0

    def handle(self):
        try:
            while self.one_request(): pass
        except OSError: pass   # the client went away

    def one_request(self) -> bool:
        "Serve one request; False when the connection is to be closed."
        first = self.rfile.readline().split()
        if len(first) < 2: return False
        headers = {}
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        raw = self.rfile.read(size := int(headers.get("content-length", 0)))
        if len(raw) < size: return False   # the client was killed
        chat = self.server.chat
        chat.count(+1)
        try:
            reply = chat.answer(first[0].decode(), first[1].decode(), headers, raw)
            if chat.wait(reply.delay): return False
        finally: chat.count(-1)
        if reply.wire: return self.raw(reply.wire)
        if reply.drop: return self.reset()
        self.send(reply)
        return True

    def reset(self) -> bool:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
        return False

    def raw(self, parts: tuple) -> bool:
        "Send what is no proper answer, part by part, and hang up."
        for part in parts:
            if part is RESET: return self.reset()
            if isinstance(part, bytes): self.request.sendall(part)
            elif self.server.chat.wait(part): break
        return False

    def stream(self, reply: Http):
        "Send the pieces as server-sent events, in chunks."
        head = {"content-type": "text/event-stream", **reply.headers, "transfer-encoding": "chunked"}
        lines = ["HTTP/1.1 200 OK", *(f"{k}: {v}" for k, v in head.items()), "\r\n"]
        self.request.sendall("\r\n".join(lines).encode())
        for event in itertools.chain(reply.body, ["[DONE]"]):
            if isinstance(event, Http):
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionResetError
            sent = f"data: {json.dumps(event) if isinstance(event, dict) else event}\n\n".encode()
            self.request.sendall(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            if self.server.chat.wait(self.server.chat.pause): break
        self.request.sendall(b"0\r\n\r\n")

    def send(self, reply: Http):
        body = reply.body
        if hasattr(body, "__next__"): return self.stream(reply)
        if isinstance(body, (dict, list)): body = json.dumps(body)
        if isinstance(body, str): body = body.encode()
        headers = {"content-type": "application/json", **reply.headers, "content-length": len(body)}
        lines = [f"HTTP/1.1 {reply.status} {'OK' if reply.status < 400 else 'Error'}",
                 *(f"{k}: {v}" for k, v in headers.items()), "\r\n"]
        self.request.sendall("\r\n".join(lines).encode() + body)
