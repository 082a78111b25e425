"Recursive Language Models: a model answers a prompt by writing Python, with the prompt as a variable in its REPL."
__version__ = "0.1.0"

from ._conflict import check as _check
_check()
from .types import *
from .completion import RLM
from .session import Session
from .logger import RLMLogger, read_log
from .asynchronous import Stream
from .utils import notebook as _notebook, trace_markdown as _trace_markdown  # they give results their ways to be shown
