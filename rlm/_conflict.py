"The reference implementation, `rlms`, installs a folder `rlm` too: in one environment its files mix with ours."
from os.path import dirname, exists, join

MESSAGE = """The package `rlms` is installed here. It brings a folder `rlm` too, and its files lie among ours.
Keep one of the two. To keep this one:
    pip uninstall -y rlms rlm
    pip install rlm
In a checkout, the second command is: pip install -e '.[dev]'"""

def check() -> None:
    "Raise ImportError where `rlms` is among our files: `rlm/core/rlm.py` is its main module, and none of ours."
    if exists(join(dirname(__file__), "core", "rlm.py")): raise ImportError(MESSAGE)
