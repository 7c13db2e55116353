"""A Hub on loopback, in memory, that speaks the protocol of huggingface_hub 0.36 and 2.x for model repositories,
and lets datasets be read.

Repositories hold snapshots: a commit is the full set of its files. Large files go through LFS (batch, PUT, verify) and
come back over a redirect to another address, as from the real one. The attributes of `Failures` make things go wrong.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

DATE = "2026-01-01T00:00:00.000Z"
ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".npy")
LFS_SIZE = 10 * 2**20
PIPELINE_TAGS = {"robotics", "image-text-to-text", "text-generation", "image-to-text", "reinforcement-learning"}
LICENCES = {"apache-2.0", "mit", "llama2", "llama3", "gemma", "cc-by-4.0", "cc-by-nc-4.0", "other", "unknown"}
REPOSITORY = r"([\w.-]+/[\w.-]+)"
KINDS = "(?:models|datasets)"  # share their names here, and can both be read


class HubError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True)
class Blob:
    content: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """As git names it; of a large file, that of its pointer would differ and nobody asks."""
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    sha: str
    files: dict[str, Blob]
    message: str


@dataclass
class Repository:
    name: str
    private: bool = False
    gated: bool = False  # what it holds is listed for everybody, and given to its owner
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    pull_requests: int = 0

    def add(self, branch: str, files: dict[str, Blob], message: str) -> Commit:
        seed = f"{self.name} {len(self.commits)} {message} {sorted((p, b.etag) for p, b in files.items())}"
        commit = Commit(hashlib.sha1(seed.encode()).hexdigest(), dict(files), message)
        self.commits[commit.sha] = commit
        self.branches[branch] = commit.sha
        return commit

    def at(self, revision: str) -> Commit:
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[sha]

    @property
    def head(self) -> str:
        return self.branches["main"]

    def text(self, path: str, revision: str = "main") -> str:
        return self.at(revision).files[path].content.decode()


@dataclass
class Failures:
    """What goes wrong; by itself nothing does.

    Attributes:
        broken_puts: numbers of the LFS uploads, counted from 1, whose connection is dropped halfway.
        all_puts_from: the same for every one from this number on.
        refuse_commits: a reason to answer commits with; "" accepts them.
    """

    broken_puts: set[int] = field(default_factory=set)
    all_puts_from: int | None = None
    refuse_commits: str = ""

    def breaks(self, number: int) -> bool:
        return number in self.broken_puts or (self.all_puts_from is not None and number >= self.all_puts_from)


class HubServer:
    """Use as a context manager; `url` is what HF_ENDPOINT names.

    `users` maps tokens to names; writing needs one, and a user writes to repositories under the own name alone.
    `is_private_unasked`: what a new repository is where nobody says, as owners of an organisation may set.
    """

    def __init__(self):
        self.users = {"dummy": "user", "strangers": "stranger"}
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.failures, self.puts, self.is_private_unasked = Failures(), 0, False
        self.requests: list[str] = []
        self.lock = threading.RLock()
        handler = type("Handler", (Handler,), {"hub": self})
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        hosts = (
            "127.0.0.1",
            "localhost",
        )  # clients follow a redirect to the same one, and lose its headers
        ports = [server.server_port for server in self.servers]
        self.url, self.store = (f"http://{host}:{port}" for host, port in zip(hosts, ports, strict=True))

    def __enter__(self) -> "HubServer":
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fail(self, **settings) -> None:
        """Things go wrong as said from here on; without arguments all is well again. Uploads are counted anew."""
        self.failures, self.puts = Failures(**settings), 0

    def create(self, name: str, private: bool = False) -> Repository:
        self.repositories[name] = Repository(name, private)
        self.repositories[name].add("main", {".gitattributes": Blob(ATTRIBUTES, False)}, "initial commit")
        return self.repositories[name]

    def upload(self, name: str, folder: Path, branch: str = "main") -> None:
        """All files of a folder as one commit, the only one of a new branch."""
        repository = self.repositories.get(name) or self.create(name)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): Blob(path.read_bytes(), False) for path in paths}
        repository.add(branch, files, f"Upload {branch}")

    def edit(self, name: str, path: str, text: str, branch: str = "main") -> None:
        """As somebody does in the browser."""
        repository = self.repositories[name]
        files = {**repository.at(branch).files, path: Blob(text.encode(), False)}
        repository.add(branch, files, f"Update {path}")


class Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets, and whoever asked acknowledges the first late

    def do_GET(self) -> None:
        self.answer("GET")

    def do_HEAD(self) -> None:
        self.answer("HEAD")

    def do_POST(self) -> None:
        self.answer("POST")

    def do_PUT(self) -> None:
        self.answer("PUT")

    def log_message(self, *_) -> None:
        pass

    def answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        self.query, path = parse_qs(parts.query), parts.path
        self.hub.requests.append(f"{method} {path}")
        try:
            for methods, pattern, action in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and method in methods.split():
                    if method == "PUT":  # reads its own body, or half of it
                        return action(self, *match.groups())
                    self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    with self.hub.lock:
                        return action(self, *map(unquote, match.groups()))
            raise HubError(404, f"no route for {method} {path}")
        except HubError as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            self.send(error.status, {"error": error.message}, {k: v for k, v in headers.items() if v})

    def send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # Who asks, and for what

    @property
    def user(self) -> str | None:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in self.hub.users:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.hub.users.get(given)

    def readable(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        user = self.user  # a token that is not valid is refused for what everybody may read, too
        hidden = repository and repository.private and user != name.split("/")[0]
        if repository is None or hidden:
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        return repository

    def check_writer(self, owner: str) -> None:
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        if self.user != owner:
            raise HubError(403, f"You don't have the rights to write under the namespace {owner!r}")

    def writable(self, name: str) -> Repository:
        """A pull request needs no right to write."""
        repository = self.readable(name)
        if self.query.get("create_pr") != ["1"]:
            self.check_writer(name.split("/")[0])
        elif self.user is None:
            raise HubError(401, "Invalid username or password.")
        return repository

    # Accounts, repositories, branches

    def whoami(self) -> None:
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        self.send(200, {"type": "user", "name": self.user, "auth": {"accessToken": {"role": "write"}}, "orgs": []})

    def create_repository(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or self.user
        self.check_writer(owner)
        name = f"{owner}/{asked['name']}"
        answer = {"url": f"{self.hub.url}/{name}", "name": name, "id": name}
        if name in self.hub.repositories:
            return self.send(409, {"error": "You already created this model repo", **answer})
        asked_for = asked.get("private", asked.get("visibility"))  # by releases of the client before and since 1.0
        self.hub.create(name, self.hub.is_private_unasked if asked_for is None else asked_for in (True, "private"))
        return self.send(200, answer)

    def create_branch(self, name: str, branch: str) -> None:
        repository = self.writable(name)
        self.check_writer(name.split("/")[0])
        if branch in repository.branches:
            raise HubError(409, f"Reference already exists: {branch}")
        if branch.startswith("refs/"):
            raise HubError(400, f"Invalid reference for a branch: {branch}")
        start = (json.loads(self.body) if self.body else {}).get("startingPoint", "main")
        repository.branches[branch] = repository.at(start).sha
        self.send(201, {})

    def refs(self, name: str) -> None:
        branches = self.readable(name).branches.items()
        listed = [{"name": b, "ref": f"refs/heads/{b}", "targetCommit": s} for b, s in branches if "refs/" not in b]
        self.send(200, {"branches": listed, "tags": [], "converts": []})

    # Reading

    def info(self, name: str, revision: str = "main") -> None:
        repository = self.readable(name)
        commit = repository.at(revision)
        self.send(
            200,
            {
                "_id": hashlib.md5(name.encode()).hexdigest()[:24],
                "id": name,
                "modelId": name,
                "author": name.split("/")[0],
                "sha": commit.sha,
                "lastModified": DATE,
                "createdAt": DATE,
                "private": repository.private,
                "gated": "auto" if repository.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            },
        )

    def tree(self, name: str, revision: str, folder: str = "") -> None:
        files = self.readable(name).at(revision).files
        under = {p: b for p, b in files.items() if not folder or p.startswith(f"{folder}/")}
        if folder and not under:
            raise HubError(404, f"{folder} does not exist on {revision!r}", "EntryNotFound")
        deep = self.query.get("recursive", [""])[0].lower() in ("true", "1")
        entries, depth = {}, folder.count("/") + 1 if folder else 0
        for path, blob in sorted(under.items()):
            for i in range(depth + 1, path.count("/") + 1):
                parent = "/".join(path.split("/")[:i])
                entries[parent] = {"type": "directory", "path": parent, "oid": "0" * 40, "size": 0}
            entries[path] = file_entry(path, blob)
        shown = [entry for path, entry in entries.items() if deep or path.count("/") == depth]
        self.send(200, shown)

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.readable(name)
        commit = repository.at(revision)
        if repository.gated and self.user != name.split("/")[0]:
            raise HubError(403 if self.user else 401, f"Access to model {name} is restricted.", "GatedRepo")
        headers = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        blob = commit.files.get(path)
        if blob is None:
            headers |= {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return self.send(404, {"error": "Entry not found"}, headers)
        if blob.lfs:
            headers |= {"X-Linked-Size": str(len(blob.content)), "X-Linked-ETag": f'"{blob.etag}"'}
            return self.send(302, b"", {**headers, "Location": f"{self.hub.store}/{blob.sha256}"})
        return self.send_ranged(blob.content, {**headers, "ETag": f'"{blob.etag}"'})

    def stored(self, oid: str) -> None:
        self.send_ranged(self.hub.lfs[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def send_ranged(self, content: bytes, headers: dict[str, str]) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self.send(200, content, headers)
        first, last = int(asked[1]), int(asked[2] or len(content) - 1)
        if first >= len(content):
            return self.send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        part = content[first : last + 1]
        span = f"bytes {first}-{first + len(part) - 1}/{len(content)}"
        return self.send(206, part, {**headers, "Content-Range": span})

    # Writing

    def validate_card(self) -> None:
        problems = card_problems(json.loads(self.body)["content"])
        if problems:
            return self.send(400, {"errors": [{"message": p} for p in problems], "warnings": []})
        return self.send(200, {"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        files = self.writable(name).at(revision).files
        answer = []
        for file in json.loads(self.body)["files"]:
            path, old = file["path"], files.get(file["path"])
            large = path.endswith(LFS_SUFFIXES) or file["size"] > LFS_SIZE
            mode = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            answer.append({**mode, **({"oid": old.etag} if old else {})})
        self.send(200, {"files": answer})

    def lfs_batch(self, name: str) -> None:
        self.readable(name)
        if self.user is None:
            raise HubError(401, "Invalid username or password.")
        asked = json.loads(self.body)
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        objects = []
        for item in asked["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.lfs:
                upload = {"href": f"{self.hub.store}/{item['oid']}"}
                verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/verify"}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        self.send(200, {"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        with self.hub.lock:
            self.hub.puts += 1
            broken = self.hub.failures.breaks(self.hub.puts)
        size = int(self.headers["Content-Length"])
        content = self.rfile.read(size // 2 if broken else size)
        if broken:
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(400, "the content does not have this hash")
        self.hub.lfs[oid] = content
        self.send(200, b"")

    def verify(self, name: str) -> None:
        asked = json.loads(self.body)
        if len(self.hub.lfs.get(asked["oid"], b"")) != asked["size"]:
            raise HubError(400, f"{asked['oid']} did not arrive whole in {name}")
        self.send(200, {})

    def commit(self, name: str, revision: str) -> None:
        repository = self.writable(name)
        if self.hub.failures.refuse_commits:
            raise HubError(412, self.hub.failures.refuse_commits)
        files, lines = dict(repository.at(revision).files), [json.loads(line) for line in self.body.splitlines()]
        assert lines[0]["key"] == "header"
        for line in lines[1:]:
            self.apply(files, line["key"], line["value"])
        summary, answer = lines[0]["value"]["summary"], {}
        if self.query.get("create_pr") == ["1"]:
            repository.pull_requests += 1
            number = repository.pull_requests
            revision = f"refs/pr/{number}"
            answer["pullRequestUrl"] = f"{self.hub.url}/{name}/discussions/{number}"
        elif revision not in repository.branches:
            raise HubError(400, f"{revision} is no branch")
        commit = repository.add(revision, files, summary)
        url = f"{self.hub.url}/{name}/commit/{commit.sha}"
        self.send(200, {"success": True, "commitUrl": url, "commitOid": commit.sha, "hookOutput": "", **answer})

    def apply(self, files: dict[str, Blob], key: str, value: dict) -> None:
        """One operation of a commit."""
        path = value["path"]
        if key == "file":
            assert value["encoding"] == "base64"
            files[path] = Blob(base64.b64decode(value["content"]), False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.lfs:
                raise HubError(400, f"Your push was rejected because an LFS pointer pointed to a missing file: {path}")
            files[path] = Blob(self.hub.lfs[value["oid"]], True)
        elif key == "deletedFile" and path in files:
            del files[path]
        elif key == "deletedFile":
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        else:
            raise HubError(400, f"unknown operation {key}")


def file_entry(path: str, blob: Blob) -> dict:
    entry = {"type": "file", "path": path, "oid": blob.oid, "size": len(blob.content)}
    if blob.lfs:
        entry["lfs"] = {"oid": blob.sha256, "size": len(blob.content), "pointerSize": 134}
    return entry


def card_problems(content: str) -> list[str]:
    """What the Hub's validation of model cards says to the fields that ours use."""
    block = re.match(r"^---\n(.*?)\n---(\n|$)", content, re.DOTALL)
    if not block:
        return []
    try:
        data = yaml.safe_load(block[1]) or {}
    except yaml.YAMLError as error:
        return [f"YAML is invalid: {error}"]
    problems = []
    if data.get("pipeline_tag", "robotics") not in PIPELINE_TAGS:
        problems.append(f'"pipeline_tag" {data["pipeline_tag"]!r} is not known')
    for licence in as_list(data.get("license")):
        if licence not in LICENCES:
            problems.append(f'"license" must be one of {sorted(LICENCES)}, not {licence!r}')
    for name in ("base_model", "datasets"):
        for value in as_list(data.get(name)):
            if not isinstance(value, str) or not re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", value):
                problems.append(f'"{name}" with value {value!r} is not valid: it must be a repository id')
    for name in ("library_name", "license_name", "license_link", "pipeline_tag"):
        if not isinstance(data.get(name, ""), str):
            problems.append(f'"{name}" must be a string')
    tags = data.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        problems.append('"tags" must be a list of strings')
    return problems


