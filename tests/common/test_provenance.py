from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path

import dlib
import numpy as np
import PIL
import pytest

import common.provenance as provenance
from common.files import sha256_of
from common.provenance import package_versions, write_run_record


def test_versions_are_those_that_run() -> None:
    versions = package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["numpy"] == np.__version__
    assert versions["pillow"] == PIL.__version__
    assert versions["dlib"].startswith(dlib.__version__.removesuffix(".0"))
    assert "not installed" not in versions.values()


def test_dlib_is_found_under_the_name_of_the_wheel_and_of_conda(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for installed in ("dlib", "dlib-bin"):

        def version(name: str, here: str = installed) -> str:
            if name != here:
                raise importlib.metadata.PackageNotFoundError(name)
            return "20.0.1"

        monkeypatch.setattr(provenance, "version", version)
        versions = package_versions()
        assert versions["dlib"] == "20.0.1"
        assert versions["torch"] == "not installed"


def test_xgboost_is_found_under_the_name_of_the_wheel_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        if name != "xgboost-cpu":
            raise importlib.metadata.PackageNotFoundError(name)
        return "3.2.0"

    monkeypatch.setattr(provenance, "version", version)
    assert package_versions()["xgboost"] == "3.2.0"


def test_a_record_holds_settings_files_and_counts_but_no_folder(tmp_path: Path) -> None:
    secret = tmp_path / "Mrs Miller" / "manifest.csv"
    secret.parent.mkdir()
    secret.write_text("x")
    write_run_record(
        tmp_path,
        command="extract",
        settings={"jobs": 2, "definition": None, "regions": ("eye", "mouth")},
        seed=7,
        files={"manifest": secret},
        counts={"ok": 3},
        seconds={"work": 1.23456},
        notes={"unit": "px", "deep": {"path": Path("a")}},
    )
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["settings"] == {"jobs": 2, "definition": None, "regions": ["eye", "mouth"]}
    assert record["files"]["manifest"] == {"name": "manifest.csv", "sha256": sha256_of(secret)}
    assert (record["seed"], record["counts"], record["seconds"]) == (7, {"ok": 3}, {"work": 1.235})
    assert record["notes"] == {"unit": "px", "deep": {"path": "a"}}
    assert "Miller" not in text
