"Everything that `rlm` has to offer by name, and all that belongs to it."
from .types import *
from .types import __all__ as _of_types
from .cache import Cache
from .completion import RLM
from .session import Session
from .files import Files
from .logger import RLMLogger, read_log
from .many import Item, Map
from .asynchronous import Stream
from . import diff as _diff, resume as _resume
from . import timeline as _timeline  # it and the next give results their ways to be shown
from .utils import notebook as _notebook, trace_markdown as _trace_markdown
from .environments.jupyter import configure as _of_jupyter
from .help import explain as _explain, explain_class as _explain_class
from .openai_lm import OpenAILM as _OpenAILM

__all__ = [*_of_types, "RLM", "Session", "Files", "RLMLogger", "read_log", "Stream", "Cache", "Map", "Item"]

_PREVIEW = {"preview": '"schema" tells the model names, types and sizes, and no values; "values" tells these too'}
for _offered in [globals()[name] for name in __all__]: _explain_class(_offered)
_explain(RLM.__init__, backend_kwargs=[_OpenAILM.__init__], environment_kwargs=[_PREVIEW, _of_jupyter])
for _asks in (RLM.acompletion, RLM.preview, RLM.stream): _explain(_asks, RLM.completion)
for _asks in (Session.achat, Session.preview): _explain(_asks, Session.chat)
