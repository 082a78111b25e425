"Recursive Language Models: a model answers a prompt by writing Python, with the prompt as a variable in its REPL."
__version__ = "0.1.0"

from ._conflict import check as _check
_check()

from .types import *
from .completion import RLM
from .session import Session
