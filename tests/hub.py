"""A server on loopback that speaks the protocol of a model hub, as far as `huggingface_hub` asks for files, and that of a
package index (PEP 503), as far as pip does.

    with Hub() as hub:
        hub.repos["owner/name"] = {"model.gguf": b"GGUF ..."}
        hub.packages["part1"] = [wheel("part1", "0.1", {"part1/data.bin": b"..."})]

`stall[path] = n` sends n bytes of what it would send there and then nothing more, until the server ends.
"""
from __future__ import annotations
import hashlib, io, json, re, threading, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"

def wheel(name: str, version: str, files: dict[str, bytes]) -> tuple[str, bytes]:
    "A wheel's file name, and the wheel."
    info = f"{name}-{version}.dist-info"
    files = files | {f"{info}/RECORD": b"", f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
                     f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as z:
        for path, content in files.items(): z.writestr(path, content)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()

class Hub:
    "Serves repositories and packages until the `with` block ends."
    def __init__(self):
        self.repos: dict[str, dict[str, bytes]] = {}
        self.packages: dict[str, list[tuple[str, bytes]]] = {}
        self.gated: set[str] = set()
        self.stall: dict[str, int] = {}
        self.requests: list[tuple[str, str, str]] = []  # the method, the path and the range asked for
        self.stalled, self._closing = threading.Event(), threading.Event()

    def __enter__(self) -> Hub:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Connection)
        self._server.hub, self._server.daemon_threads = self, True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def asked(self, method: str) -> list[str]:
        "The paths that were asked for with a method."
        return [path for m, path, _ in self.requests if m == method]

    def find(self, path: str) -> tuple[int, dict, bytes]:
        "The status, headers and body for a path."
        if m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/main", path):
            if m[1] not in self.repos: return self.refusal(m[1])
            listed = [{"type": "file", "path": name, "size": len(b), "oid": "0" * 40} for name, b in self.repos[m[1]].items()]
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        if m := re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", path):
            if m[1] not in self.repos or m[1] in self.gated: return self.refusal(m[1])
            if m[2] not in self.repos[m[1]]: return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b""
            body = self.repos[m[1]][m[2]]
            return 200, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}, body
        if m := re.fullmatch(r"/simple/([^/]+)/", path):
            links = "".join(f'<a href="/wheels/{name}">{name}</a>' for name, _ in self.packages.get(m[1], []))
            return 200 if links else 404, {"Content-Type": "text/html"}, f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
        for name, content in (w for wheels in self.packages.values() for w in wheels):
            if path == f"/wheels/{name}": return 200, {"Content-Type": "application/octet-stream"}, content
        return 404, {}, b""

    def refusal(self, repo: str) -> tuple[int, dict, bytes]:
        return (403, {"X-Error-Code": "GatedRepo"}, b"") if repo in self.gated else (401, {"X-Error-Code": "RepoNotFound"}, b"")

class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)

    def answer(self, with_body: bool):
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        asked = self.headers.get("Range", "")
        hub.requests.append((self.command, path, asked))
        status, headers, body = hub.find(path)
        size = len(body)
        if status == 200 and (m := re.fullmatch(r"bytes=(\d+)-", asked)):
            status, body = 206, body[int(m[1]):]
            headers["Content-Range"] = f"bytes {m[1]}-{size - 1}/{size}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body), "Accept-Ranges": "bytes"}.items(): self.send_header(name, str(value))
        self.end_headers()
        if not with_body: return
        if path not in hub.stall: self.wfile.write(body)
        else:
            self.wfile.write(body[:hub.stall[path]])
            self.wfile.flush()
            hub.stalled.set()
            hub._closing.wait()
