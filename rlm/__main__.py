"`python -m rlm` is the command `rlm`."
import sys
from .cli import main

if __name__ == "__main__": sys.exit(main())
