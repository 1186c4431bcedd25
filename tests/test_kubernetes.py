# The files of examples/kubernetes/, rendered by kustomize: what Kubernetes is told is true of Bigtop.

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from bigtop.stats.export.metrics import METRICS
from tests.integration.test_admin import ask
from tests.support.site import ROOT, Site, until

EXAMPLE = ROOT / "examples/kubernetes"
OVERLAYS = ("base", "overlays/production", "overlays/staging")


@cache
def rendered(folder: str) -> dict[str, Any]:
    """Return the objects by kind."""
    for words in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(words[0]):
            command = [*words, str(EXAMPLE / folder)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stderr == "", "it warns of what is out of date"
            return {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
    pytest.skip("needs kustomize, or kubectl (Debian: apt install kubernetes-client)")


def container(folder: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pod and its only container."""
    pod = rendered(folder)["Deployment"]["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    return pod, found


def option(args: list[str], name: str) -> str:
    (found,) = (word.partition("=")[2] for word in args if word.startswith(f"{name}="))
    return str(found)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_objects_find_each_other(folder: str) -> None:
    found = rendered(folder)
    deployment, labels = found["Deployment"], {"app.kubernetes.io/name": "site"}
    assert deployment["spec"]["template"]["metadata"]["labels"] == labels
    for selector in (deployment["spec"]["selector"], found["PodDisruptionBudget"]["spec"]["selector"]):
        assert selector == {"matchLabels": labels}
    assert found["Service"]["spec"]["selector"] == labels
    _, one = container(folder)
    names = {port["name"]: port["containerPort"] for port in one["ports"]}
    assert [port["targetPort"] for port in found["Service"]["spec"]["ports"]] == ["http"]
    assert option(one["args"], "--bind") == f"0.0.0.0:{names['http']}"
    assert option(one["args"], "--admin") == f"0.0.0.0:{names['admin']}"
    notes = deployment["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(names["admin"])
    assert len({one["metadata"].get("namespace") for one in found.values()}) == 1


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_pod_has_the_time_that_its_options_take_and_no_rights(folder: str) -> None:
    pod, one = container(folder)
    taken = float(option(one["args"], "--drain-delay")) + float(option(one["args"], "--graceful-timeout"))
    assert pod["terminationGracePeriodSeconds"] >= taken + 10
    ready = one["readinessProbe"]
    assert float(option(one["args"], "--drain-delay")) > ready["periodSeconds"] * ready["failureThreshold"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in one["volumeMounts"]] == ["/tmp"]


def test_overlays_differ_where_they_mean_to() -> None:
    production, staging = container("overlays/production")[1], container("overlays/staging")[1]
    assert "@sha256:" in production["image"]
    assert staging["image"].endswith(":main")
    assert "--workers=4" in production["args"]
    assert "--workers=2" in staging["args"]
    assert "replicas" not in rendered("overlays/production")["Deployment"]["spec"], "the autoscaler has it"
    assert rendered("overlays/staging")["Deployment"]["spec"]["replicas"] == 1
    assert "HorizontalPodAutoscaler" not in rendered("overlays/staging")


def test_bigtop_starts_with_these_arguments_and_answers_the_probes() -> None:
    _, one = container("overlays/staging")
    program, serve, _, *args = one["args"]
    assert (program, serve) == ("bigtop", "serve")
    args = [word for word in args if not word.startswith(("--bind=", "--admin", "--drain-delay="))]
    admin = ("--admin=0.0.0.0:0", "--admin-allow=127.0.0.0/8")
    with Site("tests.apps.patterns_flask:app", *args, *admin, bind="0.0.0.0:0") as site:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = one[probe]["httpGet"]["path"]
            until(lambda path=path: ask(site, path).status == 200, path)  # type: ignore[misc]


def test_it_is_scaled_by_what_is_measured() -> None:
    (rule,) = yaml.safe_load((EXAMPLE / "adapter.yaml").read_text())["rules"]["custom"]
    (name,) = {metric.name for metric in METRICS if metric.name in rule["metricsQuery"]}
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert rule["name"]["as"] == name == "bigtop_busy_ratio"
    (scaled,) = rendered("base")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert scaled["pods"]["metric"]["name"] == rule["name"]["as"]
