"""The manifests hold the rules of a restricted cluster, and each rule is seen to catch a breach."""

import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from waybill_events.catalogue import SUBSCRIPTIONS
from waybill_runtime.http import server
from waybill_runtime.settings import SECRETS_DIR

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "k8s" / "base"
Doc = dict[str, Any]
NEWEST = list(dict.fromkeys(kubernetes_validate.utils.all_versions()))[-3:]
Rule = Callable[[Sequence[Doc]], Iterator[str]]
_OPERATOR = "CronJob/operator"
_JOB_NAME = "metadata.labels['batch.kubernetes.io/job-name']"
TOLD_TO_OPERATORS = ({"name": "USER", "valueFrom": {"fieldRef": {"fieldPath": _JOB_NAME}}},)


def _title(doc: Doc) -> str:
    return f"{doc['kind']}/{doc['metadata']['name']}"


def _of(docs: Sequence[Doc], *kinds: str) -> Iterator[Doc]:
    return (doc for doc in docs if doc["kind"] in kinds)


def _pods(docs: Sequence[Doc]) -> Iterator[tuple[str, Doc]]:
    """Every pod specification, of Deployments and Jobs alike, and of what Jobs are made from."""
    for doc in _of(docs, "Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob"):
        spec = doc["spec"]["jobTemplate"]["spec"] if doc["kind"] == "CronJob" else doc["spec"]
        yield _title(doc), spec["template"]["spec"]


def _containers(docs: Sequence[Doc]) -> Iterator[tuple[str, Doc]]:
    for title, pod in _pods(docs):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{title}/{container['name']}", container


def _selected(selector: Doc, docs: Sequence[Doc]) -> list[Doc]:
    """The Deployments whose pods a selector finds."""
    return [
        doc
        for doc in _of(docs, "Deployment")
        if selector.items() <= doc["spec"]["template"]["metadata"]["labels"].items()
    ]


def pods_run_as_a_numbered_user_that_is_not_root(docs: Sequence[Doc]) -> Iterator[str]:
    for title, pod in _pods(docs):
        context = pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield title


def pods_have_the_default_seccomp_profile(docs: Sequence[Doc]) -> Iterator[str]:
    for title, pod in _pods(docs):
        profile = pod.get("securityContext", {}).get("seccompProfile", {})
        if profile.get("type") != "RuntimeDefault":
            yield title


def containers_gain_no_privilege(docs: Sequence[Doc]) -> Iterator[str]:
    for title, container in _containers(docs):
        context = container.get("securityContext", {})
        capabilities = context.get("capabilities", {})
        gains = context.get("allowPrivilegeEscalation") is not False or context.get("privileged")
        if gains or capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
            yield title


def the_root_file_system_is_read_only_and_tmp_is_empty(docs: Sequence[Doc]) -> Iterator[str]:
    for title, container in _containers(docs):
        mounts = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
        context = container.get("securityContext", {})
        if context.get("readOnlyRootFilesystem") is not True or "/tmp" not in mounts:  # noqa: S108
            yield title
    for title, pod in _pods(docs):
        parts = [part for one in pod.get("volumes", ()) for part in _parts(one)]
        if any({"emptyDir", "secret"}.isdisjoint(part) for part in parts):
            yield title


def _parts(volume: Doc) -> Sequence[Doc]:
    """What a volume is made of: itself, or what is projected into one."""
    sources: Sequence[Doc] | None = volume.get("projected", {}).get("sources")
    return [volume] if sources is None else sources


def nobody_shares_the_host(docs: Sequence[Doc]) -> Iterator[str]:
    for title, pod in _pods(docs):
        if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield title


def pods_have_an_account_of_their_own_without_a_token(docs: Sequence[Doc]) -> Iterator[str]:
    own = {
        account["metadata"]["name"]
        for account in _of(docs, "ServiceAccount")
        if account.get("automountServiceAccountToken") is False
    }
    for title, pod in _pods(docs):
        service = title.partition("/")[2].partition("-")[0]
        account = pod.get("serviceAccountName", "default")
        if account not in own or not account.startswith(f"{service}-"):
            yield title
        if pod.get("automountServiceAccountToken") is not False:
            yield title


def pods_are_told_nothing_by_service_links(docs: Sequence[Doc]) -> Iterator[str]:
    return (title for title, pod in _pods(docs) if pod.get("enableServiceLinks") is not False)


