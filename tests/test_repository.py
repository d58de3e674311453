"""The repository holds together: packages, pins, arrows of import, nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

OURS = ("common", "landmarks", "features", "classifiers", "htnet", "datasets", "pipeline")
# What each package may import of ours. `pipeline` joins them, `run_pipeline` mounts commands.
# Both branches stand on `common.grading` and know nothing of each other.
# `features` and `classifiers` know points, scales and their tables, not how they are found:
# see test_measuring_and_grading_need_no_detector.
ARROWS: dict[str, set[str]] = {
    "common": set(),
    "landmarks": {"common"},
    "datasets": {"common"},
    "features": {"common", "landmarks"},
    "classifiers": {"common", "features", "landmarks"},
    "htnet": {"common", "features", "landmarks"},
    "pipeline": set(OURS),
    "run_pipeline": {"common"},
}
# Modules that are imported in worker processes of the extraction, which must stay small and quick.
WORKER_MODULE = "landmarks.find.finder"
BROUGHT_BY = {"dlib": ["dlib-bin"]}  # the wheel does not say so itself
# What may import the packages of requirements-cluster.txt, which are not installed by default.
ONLY_WHEN_ASKED_FOR = {"cluster.py", "parquet.py"}
HEAVY = {"pandas", "pandera", "sklearn", "xgboost", "matplotlib", "torch", "skimage", "scipy"}


def sources(root: Path) -> list[tuple[str, Path]]:
    """(package, file) of everything that runs for a user."""
    found = [("run_pipeline", root / "run_pipeline.py")]
    for package in OURS:
        found += [(package, path) for path in sorted((root / package).rglob("*.py"))]
    return found


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Line and full name of everything a file imports, inside functions too."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@dataclass(frozen=True)
class Pin:
    """One line of a file of requirements: a package at one version, on some machines or on all."""

    name: str
    version: str
    marker: str = ""

    def __str__(self) -> str:
        return f"{self.name}=={self.version}{self.marker}"


def requirements(root: Path, file: str = "requirements.txt") -> list[Pin]:
    """What a file pins; a line that is no exact pin fails."""
    pins = []
    for line in (root / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "-r ")):
            name, version, marker = re.fullmatch(
                r"([\w.-]+)==([\w.]+)(; [^#]*?)?(?:  #.*)?", line
            ).groups()
            pins.append(Pin(name, version, marker or ""))
    return pins


def test_pip_and_conda_users_get_the_same_packages(root: Path) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text(encoding="utf-8"))
    *plain, from_pip = environment["dependencies"]
    (dlib,) = (pin for pin in requirements(root) if pin.name == "dlib-bin")
    # conda-forge builds dlib itself; its wheels on PyPI carry a build number behind the version.
    version = dlib.version.split(".post")[0]
    assert plain == ["python=3.11", "pip", f"dlib={version}"]
    assert from_pip == {"pip": [str(pin) for pin in requirements(root) if pin != dlib]}
    assert environment["channels"] == ["conda-forge"]


def test_a_clinic_installs_nothing_that_only_tests_need(root: Path) -> None:
    clinic = {normal(pin.name) for pin in requirements(root)}
    tests = {normal(pin.name) for pin in requirements(root, "requirements-dev.txt")}
    assert {"pytest", "ruff", "playwright"} <= tests
    assert not clinic & tests


def test_what_is_installed_here_is_what_is_pinned(root: Path) -> None:
    from importlib.metadata import version

    pins = {
        pin.name: pin.version
        for file in ("requirements.txt", "requirements-dev.txt", "requirements-cluster.txt")
        for pin in requirements(root, file)
    }
    constraints = (root / "constraints.txt").read_text(encoding="utf-8")
    assert not {name.lower() for name in pins} & {
        line.split("==")[0].lower() for line in constraints.splitlines()
    }
    assert version("dlib-bin") == pins["dlib-bin"]
    assert version("numpy") == pins["numpy"]


def test_every_import_is_listed_in_requirements(root: Path) -> None:
    distributions = packages_distributions()
    always = {normal(pin.name) for pin in requirements(root)}
    asked_for = {normal(pin.name) for pin in requirements(root, "requirements-cluster.txt")}
    missing = []
    for _, path in sources(root):
        listed = always | (asked_for if path.name in ONLY_WHEN_ASKED_FOR else set())
        for line, name in imports(path):
            top = name.split(".")[0]
            if top in sys.stdlib_module_names or top in (*OURS, "run_pipeline"):
                continue
            brought_by = distributions.get(top, BROUGHT_BY.get(top, []))
            if not listed & {normal(name) for name in brought_by}:
                missing.append(f"{path.relative_to(root)}:{line} imports {top}")
    assert not missing, "\n".join(missing)


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_imports_follow_the_arrows(root: Path) -> None:
    wrong = [
        f"{path.relative_to(root)}:{line} imports {name}"
        for package, path in sources(root)
        for line, name in imports(path)
        if name.split(".")[0] in (*OURS, "run_pipeline")
        and name.split(".")[0] != package
        and not any(name == way or name.startswith(f"{way}.") for way in ARROWS[package])
    ]
    assert not wrong, "\n".join(wrong)


def modules(root: Path) -> dict[str, Path]:
    """Every module that runs for a user, by its full name."""
    found = {}
    for _, path in sources(root):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def circles(links: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a circle, however long."""
    sorter = TopologicalSorter(links)
    try:
        sorter.prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


