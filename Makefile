# make quick | make test | make soak | make browser | make demo | make docs | make prepare | make traces | make pictures | make evals | make bench
# Each does its own set-up in $(VENV), and only when settings.ini or setup.py has changed since the last one.
PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
PY := $(BIN)/python
# The real Quarto where there is one; README.md always comes from the stand-in, so that it is the same for everyone.
STANDIN := $(CURDIR)/scripts/quarto-standin
QUARTO := $(if $(shell command -v quarto),$(BIN),$(STANDIN):$(BIN))
# where settings.ini finds docs_source
DOCS_ENV := PYTHONPATH="$(CURDIR)/scripts"
# nbdev warns where building the docs would run a cell that is more than imports
export PYTHONWARNINGS := error:Found cells containing imports

.PHONY: demo quick test soak browser pictures docs prepare traces evals bench dev clean

demo: $(VENV)/.local
	$(BIN)/rlm_get_model
	$(PY) scripts/demo.py
	@echo
	@echo "Last, a recorded run of a large model, replayed: its code runs now, what models said comes from the log."
	$(PY) scripts/show_recorded.py

# as many processes as there are cores
quick: $(VENV)/.dev
	$(PY) -m pytest tests -q -n auto --quick

test: $(VENV)/.dev
	@echo "All tests. On two cores this takes about 15 minutes. For in between there is make quick."
	@scripts/bubblewrap
	$(BIN)/rlm_get_model --small
	$(PY) -m pytest tests -v -n auto

# Runs of all kinds to which everything happens that can: make soak SECONDS=600 SEED=7, or SEED=7 ONLY=17 for one of them
soak: SECONDS ?= 300
soak: SEED ?= 1
soak: $(VENV)/.dev
	$(PY) tests/soak.py --seconds $(SECONDS) --seed $(SEED) --only "$(ONLY)"
	$(if $(ONLY),,FUZZ=$(SECONDS) $(PY) -m pytest tests/test_fuzz.py -q)

# In JupyterLab itself, in headless Chromium: the one that is installed, or the one that CHROME names
browser: $(VENV)/.browser
	$(PY) -m pytest tests/browser -v

# The pictures of the pages, taken in JupyterLab
pictures: $(VENV)/.browser
	$(PY) scripts/pictures.py

# Modules from notebooks, the API reference from modules, notebooks without what changes at every run, the table of the rooms,
# README.md from nbs/index.ipynb
prepare: $(VENV)/.dev
	$(BIN)/nbdev_export
	$(BIN)/exec_nb nbs/api.ipynb --dest nbs/api.ipynb --exc_stop
	$(BIN)/nbdev_clean
	$(PY) scripts/house.py --write
	@rm -rf _proc
	$(DOCS_ENV) PATH="$(STANDIN):$(BIN):$$PATH" nbdev_readme

docs: prepare
	$(DOCS_ENV) PATH="$(QUARTO):$$PATH" nbdev_docs
	@echo "The site: _docs/index.html"

# The recorded runs of the docs, from a model anywhere: make traces BASE_URL=http://localhost:8000/v1 MODEL=name
traces: $(VENV)/.dev
	$(PY) scripts/record.py --base-url "$(BASE_URL)" --model "$(MODEL)"
	$(BIN)/nbdev_clean

# What the embedded model solves of texts of three lengths. It can be stopped; what is in nbs/data/haystacks is not asked again
evals: $(VENV)/.dev
	$(BIN)/rlm_get_model
	$(PY) scripts/evals.py
	cd nbs && $(BIN)/exec_nb 54_evals.ipynb --dest 54_evals.ipynb --exc_stop && $(BIN)/nbdev_clean --fname 54_evals.ipynb

# What the library adds, beside rlms and dspy.RLM, which get environments of their own: about ten minutes, without other work
bench: $(VENV)/.dev
	$(PY) scripts/bench.py
	cd nbs/guides && $(BIN)/exec_nb benchmarks.ipynb --dest benchmarks.ipynb --exc_stop && $(BIN)/nbdev_clean --fname benchmarks.ipynb

# The environment for work on the project
dev: $(VENV)/.dev

clean:
	rm -rf _docs _proc build dist *.egg-info

$(PY):
	$(PYTHON) -m venv $(VENV)

$(VENV)/.local: settings.ini setup.py | $(PY)
	@echo "Installing what the demo needs in $(VENV) ..."
	@$(PY) -m pip install -qq --disable-pip-version-check -e '.[local]'
	@touch $@

$(VENV)/.dev: settings.ini setup.py | $(PY)
	@echo "Installing what the tests and the docs need in $(VENV) ..."
	@$(PY) -m pip install -qq --disable-pip-version-check -e '.[local,files,dev]'
	@touch $@ $(VENV)/.local

$(VENV)/.browser: $(VENV)/.dev
	@echo "Installing JupyterLab, and what drives a browser, in $(VENV) ..."
	@$(PY) -m pip install -qq --disable-pip-version-check -e '.[browser]'
	@touch $@
