"""For every test: no key of the person who runs them, a Ctrl-C that arrives, and what `--quick` leaves out.

Tests marked `slow` need a kernel, the embedded model, an installer, or seconds. They come first, so that where several
processes share the tests, none is left alone with them in the end.
"""
import os, signal, subprocess, sys, sysconfig, venv
from pathlib import Path

import pytest

for name in [n for n in os.environ if n.startswith("OPENAI_")]: del os.environ[name]  # so that no test can spend money

# Below `nohup`, or in the background of a shell, Ctrl-C is ignored, here and in every process started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN: signal.signal(signal.SIGINT, signal.default_int_handler)

def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out the tests marked slow, and the cells of notebooks marked slow")

def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by --quick")

def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    if config.getoption("quick"): config.hook.pytest_deselected(items=slow)
    items[:] = quick if config.getoption("quick") else slow + quick

# -- kernels

@pytest.fixture(scope="session")
def ipykernel_6(tmp_path_factory):
    "An interpreter with ipykernel 6 and IPython 8; all else comes from the environment that the tests run in."
    folder = tmp_path_factory.mktemp("ipykernel6")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    done = subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "ipykernel<7", "ipython<9",
                           "decorator", "nest-asyncio"],
                          capture_output=True, text=True, timeout=300)
    if done.returncode: pytest.skip(f"ipykernel 6 can't be installed here: {done.stderr.strip().splitlines()[-1]}")
    site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True)
    Path(site.stdout.strip(), "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python

@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in ("ipykernel 7", "ipykernel 6")])
def kernel(request, tmp_path_factory):
    "A running kernel."
    from kernel import Kernel
    python = sys.executable if request.param == "ipykernel 7" else request.getfixturevalue("ipykernel_6")
    with Kernel(python, cwd=tmp_path_factory.mktemp("work")) as k:
        assert k.ok("import ipykernel; print(ipykernel.__version__)").stdout.startswith(request.param[-1])
        yield k

@pytest.fixture
def k(kernel):
    "The kernel with an empty namespace, and a few short names for its cells."
    from kernel import SET_UP
    kernel.ok("%reset -f")
    kernel.ok(SET_UP)
    return kernel
