"""Renders the Kubernetes manifests once, with whatever on this machine can."""

import copy
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROD = ROOT / "deploy" / "k8s" / "overlays" / "prod"
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
RENDER_S = 60
INSTALL_S = 900

Doc = dict[str, Any]


def _runs(command: Sequence[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    answer = subprocess.run(command, capture_output=True, check=False, timeout=RENDER_S)
    return answer.returncode == 0


def _installed() -> Path | None:
    """The program built from its Go module, kept in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(root) if root else Path.home() / ".cache") / "waybill" / "bin"
    program = folder / "kustomize"
    if not program.exists() and shutil.which("go"):
        subprocess.run(
            ["go", "install", KUSTOMIZE],
            env=os.environ | {"GOBIN": str(folder)},
            capture_output=True,
            check=False,
            timeout=INSTALL_S,
        )
    return program if program.exists() else None


def _renderer() -> list[str] | None:
    """The command that renders a folder; None when this machine has none."""
    if _runs(["kustomize", "version"]):
        return ["kustomize", "build"]
    if _runs(["kubectl", "kustomize", "--help"]):
        return ["kubectl", "kustomize"]
    program = _installed()
    return None if program is None else [str(program), "build"]


@pytest.fixture(scope="session")
def render() -> Sequence[str]:
    """The rendering command; without one the tests fail in CI and are left out elsewhere."""
    command = _renderer()
    if command is None:
        reason = f"no kustomize, no kubectl and no Go to build {KUSTOMIZE} with"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return command


@pytest.fixture(scope="session")
def rendered_text(render: Sequence[str]) -> str:
    """The prod overlay as one YAML text."""
    return subprocess.run(
        [*render, str(PROD)], capture_output=True, text=True, check=True, timeout=RENDER_S
    ).stdout


@pytest.fixture(scope="session")
def read_docs(rendered_text: str) -> list[Doc]:
    """The prod overlay's objects, read once; not to be changed."""
    return list(yaml.safe_load_all(rendered_text))


@pytest.fixture
def docs(read_docs: list[Doc]) -> list[Doc]:
    """The prod overlay's objects; each test has its own to change."""
    return copy.deepcopy(read_docs)


@pytest.fixture(scope="session")
def compose() -> Mapping[str, Any]:
    """docker-compose.yml as read."""
    read: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read
