# make lab    environment, installation, kernel, and JupyterLab on the first notebook (ARGS=--no-browser over ssh)
# make test   installs if needed and runs every test               (ARGS="-k morph" chooses)
# make lock   renews requirements.lock

SHELL := /bin/bash
VENV  ?= .venv
ARGS  ?=
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3.10 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
RUN := $(VENV)/bin

.PHONY: lab test install notebooks lock clean

lab: install
	$(RUN)/jupyter lab notebooks/00_start_here.ipynb $(ARGS)

test: install
	$(RUN)/python -m pytest $(ARGS)

install: $(VENV)/installed

# the stamp is older than what the installation depends on when that has changed
$(VENV)/installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "i2s needs Python 3.10, 3.11, 3.12 or 3.13: install one, or name it with make PYTHON=/path/to/python3"; exit 1; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	$(RUN)/python -m pip install --quiet -r requirements.lock
	$(RUN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(RUN)/python -m ipykernel install --sys-prefix --name i2s --display-name i2s
	touch $@

notebooks: install
	$(RUN)/python notebooks/build.py $(ARGS)

lock:
	uv pip compile --universal --python-version 3.10 --all-extras --no-emit-package i2s --no-emit-index-url \
		--no-header pyproject.toml -o requirements.lock --upgrade

clean:
	rm -rf $(VENV)
