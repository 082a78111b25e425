"For every test: no key and no endpoint of the person who runs them, so that no test can spend money."
import os

for name in [n for n in os.environ if n.startswith("OPENAI_")]: del os.environ[name]
