"What is installed: the packages that get built, what an import loads, and the clash with `rlms`."
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")

ROOT = Path(__file__).resolve().parent.parent
MODULES = {p.relative_to(ROOT).as_posix() for p in (ROOT / "rlm").rglob("*.py")} | {"rlm/py.typed"}

def run(*args, cwd=None, **env):
    args, env = [str(a) for a in args], os.environ | env
    return subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)

def ok(*args, **kw):
    done = run(*args, **kw)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

class Environment:
    "A new environment with nothing in it; what our modules import comes from the one that the tests run in."
    def __init__(self, folder):
        venv.create(folder, with_pip=False)
        self.folder, self.bin = folder, folder / "bin"

    def pip(self, *args): ok(sys.executable, "-m", "pip", "--python", self.bin / "python", *args, PYTHONPATH="")

    def python(self, code):
        return run(self.bin / "python", "-c", code, cwd=self.folder, PYTHONPATH=sysconfig.get_path("purelib"))

@pytest.fixture
def env(tmp_path): return Environment(tmp_path / "env")

@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    "A folder with the sdist, and the wheel that was built from it."
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("rlm", "nbs", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for p in ROOT.iterdir():
        if p.is_file(): shutil.copy(p, tree)
    ok(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree)
    return out

@pytest.fixture(scope="module")
def wheel(dist): return next(dist.glob("*.whl"))

@pytest.fixture(scope="module")
def rlms(tmp_path_factory):
    "The wheel of the reference implementation."
    folder = tmp_path_factory.mktemp("rlms")
    got = run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--ignore-requires-python", "-d", folder,
              "rlms==0.1.3")
    if got.returncode: pytest.skip(f"rlms can't be downloaded here: {got.stderr.strip().splitlines()[-1]}")
    return next(folder.glob("*.whl"))

@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as z: names = {n for n in z.namelist() if ".dist-info/" not in n}
    assert names == MODULES

@pytest.mark.slow
def test_sdist_can_be_built_from_and_holds_no_tests(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as t: names = {n.partition("/")[2] for n in t.getnames()}
    assert MODULES | {"settings.ini", "setup.py", "README.md", "LICENSE"} <= names
    assert not any(n.startswith("tests") for n in names)

@pytest.mark.slow
def test_installed_wheel_imports(env, wheel):
    env.pip("install", "-q", "--no-deps", wheel)
    got = env.python("import rlm; print(rlm.__file__)")
    assert got.returncode == 0, got.stderr
    assert got.stdout.startswith(str(env.folder))
    assert (env.bin / "rlm_get_model").exists() and (env.bin / "rlm").exists()

def test_import_is_light():
    heavy = {"openai", "huggingface_hub", "IPython", "nbformat", "pandas", "numpy", "xllamacpp"}
    loaded = ok(sys.executable, "-c", "import sys; from rlm import RLM; print(*sys.modules)").split()
    assert not heavy & set(loaded)

def test_import_leaves_the_embedded_model_alone():
    loaded = ok(sys.executable, "-c", "import sys; from rlm import RLM; RLM('ollama/m'); print(*sys.modules)").split()
    assert not {"rlm.local_lm", "rlm.weights", "rlm.models", "subprocess"} & set(loaded)

LATE = """
import sys, rlm
assert "fastcore" not in sys.modules and "rlm.types" not in sys.modules and rlm.__version__
try: rlm.nothing_like_it
except AttributeError as e: assert "no attribute 'nothing_like_it'" in str(e)
from rlm import RLM, ConfigurationError
assert rlm.RLM is RLM and RLM.completion and "rlm.utils.notebook" in sys.modules and rlm.backends.BACKENDS
from rlm import *
print(*sorted(n for n in vars(rlm) if n[0] != "_"))
"""

@pytest.mark.parametrize("name", ["rlm", "rlm.exe"])
def test_a_program_called_rlm_loads_names_when_it_asks_for_them(name, tmp_path):
    (tmp_path / name).write_text(LATE)
    names = ok(sys.executable, tmp_path / name).split()
    assert names == ok(sys.executable, "-c", "import rlm; print(*sorted(n for n in vars(rlm) if n[0] != '_'))").split()
    assert {"RLM", "Session", "Usage", "read_log"} <= set(names)

@pytest.mark.parametrize("argv", ["[]", "['']", "['-c']", "['/bin/my-rlm']", "['rlm.py']"])
def test_every_other_program_has_all_at_once(argv):
    ok(sys.executable, "-c", f"import sys; sys.argv = {argv}; import rlm; assert 'rlm.types' in sys.modules and 'RLM' in vars(rlm)")

WHAT_TO_DO = "pip uninstall -y rlms rlm", "pip install rlm"

@pytest.mark.slow
@pytest.mark.parametrize("order", ["rlms under rlm", "rlms over rlm"])
def test_rlms_in_the_same_environment_is_refused(env, wheel, rlms, order):
    wheels = [rlms, wheel] if order == "rlms under rlm" else [wheel, rlms]
    for w in wheels: env.pip("install", "-q", "--no-deps", "--ignore-requires-python", w)
    for code in ("import rlm", "from rlm import RLM"):
        got = env.python(code)
        assert got.returncode == 1
        assert "ImportError: The package `rlms` is installed here" in got.stderr
        assert all(command in got.stderr for command in WHAT_TO_DO)

    env.pip("uninstall", "-q", "-y", "rlms", "rlm")
    env.pip("install", "-q", "--no-deps", wheel)
    assert env.python("import rlm").returncode == 0

def test_the_import_path_of_rlms_names_ours():
    got = run(sys.executable, "-c", "from rlm.core.rlm import RLM")
    assert "from rlm import RLM" in got.stderr.splitlines()[-1]
