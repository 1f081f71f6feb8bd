"""What is created in the cluster, before any cluster sees it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import HarnessError
from harness.load.kubernetes import manifests
from harness.load.kubernetes.options import JobOptions
from harness.load.plan import LoadPlan
from harness.platform.kubernetes.access import LOAD_NEEDS, SCALE_NEEDS
from tests.record import synthetic

ROLES = Path(__file__).parents[2] / "deploy" / "load" / "rbac.yaml"
OPTIONS = JobOptions("load-test", away_from=("eu-west-1",))


@pytest.fixture
def plan(tmp_path: Path) -> LoadPlan:
    scenario = tmp_path / "mine.py"
    scenario.write_text("import os\nimport beside\nfrom harness.traffic import get\n")
    (tmp_path / "beside.py").write_text("X = 1\n")
    (tmp_path / "other.py").write_text("Y = 1\n")
    plan = replace(synthetic.plan(), workers=3)
    return replace(plan, traffic=replace(plan.traffic, source=str(scenario)))


def pod(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def test_every_pod_fits_the_restricted_standard_and_asks_for_what_it_uses(plan: LoadPlan) -> None:
    """Nobody, no privilege, no token, requests set, no limit of cpu that would make it late."""
    for job in (
        manifests.master_job(plan, OPTIONS, "r1", {}),
        manifests.worker_job(plan, OPTIONS, "r1", {}, "198.18.0.9"),
    ):
        spec = pod(job)
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec["automountServiceAccountToken"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"] == {
            "requests": {"cpu": "1", "memory": "256Mi"},
            "limits": {"memory": "256Mi"},
        }


def test_the_cluster_ends_and_clears_the_jobs_by_itself(plan: LoadPlan) -> None:
    """A deadline beyond the profile, a TTL, no second try, nobody replaced."""
    worker: Any = manifests.worker_job(plan, OPTIONS, "r1", {}, "198.18.0.9")["spec"]
    master: Any = manifests.master_job(plan, OPTIONS, "r1", {})["spec"]
    for spec in (worker, master):
        assert spec["activeDeadlineSeconds"] > plan.profile.duration_s
        assert spec["ttlSecondsAfterFinished"] == 300
        assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert master["backoffLimit"] == 0
    assert (worker["backoffLimitPerIndex"], worker["completions"]) == (0, 3)


def test_the_master_sees_its_owners_heartbeat_without_a_token(plan: LoadPlan) -> None:
    """An annotation as a file, whole and not by a subPath, which would never be renewed."""
    spec = pod(manifests.master_job(plan, OPTIONS, "r1", {}))
    (volume,) = [each for each in spec["volumes"] if "downwardAPI" in each]
    (item,) = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{manifests.HEARTBEAT}']"
    (container,) = spec["containers"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == volume["name"]]
    assert "subPath" not in mount
    command = container["command"]
    assert command[command.index("--heartbeat") + 1] == f"{mount['mountPath']}/{item['path']}"
    assert manifests.STALE_S >= 5 * manifests.BEAT_S, "a beat or two may be lost"


def test_pods_are_spread_and_keep_away_from_the_region_that_is_broken(plan: LoadPlan) -> None:
    """Over nodes and zones; never in a region named; rather not beside the service."""
    spec = pod(manifests.worker_job(plan, OPTIONS, "r1", {}, "198.18.0.9"))
    keys = {each["topologyKey"] for each in spec["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    assert "eu-west-1" in json.dumps(spec["affinity"]["nodeAffinity"])
    beside = json.dumps(spec["affinity"]["podAntiAffinity"])
    assert '"app.kubernetes.io/name": "memorai"' in beside


def test_the_plan_goes_as_a_secret_and_the_scenario_with_its_modules(plan: LoadPlan) -> None:
    """A key in a header stays out of ConfigMaps; only what is imported is shipped."""
    secret: Any = manifests.plan_secret(plan, "r1")
    shipped = json.loads(base64.b64decode(secret["data"]["plan.json"]))
    assert shipped["traffic"]["source"] == "/run/load/scenario/mine.py"
    assert shipped["target"]["exec_prefix"] == []
    files: Any = manifests.scenario_map(plan, "r1")["data"]
    assert set(files) == {"mine.py", "beside.py"}
    assert "hunter2" not in json.dumps(files)


def test_what_does_not_fit_is_refused_with_a_remedy(plan: LoadPlan) -> None:
    """A ConfigMap takes a megabyte."""
    values = ["x" * 100] * 12_000
    feeds = {"id": {"kind": "choice", "values": values}}
    heavy = replace(plan, traffic=replace(plan.traffic, feeds=feeds))
    with pytest.raises(HarnessError, match="smaller feeds"):
        manifests.plan_secret(heavy, "r1")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"namespace": "kube-system"}, "belongs to the cluster"),
        ({"namespace": "No_Name"}, "is no name"),
        ({"namespace": "x", "cpu": "lots"}, "500m"),
        ({"namespace": "x", "memory": "1 GB"}, "256Mi"),
    ],
)
def test_what_cannot_be_chosen_is_told(fields: dict[str, str], says: str) -> None:
    """With an example of what can."""
    with pytest.raises(HarnessError, match=says):
        JobOptions(**fields)  # type: ignore[arg-type]


def test_the_shipped_roles_are_what_is_checked_before_acting() -> None:
    """No permission missing, none spare."""
    granted = [
        {
            (group, resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        for role in yaml.load_all(ROLES.read_text(), yaml.CSafeLoader)
    ]
    assert granted == [set(LOAD_NEEDS), set(SCALE_NEEDS)]


def test_files_of_tls_go_as_a_secret_that_every_pod_mounts(plan: LoadPlan, tmp_path: Path) -> None:
    """The plan in the pods names them where they are mounted; other options go as they are."""
    for name in ("ca", "me", "key"):
        (tmp_path / f"{name}.pem").write_text(f"{name} hunter2")
    target = replace(
        plan.target, ca_file=str(tmp_path / "ca.pem"), cert_file=str(tmp_path / "me.pem"),
        key_file=str(tmp_path / "key.pem"), http2=True, resolve=("a:1:198.18.0.9",),
        proxy="http://u:p@proxy:1", max_requests=1,
    )  # fmt: skip
    secured = replace(plan, target=target)
    assert manifests.tls_secret(plan, "r1") is None
    secret: Any = manifests.tls_secret(secured, "r1")
    assert base64.b64decode(secret["data"]["key.pem"]) == b"key hunter2"
    plan_document: Any = manifests.plan_secret(secured, "r1")
    shipped = json.loads(base64.b64decode(plan_document["data"]["plan.json"]))["target"]
    assert shipped["resolve"] == ["a:1:198.18.0.9"]
    assert (shipped["http2"], shipped["proxy"]) == (True, "http://u:p@proxy:1")
    assert shipped["max_requests"] == 1
    for job in (
        manifests.master_job(secured, OPTIONS, "r1", {}),
        manifests.worker_job(secured, OPTIONS, "r1", {}, "198.18.0.9"),
    ):
        spec = pod(job)
        (volume,) = [v for v in spec["volumes"] if v["name"] == "tls"]
        assert volume["secret"]["secretName"] == secret["metadata"]["name"]
        (mount,) = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "tls"]
        assert mount["readOnly"]
        for name in ("ca_file", "cert_file", "key_file"):
            path = Path(shipped[name])
            assert str(path.parent) == mount["mountPath"]
            assert path.name in secret["data"]
    assert not [v for v in pod(manifests.master_job(plan, OPTIONS, "r1", {}))["volumes"]
                if v["name"] == "tls"]  # fmt: skip


@pytest.mark.parametrize(
    ("connect", "says"),
    [
        ({"unix_socket": "/run/x"}, "--unix-socket names a file of this machine"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem: No such file"),
    ],
)
def test_what_pods_cannot_carry_out_is_refused_before_anything_is_made(
    connect: dict[str, object], says: str
) -> None:
    with pytest.raises(HarnessError, match=says):
        manifests.check_files(connect)
