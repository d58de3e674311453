"""The reference pages and the README follow the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.build import FEATURES_PAGE
from features.reference_page import reference_page
from pipeline.command_line import build_app
from run_pipeline import COMMANDS

_COMMAND = re.compile(r"python run_pipeline\.py (\w[\w-]*)(.*?)(?=[`;\n]|$)")


def test_feature_page_is_what_the_registry_makes() -> None:
    assert FEATURES_PAGE.read_text(encoding="utf-8") == reference_page(), "run python -m docs.build"


def test_links_in_the_readme_lead_somewhere(root: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (root / "README.md").read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (root / link).exists()] == []


def test_commands_in_the_readme_exist_with_their_options(root: Path) -> None:
    app = build_app(COMMANDS, name="run_pipeline.py", summary="")
    used = _COMMAND.findall((root / "README.md").read_text(encoding="utf-8"))
    used = [(command, rest) for command, rest in used if command != "COMMAND"]
    assert len(used) > 4
    for command, rest in used:
        assert command in COMMANDS, command
        page = app[command]
        words = rest.split()
        if command == "htnet" and words:  # a group of commands
            page = page[words[0]]
        names = {
            name.split("=")[0]
            for argument in page.assemble_argument_collection()
            for name in argument.names
        }
        for option in re.findall(r"(?<!\S)(--[a-z][\w-]*)", rest):
            assert option in {*names, "--help", "--config"}, f"{command} has no {option}"


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench"])
def test_make_targets_of_the_readme_exist(root: Path, target: str) -> None:
    assert f"\n{target}:" in (root / "Makefile").read_text(encoding="utf-8")
