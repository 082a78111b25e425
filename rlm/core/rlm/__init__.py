"Where `rlms` lies over us, its `from rlm.core.rlm import RLM` ends here: a package comes before a module."
from rlm._conflict import check

check()
raise ImportError("There is no `rlm.core.rlm` in this package. Write: from rlm import RLM")
