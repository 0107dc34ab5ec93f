"""Nothing that is read can run: no pickles, no evaluation of text, anywhere in the package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mardini_cli"
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
HARMLESS = {"UnpicklingError"}  # what refusing a pickle is told by
FORBIDDEN_CALLS = {"eval", "exec", "__import__"}


def faults_of(source: str) -> Iterator[str]:
    """Imports and calls that would run what a file says."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            yield from (f"import {name}" for name in names & FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            forbidden = (node.module or "").split(".")[0] in FORBIDDEN_MODULES
            if forbidden and {alias.name for alias in node.names} != HARMLESS:
                yield f"from {node.module} import"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in FORBIDDEN_CALLS:
                yield name
            if name in {"torch.load", "torch.hub.load"} and keywords.get("weights_only") != "True":
                yield f"{name} without weights_only=True"
            if keywords.get("allow_pickle", "False") != "False":
                yield f"{name} with allow_pickle"
            if name.startswith("yaml.") and name.split(".")[1] not in {"safe_load", "safe_dump"}:
                yield name


def test_no_part_of_the_package_runs_what_it_reads() -> None:
    found = {
        str(path.relative_to(PACKAGE)): faults
        for path in PACKAGE.rglob("*.py")
        if (faults := list(faults_of(path.read_text(encoding="utf-8"))))
    }

    assert found == {}


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy, dill.session",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
    ],
)
def test_the_search_finds_each_kind(code: str) -> None:
    assert list(faults_of(code))
