"""For every test: no key of the person who runs them, a Ctrl-C that arrives, and what `--quick` leaves out.

Tests marked `slow` need a kernel, the embedded model, an installer, processes of their own, or seconds. They come first, so that where several
processes share the tests (pytest-xdist, `-n`), none is left alone with them in the end.
"""
import os, signal, subprocess, sys, sysconfig, venv
from pathlib import Path

import pytest
from hypothesis import settings

for name in [n for n in os.environ if n.startswith("OPENAI_")]: del os.environ[name]  # so that no test can spend money

collect_ignore = ["browser"]  # `make browser`

# Hypothesis tries the same examples each time, so that a test which fails tells of the change. `make soak` looks for new ones.
settings.register_profile("the same", derandomize=True)
if "FUZZ" not in os.environ: settings.load_profile("the same")

# Below `nohup`, or in the background of a shell, Ctrl-C is ignored, here and in every process started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN: signal.signal(signal.SIGINT, signal.default_int_handler)

# Each of several processes has cores of its own: the threads of the embedded model wait for each other in a loop, which takes
# many times as long where something else runs on one of their cores.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    number, cores = int(worker.removeprefix("gw")), sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number::int(os.environ["PYTEST_XDIST_WORKER_COUNT"])] or [cores[number % len(cores)]])

def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="leave out the tests marked slow, and the cells of notebooks marked slow")

def pytest_configure(config):
    config.addinivalue_line("markers", "slow: left out by --quick")

def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    if config.getoption("quick"): config.hook.pytest_deselected(items=slow)
    items[:] = quick if config.getoption("quick") else slow + quick

# Tests with one of these in their name share a kernel, a server or a site: they run in one process, the others in any.
TOGETHER = "ipykernel 7", "ipykernel 6", "test_local_lm", "test_site", "test_package", "test_threats", "test_kernel"

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling
    class ByWhatTheyShare(LoadScopeScheduling):
        def _split_scope(self, nodeid): return next((name for name in TOGETHER if name in nodeid), nodeid)
    return ByWhatTheyShare(config, log)

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