def deployments_have_three_probes_and_live_without_being_ready(
    docs: Sequence[Doc],
) -> Iterator[str]:
    for title, container in _containers(list(_of(docs, "Deployment"))):
        paths = {
            kind: container.get(f"{kind}Probe", {}).get("httpGet", {}).get("path")
            for kind in ("startup", "readiness", "liveness")
        }
        if paths != {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}:
            yield title


def pods_have_time_to_drain_and_to_finish(docs: Sequence[Doc]) -> Iterator[str]:
    for title, pod in _pods(list(_of(docs, "Deployment"))):
        service = title.partition("/")[2].partition("-")[0]
        drain_s = float(_settings(docs, service).get(f"{service.upper()}_DRAIN_S", "0"))
        if not 0 < drain_s + server.STOP_S < pod.get("terminationGracePeriodSeconds", 30):
            yield title


def containers_say_what_they_need(docs: Sequence[Doc]) -> Iterator[str]:
    for title, container in _containers(docs):
        resources = container.get("resources", {})
        asked = resources.get("requests", {})
        if not {"cpu", "memory"} <= set(asked) or "memory" not in resources.get("limits", {}):
            yield title


def images_are_named_by_digest(docs: Sequence[Doc]) -> Iterator[str]:
    for title, container in _containers(docs):
        service = re.split("[-/]", title)[1]
        if not re.fullmatch(rf"[^:@]+/waybill/{service}@sha256:[0-9a-f]{{64}}", container["image"]):
            yield title


