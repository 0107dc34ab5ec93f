# All that is done to this project by hand or by a machine. `just` lists it.
# Tools are taken from .venv where there is one, otherwise from the PATH.

export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

_list:
    @just --list --unsorted

# Make .venv with the package and the tools
setup:
    python3 -m venv --clear .venv
    pip install -q torch==2.13.0
    pip install -q -c constraints.txt -e ".[dev]"

# Put the code into shape
fmt:
    ruff format
    ruff check --fix

# Shape, rules, types, floors
check:
    ruff format --check
    ruff check
    mypy
    lint-imports

# The tests for every day: CPU, minutes
test *words:
    pytest -n 2 {{ words }}

# All tests that need no GPU
test-all *words:
    pytest -n 2 -m "not gpu" {{ words }}

# The tests for a CUDA machine
test-gpu *words:
    pytest -m gpu {{ words }}

# Build the wheel into dist/
wheel:
    python -m build --wheel --no-isolation

# Write docs/reference.md, the man page and the JSON schemas anew from the code
reference:
    python docs/make_reference.py
    python docs/make_schema.py

# Write NOTICE anew from the sources of the training data
notice data:
    python docs/make_notice.py {{ data }}