def test_no_modules_import_each_other_in_a_circle(root: Path) -> None:
    known = modules(root)
    links = {
        name: {
            found if found in known else found.rpartition(".")[0]
            for _, found in imports(path)
            if found in known or found.rpartition(".")[0] in known
        }
        for name, path in known.items()
    }
    assert len(links["classifiers.commands.benchmark"]) > 10
    assert not circles(links)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}})


def test_a_command_lives_in_the_package_whose_work_it_does(root: Path) -> None:
    import run_pipeline

    mounted = []
    for name, (target, _) in run_pipeline.COMMANDS.items():
        of_group = {} if isinstance(target, str) else target
        mounted += [(f"{name} {sub}", path) for sub, (path, _) in of_group.items()]
        mounted += [] if of_group else [(name, target)]
    assert len(mounted) > 25
    for name, target in mounted:
        module = target.partition(":")[0]
        assert ".commands." in module, (name, module)
        assert (root / f"{module.replace('.', '/')}.py").is_file(), (name, module)


def test_a_wrong_arrow_would_be_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def f():\n    from landmarks.find.finder import Faces\n    import features\n"
    )
    assert imports(module) == [(2, "landmarks.find.finder.Faces"), (3, "features")]


def loaded_by(root: Path, *stages: list[str]) -> list[set[str]]:
    """Packages that are loaded after each stage of imports in a fresh process."""
    said = "print(*{name.split('.')[0] for name in sys.modules})"
    code = "\n".join(["import sys", *(f"import {', '.join(stage)}; {said}" for stage in stages)])
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    return [set(line.split()) for line in run.stdout.splitlines()]


def test_workers_import_nothing_heavy(root: Path) -> None:
    photographs, clips = loaded_by(root, [WORKER_MODULE], ["htnet.micro.clips.reader"])
    assert "dlib" in photographs
    assert not HEAVY & photographs
    assert not HEAVY & clips - {"scipy"}


def modules_of(root: Path, *packages: str, commands: bool) -> list[str]:
    return [
        ".".join(path.relative_to(root).with_suffix("").parts)
        for package, path in sources(root)
        if package in packages
        and (path.parent.name == "commands") == commands
        and path.name != "__init__.py"
    ]