def roles_run_apart_twice_spread_and_with_a_budget(docs: Sequence[Doc]) -> Iterator[str]:
    budgets = [
        budget["spec"]["selector"]["matchLabels"]
        for budget in _of(docs, "PodDisruptionBudget")
        if budget["spec"].get("maxUnavailable") == 1
        and budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
    ]
    for doc in _of(docs, "Deployment"):
        role = doc["metadata"]["name"].rpartition("-")[2]
        pod = doc["spec"]["template"]["spec"]
        apart = [container.get("args") for container in pod["containers"]] == [["--role", role]]
        kept = [selector for selector in budgets if _selected(selector, docs) == [doc]]
        spread = {
            one["topologyKey"]
            for one in pod.get("topologySpreadConstraints", ())
            if _selected(one["labelSelector"]["matchLabels"], docs) == [doc]
        }
        over = {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        if not (apart and doc["spec"]["replicas"] >= 2 and len(kept) == 1 and spread == over):
            yield _title(doc)


def each_service_finds_its_own_api(docs: Sequence[Doc]) -> Iterator[str]:
    for doc in _of(docs, "Service"):
        found = [_title(one) for one in _selected(doc["spec"]["selector"], docs)]
        if found != [f"Deployment/{doc['metadata']['name']}"]:
            yield _title(doc)


def objects_are_labelled_and_in_their_namespace(docs: Sequence[Doc]) -> Iterator[str]:
    for doc in docs:
        labels = doc["metadata"].get("labels", {})
        if doc["kind"] == "Namespace":
            continue
        service = doc["metadata"]["name"].partition("-")[0]
        named = labels.get("app.kubernetes.io/name") == service
        ours = labels.get("app.kubernetes.io/part-of") == "waybill"
        if not (named and ours and doc["metadata"].get("namespace") == "waybill"):
            yield _title(doc)


def the_namespace_enforces_restricted_pods(docs: Sequence[Doc]) -> Iterator[str]:
    for doc in _of(docs, "Namespace"):
        labels = doc["metadata"].get("labels", {})
        if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
            yield _title(doc)


def secrets_are_named_and_never_here(docs: Sequence[Doc]) -> Iterator[str]:
    """A Secret is mounted, for variables are shown by whoever describes a pod."""
    yield from map(_title, _of(docs, "Secret"))
    for title, container in _containers(docs):
        told = [one for one in container.get("env", ()) if one not in TOLD_TO_OPERATORS]
        if told != [{"name": SECRETS_DIR, "value": "/secrets"}]:
            yield title
        mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", ())}
        mount = mounts.get("/secrets", {})
        if mount.get("name") != "secrets" or mount.get("readOnly") is not True:
            yield title
    for title, pod in _pods(docs):
        service = title.partition("/")[2].partition("-")[0]
        parts = [
            part["secret"] for one in pod["volumes"] for part in _parts(one) if "secret" in part
        ]
        mounted = [part.get("secretName") or part["name"] for part in parts]
        whose = [*SUBSCRIPTIONS, service] if title == _OPERATOR else [service]
        if sorted(mounted) != sorted(f"{each}-secrets" for each in whose):
            yield title


def nothing_runs_by_the_clock(docs: Sequence[Doc]) -> Iterator[str]:
    """What operators work from is made by hand, waits some hours, and goes by itself."""
    for doc in _of(docs, "CronJob"):
        job = doc["spec"]["jobTemplate"]["spec"]
        ends = 0 < job.get("activeDeadlineSeconds", 0) <= 4 * 3600
        if (
            doc["spec"].get("suspend") is not True
            or not ends
            or "ttlSecondsAfterFinished" not in job
        ):
            yield _title(doc)


RULES: Sequence[Rule] = (
    pods_run_as_a_numbered_user_that_is_not_root,
    pods_have_the_default_seccomp_profile,
    containers_gain_no_privilege,
    the_root_file_system_is_read_only_and_tmp_is_empty,
    nobody_shares_the_host,
    pods_have_an_account_of_their_own_without_a_token,
    pods_are_told_nothing_by_service_links,
    deployments_have_three_probes_and_live_without_being_ready,
    pods_have_time_to_drain_and_to_finish,
    containers_say_what_they_need,
    images_are_named_by_digest,
    roles_run_apart_twice_spread_and_with_a_budget,
    each_service_finds_its_own_api,
    objects_are_labelled_and_in_their_namespace,
    the_namespace_enforces_restricted_pods,
    secrets_are_named_and_never_here,
    nothing_runs_by_the_clock,
)

Path_ = tuple[str | int, ...]
_POD: Path_ = ("spec", "template", "spec")
_ONE: Path_ = (*_POD, "containers", 0)
_CONTEXT: Path_ = (*_ONE, "securityContext")
_JOB, _API = "Job/capture-migrate", "Deployment/capture-api"
_JOB_SPEC: Path_ = ("spec", "jobTemplate", "spec")
_THERE: Path_ = (*_JOB_SPEC, "template", "spec")
PLANTS: Sequence[tuple[Rule, str, Path_, object]] = (
    (RULES[0], _JOB, (*_POD, "securityContext", "runAsNonRoot"), False),
    (RULES[0], _API, (*_POD, "securityContext", "runAsUser"), 0),
    (RULES[1], _JOB, (*_POD, "securityContext", "seccompProfile", "type"), "Unconfined"),
    (RULES[2], _JOB, (*_CONTEXT, "allowPrivilegeEscalation"), True),
    (RULES[2], _API, (*_CONTEXT, "capabilities", "drop"), []),
    (RULES[2], _API, (*_CONTEXT, "capabilities", "add"), ["NET_RAW"]),
    (RULES[2], _API, (*_CONTEXT, "privileged"), True),
    (RULES[3], _JOB, (*_CONTEXT, "readOnlyRootFilesystem"), False),
    (RULES[3], _API, (*_ONE, "volumeMounts"), []),
    (RULES[3], _API, (*_POD, "volumes"), [{"name": "tmp", "hostPath": {"path": "/"}}]),
    (RULES[4], _JOB, (*_POD, "hostNetwork"), True),
    (RULES[5], _JOB, (*_POD, "serviceAccountName"), "payment-runner"),
    (RULES[5], _API, (*_POD, "automountServiceAccountToken"), True),
    (RULES[5], "ServiceAccount/capture-runner", ("automountServiceAccountToken",), True),
    (RULES[6], _JOB, (*_POD, "enableServiceLinks"), True),
    (RULES[7], _API, (*_ONE, "livenessProbe", "httpGet", "path"), "/readyz"),
    (RULES[7], "Deployment/capture-worker", (*_ONE, "startupProbe"), {}),
    (RULES[8], _API, (*_POD, "terminationGracePeriodSeconds"), 30),
    (RULES[9], _JOB, (*_ONE, "resources", "limits"), {}),
    (RULES[9], _API, (*_ONE, "resources", "requests"), {"cpu": "1"}),
    (RULES[10], _JOB, (*_ONE, "image"), "registry.example/waybill/capture:latest"),
    (RULES[10], _API, (*_ONE, "image"), "registry.example/waybill/payment@sha256:" + "0" * 64),
    (RULES[11], _API, ("spec", "replicas"), 1),
    (RULES[11], _API, (*_ONE, "args"), []),
    (RULES[11], _API, (*_POD, "topologySpreadConstraints"), []),
    (RULES[11], "PodDisruptionBudget/capture-api", ("spec", "maxUnavailable"), 0),
    (RULES[11], "PodDisruptionBudget/capture-api", ("spec", "selector", "matchLabels"), {}),
    (RULES[12], "Service/capture-api", ("spec", "selector"), {"app.kubernetes.io/name": "x"}),
    (RULES[13], _API, ("metadata", "namespace"), "default"),
    (RULES[13], "PodDisruptionBudget/capture-api", ("metadata", "labels"), {}),
    (
        RULES[14],
        "Namespace/waybill",
        ("metadata", "labels", "pod-security.kubernetes.io/enforce"),
        "baseline",
    ),
    (RULES[15], _JOB, (*_ONE, "env"), [{"name": "CAPTURE_KEY_PEPPER", "value": "plain"}]),
    (RULES[15], _API, (*_POD, "volumes"), [{"name": "secrets", "emptyDir": {}}]),
    (RULES[15], _API, (*_ONE, "volumeMounts", 1, "readOnly"), False),
    (RULES[15], "Service/capture-api", ("kind",), "Secret"),
    (RULES[0], _OPERATOR, (*_THERE, "securityContext", "runAsNonRoot"), False),
    (RULES[3], _OPERATOR, (*_THERE, "volumes", 1, "projected", "sources", 0), {"configMap": {}}),
    (RULES[15], _OPERATOR, (*_THERE, "volumes", 1, "projected", "sources"), []),
    (RULES[15], _OPERATOR, (*_THERE, "containers", 0, "env", 1), {"name": "USER", "value": "x"}),
    (RULES[16], _OPERATOR, ("spec", "suspend"), False),
    (RULES[16], _OPERATOR, (*_JOB_SPEC, "activeDeadlineSeconds"), 86_400),
)


def _plant(docs: Sequence[Doc], title: str, path: Path_, value: object) -> None:
    at: Any = next(doc for doc in docs if _title(doc) == title)
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_manifests_hold(rule: Rule, docs: list[Doc]) -> None:
    assert list(rule(docs)) == []


@pytest.mark.parametrize(
    ("rule", "title", "path", "value"), PLANTS, ids=lambda part: getattr(part, "__name__", "")
)
def test_a_planted_violation_is_caught(
    rule: Rule, title: str, path: Path_, value: object, docs: list[Doc]
) -> None:
    _plant(docs, title, path, value)
    assert list(rule(docs))


def test_every_rule_was_planted_against() -> None:
    assert {rule for rule, *_ in PLANTS} == set(RULES)


@pytest.mark.parametrize("version", NEWEST)
def test_the_api_of_the_three_newest_minors_takes_every_object(
    version: str, docs: list[Doc]
) -> None:
    for doc in docs:
        kubernetes_validate.validate(doc, version, strict=True)


def test_the_schemas_refuse_a_misspelt_field(docs: list[Doc]) -> None:
    _plant(docs, _API, (*_POD, "terminationGracePeriod"), 45)
    broken = next(doc for doc in docs if _title(doc) == _API)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def test_the_same_folder_renders_to_the_same_bytes(
    render: Sequence[str], rendered_text: str
) -> None:
    overlay = ROOT / "deploy" / "k8s" / "overlays" / "prod"
    again = subprocess.run(
        [*render, str(overlay)], capture_output=True, text=True, check=True, timeout=60
    )
    assert again.stdout == rendered_text


def test_every_service_of_the_catalogue_has_what_a_service_has(docs: list[Doc]) -> None:
    assert {folder.name for folder in BASE.iterdir()} == set(SUBSCRIPTIONS)
    expected = {
        f"{kind}/{service}-{part}"
        for service in SUBSCRIPTIONS
        for kind, part in (
            ("Deployment", "api"),
            ("Deployment", "worker"),
            ("PodDisruptionBudget", "api"),
            ("PodDisruptionBudget", "worker"),
            ("Service", "api"),
            ("ServiceAccount", "runner"),
            ("Job", "migrate"),
        )
    }
    expected |= {"ServiceAccount/operator-runner", _OPERATOR}
    rest = [doc for doc in docs if doc["kind"] not in ("ConfigMap", "Namespace")]
    assert {_title(doc) for doc in rest} == expected


def _settings(docs: Sequence[Doc], service: str) -> dict[str, str]:
    """The plain settings of a service, from its ConfigMap."""
    found: dict[str, str] = {}
    for doc in _of(docs, "ConfigMap"):
        if doc["metadata"]["name"].startswith(f"{service}-settings-"):
            found |= doc["data"]
    return found