def as_list(value: object) -> list:
    return [] if value is None else value if isinstance(value, list) else [value]


ROUTES: list[tuple[str, str, Callable]] = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/repos/create", Handler.create_repository),
    ("POST", r"/api/validate-yaml", Handler.validate_card),
    ("POST", rf"/api/models/{REPOSITORY}/branch/([^/]+)", Handler.create_branch),
    ("GET", rf"/api/{KINDS}/{REPOSITORY}/refs", Handler.refs),
    ("POST", rf"/api/models/{REPOSITORY}/preupload/([^/]+)", Handler.preupload),
    ("POST", rf"/api/models/{REPOSITORY}/commit/([^/]+)", Handler.commit),
    ("GET", rf"/api/{KINDS}/{REPOSITORY}/tree/([^/]+)", Handler.tree),
    ("GET", rf"/api/{KINDS}/{REPOSITORY}/tree/([^/]+)/(.+)", Handler.tree),
    ("GET HEAD", rf"/api/{KINDS}/{REPOSITORY}", Handler.info),
    ("GET HEAD", rf"/api/{KINDS}/{REPOSITORY}/revision/([^/]+)", Handler.info),
    ("POST", rf"/{REPOSITORY}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("POST", rf"/{REPOSITORY}\.git/info/lfs/verify", Handler.verify),
    ("PUT", r"/(\w{64})", Handler.put),
    ("GET HEAD", r"/(\w{64})", Handler.stored),
    ("GET HEAD", rf"/(?:datasets/)?{REPOSITORY}/resolve/([^/]+)/(.+)", Handler.resolve),
]
