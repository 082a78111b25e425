"Recursive Language Models: a model answers a prompt by writing Python, with the prompt as a variable in its REPL."
__version__ = "0.1.0"

import sys as _sys
from ._conflict import check as _check
_check()

def __getattr__(name):
    "For the command `rlm`, which starts fast: all is loaded when the first name is asked for."
    if name.startswith("__") and name != "__all__": raise AttributeError(f"module 'rlm' has no attribute {name!r}")
    from importlib import import_module  # `from . import` would ask this function
    every = import_module("rlm._all")
    globals().update({given: getattr(every, given) for given in every.__all__})
    if name in globals(): return globals()[name]
    raise AttributeError(f"module 'rlm' has no attribute {name!r}")

def load_ipython_extension(shell):
    "For `%load_ext rlm`: the magics `%%rlm` and `%rlm`."
    from .magics import load
    load(shell)

_started = (getattr(_sys, "argv", None) or [""])[0]  # "-m" while Python looks for the module that it is to run
if _started.replace("\\", "/").rpartition("/")[2] not in ("rlm", "rlm.exe", "-m"):
    del __getattr__
    from ._all import *
