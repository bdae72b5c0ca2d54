"""Whether a container engine is at hand that has an image or can get it; cheap when it has not."""

import shutil
import subprocess

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:18"
INFO_TIMEOUT_S = 5
PULL_TIMEOUT_S = 180


def reason_against(image: str) -> str | None:
    """Why the engine cannot run `image`; None when it can, pulled if it was not there."""
    if shutil.which("docker") is None:
        return "no docker command"
    if not _succeeds(["docker", "info", "--format", "{{.ServerVersion}}"], INFO_TIMEOUT_S):
        return "no Docker engine answers"
    if _succeeds(["docker", "image", "inspect", image], INFO_TIMEOUT_S):
        return None
    if _succeeds(["docker", "pull", "--quiet", image], PULL_TIMEOUT_S):
        return None
    return f"the Docker engine cannot pull {image}"


def remove(container: str) -> None:
    """Remove a container that a killed supervisor left; nothing to do when there is none."""
    _succeeds(["docker", "rm", "--force", container], PULL_TIMEOUT_S)


def drop_volume(volume: str) -> None:
    """Drop a container's data; nothing to do without an engine or without the volume."""
    if shutil.which("docker") is not None:
        _succeeds(["docker", "volume", "rm", volume], INFO_TIMEOUT_S)


def _succeeds(command: list[str], timeout_s: float) -> bool:
    try:
        answer = subprocess.run(  # noqa: S603  our own command, no shell
            command, capture_output=True, check=False, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
