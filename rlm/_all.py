"Everything that `rlm` has to offer by name, and all that belongs to it."
from .types import *
from .types import __all__ as _of_types
from .completion import RLM
from .session import Session
from .files import Files
from .logger import RLMLogger, read_log
from .asynchronous import Stream
from . import timeline as _timeline  # it and the next give results their ways to be shown
from .utils import notebook as _notebook, trace_markdown as _trace_markdown

__all__ = [*_of_types, "RLM", "Session", "Files", "RLMLogger", "read_log", "Stream"]
