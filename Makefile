# make lab          environment, installation, kernel, and JupyterLab on the first notebook (ARGS=--no-browser over ssh)
# make test         install if needed, and run every test (ARGS="-k morph" chooses)
# make lint         ruff: rules and format
# make format       ruff: mend both where it can
# make lint-course  the prose and pages of the course: lessons, glossary, cards, diagrams
# make notebooks    build and execute the notebooks from notebooks/source
# make lock         renew requirements.lock
# make clean        remove the environment

SHELL := /bin/bash
VENV ?= .venv
ARGS ?=
PYTHON ?= python3.11 python3.12 python3.13 python3.10 python3
RUN := $(VENV)/bin

# Debian packages ensurepip separately; without it `-m venv` leaves half an environment behind
GOOD := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
NONE := i2s needs Python 3.10, 3.11, 3.12 or 3.13 with its venv module (on Debian the package python3-venv): \
	install it, or name another with make PYTHON=/path/to/python3.

# Colab's version of ipywidgets, for tests only; without a network they are skipped
OLD_WIDGETS := build/ipywidgets-7.7.1

.PHONY: lab test lint format lint-course install notebooks lock clean

lab: install
	$(RUN)/jupyter lab notebooks/00_start_here.ipynb $(ARGS)

test: install $(OLD_WIDGETS)
	$(RUN)/python -m pytest $(ARGS)

lint: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

format: install
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

lint-course: install
	$(RUN)/python -m pytest notebooks/lint $(ARGS)

install: $(VENV)/installed

# A stamp: older than its two sources once one of them has changed
$(VENV)/installed: pyproject.toml requirements.lock
	@$(RUN)/python -m pip --version >/dev/null 2>&1 && exit; \
	for p in $(PYTHON); do \
		$$p -c '$(GOOD)' 2>/dev/null && { echo "$$p -m venv $(VENV)"; exec $$p -m venv $(VENV); }; \
	done; echo "$(NONE)" >&2; exit 1
	$(RUN)/python -m pip install --quiet --upgrade pip
	@echo "Installing: some minutes, about 3 GB to download and 6 GB on disk, most of it PyTorch."
	$(RUN)/python -m pip install --quiet -r requirements.lock
	$(RUN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(RUN)/python -m ipykernel install --sys-prefix --name i2s --display-name i2s
	touch $@

$(OLD_WIDGETS): | install
	-$(RUN)/python -m pip install --quiet --no-deps --target $@ ipywidgets==7.7.1 ipython_genutils==0.2.0

notebooks: install
	$(RUN)/python notebooks/build.py $(ARGS)

lock: install
	$(RUN)/uv pip compile --universal --python-version 3.10 --all-extras --no-emit-package i2s --no-emit-index-url \
		--no-header pyproject.toml -o requirements.lock --upgrade

clean:
	rm -rf $(VENV)
