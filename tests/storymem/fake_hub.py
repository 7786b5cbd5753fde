"""A hub on localhost: one repository of files, which can break off a download in the middle."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What it serves and what it was asked.

    Attributes:
        repository: Its id.
        files: Path → content.
        broken_after: Serve at most this many bytes of a file per request, then hang up.
        ranges: (path, first byte) of each download request.
        sent: Bytes of content sent.
    """

    repository: str
    files: dict[str, bytes]
    broken_after: int | None = None
    ranges: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0
    address: str = ""

    @contextmanager
    def serve(self) -> Iterator[FakeHub]:
        """Run on a free port of localhost."""
        hub = self

        class Handler(_Handler):
            served = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: FakeHub
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        name = self.served.repository
        if path.startswith(f"/api/models/{name}"):
            self._json(self._api(path.removeprefix(f"/api/models/{name}")))
        elif path.startswith(f"/{name}/resolve/") and (file := path.split("/", 5)[5]) in self.served.files:
            self._file(file, body=body)
        else:
            self._json({"error": "Repository not found"}, status=404, headers={"X-Error-Code": "RepoNotFound"})

    def _api(self, rest: str) -> object:
        files = self.served.files.items()
        if rest.startswith("/tree"):
            return [{"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()} for path, data in files]
        return {"id": self.served.repository, "sha": COMMIT, "siblings": [{"rfilename": path} for path, _ in files], "tags": []}

    def _json(self, data: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(data).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _file(self, file: str, *, body: bool) -> None:
        content = self.served.files[file]
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not body:
            return
        self.served.ranges.append((file, start))
        limit = self.served.broken_after
        part = content[start:] if limit is None else content[start : start + limit]
        self.wfile.write(part)
        self.served.sent += len(part)