def test_measuring_needs_no_detector_and_no_command_dask_or_pyarrow(root: Path) -> None:
    """pandas loads pyarrow by itself where it is installed; nothing of ours may need it."""
    first = modules_of(root, "features", "classifiers", commands=False)
    then = modules_of(root, "features", "classifiers", "datasets", commands=True)
    measuring, commands = loaded_by(root, ["common.workers", "common.tables", *first], then)
    assert {"features", "classifiers", "landmarks", "common"} <= measuring
    assert "dlib" not in measuring  # commands measure new photographs
    assert "datasets" in commands
    assert not {"dask", "distributed"} & commands


def tracked(root: Path) -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


# Written so that this file does not hold what it looks for.
OF_ONE_MACHINE = re.compile(
    r"(?<![\w./])/(?:work|home/\w|Users/\w|mnt/\w|root/\w|workspace|opt/\w|scratch/\w|data/\w"
    r"|(?:private/)?(?:var/)?tmp/\w|(?:private/)?var/(?:folders|lib|log)/\w|dev/shm/\w)"
    r"|[A-Z]:\\\\?(?:Users|Temp)|(?<![\w~])~/\w|%TEMP%|AppData"
)
REGISTRY = re.compile(r"https?://[^\s\"')]*(?:simple/?|artifactory|nexus|pypi|registry)\b", re.I)
TEXT = {
    ".py", ".md", ".txt", ".toml", ".yml", ".yaml", ".cff", ".jinja", ".ipynb", ".cfg", ".csv",
    ".json", ".svg", "",
}  # fmt: skip


def test_no_file_names_a_place_on_one_machine(root: Path) -> None:
    found = []
    for path in tracked(root):
        if path.suffix not in TEXT or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            found += [
                f"{path.relative_to(root)}:{number}: {match.group()}"
                for pattern in (OF_ONE_MACHINE, REGISTRY)
                for match in pattern.finditer(line)
            ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "cd /workspace/main",
        "'/home/ann/photos'",
        "--index-url https://pypi.example.org/simple",
        "figures: see /tmp/readme_loso.md; correct",
        "(/var/folders/zz/T/study)",
        "/private/tmp/a",
        "~/study/cli80.log",
        "in `/dev/shm/maps`",
        r"C:\Users\ann\AppData",
        "/scratch/ann/x",
    ],
)
def test_a_place_on_one_machine_would_be_seen(line: str) -> None:
    assert OF_ONE_MACHINE.search(line) or REGISTRY.search(line)


def test_no_large_or_private_file_is_tracked(root: Path) -> None:
    for path in tracked(root):
        weights = path.suffix == ".safetensors" and path.with_suffix(".md") in tracked(root)
        assert path.stat().st_size < (4_000_000 if weights else 1_000_000), path  # with a card
        assert path.suffix not in (".dat", ".pyc", ".pkl", ".npz"), path


def test_ci_runs_what_everyone_runs(root: Path) -> None:
    commands = [
        line.strip()
        for line in (root / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert commands[-1] == "make test"
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "lint", "bench"):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert re.search(r"^test: lint\n\t\$\(RUN\) -m pytest", makefile, re.M)


def test_every_package_says_what_it_is_for(root: Path) -> None:
    for package in OURS:
        if (root / package / "__init__.py").exists():
            module = ast.parse((root / package / "__init__.py").read_text(encoding="utf-8"))
            assert ast.get_docstring(module), package


_UNCOUNTED = re.compile(
    r"(?<!of )(?<!these )(?<!all )\{(?:len\([^{}]*\)|n_\w+)\} "
    r"(?:photographs|patients|clips|frames|rows|files|subjects|columns|pictures|folds)\b"
)


def test_one_thing_is_never_told_in_the_plural(root: Path) -> None:
    """`counted` says "1 photograph"; a number put before a plural by hand does not."""
    found = [
        f"{path.relative_to(root)}: {match[0]}"
        for _, path in sources(root)
        for match in _UNCOUNTED.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, found
    assert _UNCOUNTED.search('f"{len(rows)} photographs are missing"')  # it would be seen
