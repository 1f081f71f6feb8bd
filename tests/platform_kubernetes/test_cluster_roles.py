"""The roles in deploy/rbac are those that the faults declare."""

from __future__ import annotations

from pathlib import Path

from harness.platform.kubernetes import rbac
from harness.platform.kubernetes.faults import KINDS

DIRECTORY = Path(__file__).parents[2] / "deploy" / "rbac"


def test_the_files_are_what_the_faults_declare() -> None:
    """Run `python -m harness.platform.kubernetes.rbac deploy/rbac` after a change."""
    found = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.yaml")}
    assert found == rbac.files()


def test_no_role_may_read_secrets_or_reach_into_pods() -> None:
    for kind in KINDS:
        for role in rbac.roles_of(kind):
            resources = {name for rule in role["rules"] for name in rule["resources"]}
            verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
            assert not resources & {"secrets", "pods/exec", "serviceaccounts", "roles"}
            assert "*" not in resources | verbs
