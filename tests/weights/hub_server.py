"""A Hub on loopback: the HTTP routes that huggingface-hub's client speaks, and their troubles.

Two servers, as on the real one: the Hub itself, which knows names and tokens, and a store of large
files, to which the Hub redirects and which must never see a token.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin")
Reply = tuple[int, dict[str, str], bytes]


def sha1(content: bytes) -> str:
    """What git calls a blob."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Request:
    """One request as it came."""

    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Repo:
    """Commits by hash, and the names that point to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False


@dataclass
class Hub:
    """What the servers hold, how they misbehave, and what they were asked."""

    repos: dict[str, Repo] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    """Large files by SHA-256."""
    refusals: dict[str, Reply] = field(default_factory=dict)
    """Answers to every request whose path holds the key."""
    cuts: list[int] = field(default_factory=list)
    """For each coming answer of the store: the byte of the file at which it breaks off."""
    pause: Callable[[], None] = lambda: None
    """Called by the store before each piece of a file."""
    asked: list[Request] = field(default_factory=list)
    address: str = ""
    store_address: str = ""

    def commit(self, repo: str, files: dict[str, bytes], *names: str) -> str:
        """Add a commit, and let ``main`` and other names point to it."""
        told = "".join(f"{name}{sha1(content)}" for name, content in sorted(files.items()))
        commit = hashlib.sha1(f"{repo}{told}".encode()).hexdigest()
        home = self.repos.setdefault(repo, Repo())
        home.commits[commit] = files
        home.refs |= dict.fromkeys(("main", *names), commit)
        self.store |= {sha256(c): c for name, c in files.items() if name.endswith(LARGE)}
        return commit

    def fetched(self) -> list[Request]:
        """Requests for content that the store answered."""
        return [one for one in self.asked if one.path.startswith("/store/") and one.method == "GET"]

    def found(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        home = self.repos[repo]
        commit = home.refs.get(revision, revision)
        return (commit, home.commits[commit]) if commit in home.commits else None


def error(status: int, code: str = "", message: str = "") -> Reply:
    """A refusal in the Hub's form."""
    headers = {"X-Error-Code": code} if code else {}
    return status, headers | ({"X-Error-Message": message} if message else {}), b"{}"


def as_json(told: Any, status: int = 200) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(told).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_words: object) -> None:
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        path = unquote(urlsplit(self.path).path)
        token = self.headers.get("Authorization")
        self.hub.asked.append(Request(self.command, path, token, self.headers.get("Range")))
        for part, reply in self.hub.refusals.items():
            if part in path:
                return self._send(*reply)
        if path.startswith("/store/"):
            return self._from_store(path.removeprefix("/store/"), body)
        return self._send(*_route(self.hub, self.command, path, body))

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _from_store(self, name: str, body: bytes) -> None:
        if self.command == "PUT":
            self.hub.store[sha256(body)] = body
            return self._send(200, {}, b"")
        content = self.hub.store[name]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = self.hub.cuts.pop(0) if self.hub.cuts else len(content)
        try:
            for place in range(start, end, 2**20):
                self.hub.pause()
                self.wfile.write(content[place : min(place + 2**20, end)])
        except OSError:  # the client has gone
            self.close_connection = True
        self.close_connection |= end < len(content)
        return None


def _route(hub: Hub, method: str, path: str, body: bytes) -> Reply:
    if method == "POST":
        return _posted(hub, path, body)
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
        return _told(hub, found[1], found[2] or "main")
    if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        return _resolved(hub, found[1], found[2], found[3])
    return error(404)


def _told(hub: Hub, repo: str, revision: str) -> Reply:
    if repo not in hub.repos:
        return error(404, "RepoNotFound")
    if not (found := hub.found(repo, revision)):
        return error(404, "RevisionNotFound")
    siblings = [
        {"rfilename": name, "size": len(content), "blobId": sha1(content)}
        | (
            {"lfs": {"sha256": sha256(content), "size": len(content), "pointerSize": 134}}
            if name.endswith(LARGE)
            else {}
        )
        for name, content in found[1].items()
    ]
    told = {"id": repo, "sha": found[0], "siblings": siblings}
    return as_json(told | {"private": hub.repos[repo].private})


def _resolved(hub: Hub, repo: str, revision: str, name: str) -> Reply:
    if repo not in hub.repos or not (found := hub.found(repo, revision)):
        return error(404, "RepoNotFound")
    commit, files = found
    if name not in files:
        return error(404, "EntryNotFound")
    headers = {"X-Repo-Commit": commit}
    if not name.endswith(LARGE):
        return 200, headers | {"ETag": f'"{sha1(files[name])}"'}, files[name]
    key = sha256(files[name])
    headers |= {"X-Linked-Etag": f'"{key}"', "X-Linked-Size": str(len(files[name]))}
    return 302, headers | {"Location": f"{hub.store_address}/store/{key}"}, b""


def _posted(hub: Hub, path: str, body: bytes) -> Reply:
    if path == "/api/repos/create":
        told = json.loads(body)
        repo = f"{told['organization']}/{told['name']}"
        if repo in hub.repos:
            return as_json({"url": f"{hub.address}/{repo}"}, 409)
        hub.repos[repo] = Repo(private=told["visibility"] == "private")
        hub.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
        return as_json({"url": f"{hub.address}/{repo}"})
    if path == "/api/validate-yaml":
        return as_json({"errors": [], "warnings": []})
    if path.endswith("/preupload/main"):
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return as_json({"files": files})
    if path.endswith(".git/info/lfs/objects/batch"):
        objects = [
            one | {"actions": {"upload": {"href": f"{hub.store_address}/store/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return as_json({"transfer": "basic", "objects": objects})
    if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
        return _committed(hub, found[1], body)
    return error(404)


def _committed(hub: Hub, repo: str, body: bytes) -> Reply:
    latest = hub.found(repo, "main")
    files = dict(latest[1]) if latest else {}
    for line in map(json.loads, body.splitlines()):
        told = line["value"]
        if line["key"] == "file":
            files[told["path"]] = base64.b64decode(told["content"])
        elif line["key"] == "lfsFile":
            files[told["path"]] = hub.store[told["oid"]]
    commit = hub.commit(repo, files)
    return as_json({"commitUrl": f"{hub.address}/{repo}/commit/{commit}", "commitOid": commit})


@contextmanager
def serving() -> Iterator[Hub]:
    """Both servers, until the end of the block."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    hub.address, hub.store_address = (f"http://127.0.0.1:{s.server_port}" for s in servers)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
