"""What the API server refuses the agents' accounts beyond their roles: a ValidatingAdmissionPolicy.

RBAC cannot say "the record of your own fault" of a name that is not known beforehand. The token of
a pod names the pod, and an agent's pod is named after its fault's lease: so each agent may answer
in its own record only, and put back only what its own fault has marked. For Kubernetes 1.30 or
newer; in no namespace, so it is applied once for the cluster.
"""

from collections.abc import Mapping, Sequence

from harness.platform.kubernetes import rollouts
from harness.platform.kubernetes.agent_pods import AGENT_ACCOUNT, undo_account
from harness.platform.kubernetes.api_changes import MARK
from harness.platform.kubernetes.api_types import Manifest
from harness.platform.kubernetes.cluster import MANAGED, OURS

GROUP = "admissionregistration.k8s.io"
LONGEST_ANSWER = 4096
"""Characters of what an agent says of its node."""

_POD_KEY = "authentication.kubernetes.io/pod-name"
_POD = {
    "name": "pod",
    "expression": f"has(request.userInfo.extra) && '{_POD_KEY}' in request.userInfo.extra ? "
    f"string(request.userInfo.extra['{_POD_KEY}'][0]) : ''",
}
_SUFFIX = "-[0-9a-f]{8}(-[0-9a-f]{6})?$"
"""What `agent_pods.agent_name` puts behind the lease, and `agent_pod` behind an undoing one."""

_NODE = "node-"
_DRY = "has(request.dryRun) && request.dryRun"

_KEPT = ("metadata.?labels", "metadata.?annotations", "metadata.?ownerReferences",
         "metadata.?finalizers", "?binaryData")  # fmt: skip

RECORD_RULES = {
    "an agent may write in the record of its own fault only":
        f"variables.pod.matches('^' + request.name + '{_SUFFIX}')",
    "an agent may not change what the harness recorded":
        "has(oldObject.data) && has(object.data) && oldObject.data.all(k, "
        f"k.startsWith('{_NODE}') || (k in object.data && object.data[k] == oldObject.data[k]))",
    "an agent may add what a node shows, and nothing else":
        f"object.data.all(k, k in oldObject.data || k.startsWith('{_NODE}'))",
    f"an agent may say {LONGEST_ANSWER} characters":
        f"object.data.all(k, !k.startsWith('{_NODE}') || size(object.data[k]) <= {LONGEST_ANSWER})",
    "an agent may not change a record's metadata":
        " && ".join(f"object.{each} == oldObject.{each}" for each in _KEPT),
}  # fmt: skip
UNDO_RULES = {
    "an agent may put back only what its own fault has changed":
        f"({_DRY}) || oldObject.metadata.?labels.orValue({{}}).exists(k, k.startsWith('{MARK}') "
        "&& oldObject.metadata.labels[k] == request.userInfo.username.split(':')[2] "
        f"&& variables.pod.matches('^' + k.substring({len(MARK)}) + '{_SUFFIX}'))",
}  # fmt: skip
"""A dry run changes nothing: an agent tries its undo so, before anything is marked."""

DIGEST_RULES = {
    "the image of a pod of codai-harness is named by its digest (NAME@sha256:...)":
        "object.spec.containers.all(c, c.image.contains('@sha256:'))",
}  # fmt: skip


def objects() -> list[Manifest]:
    """Two policies, each with its binding."""
    records = [{"apiGroups": [""], "resources": ["configmaps"]}]
    changed = [
        {"apiGroups": [""], "resources": ["nodes"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"]},
        {
            "apiGroups": [rollouts.GROUP],
            "apiVersions": [rollouts.VERSION],
            "resources": [rollouts.PLURAL],
        },
    ]
    accounts = f"^system:serviceaccount:[^:]+:({AGENT_ACCOUNT}|{undo_account('[a-z-]+')})$"
    by_agents = f"request.userInfo.username.matches('{accounts}')"
    return [
        *_policy("codai-harness-records", records, "UPDATE", by_agents, RECORD_RULES),
        *_policy("codai-harness-undo", changed, "UPDATE", by_agents, UNDO_RULES),
    ]


def digest_objects() -> list[Manifest]:
    """A policy, and its binding, that refuses pods of ours whose image is named by a tag."""
    pods = [{"apiGroups": [""], "resources": ["pods"]}]
    ours = (
        f"object.metadata.?labels.orValue({{}}).exists(k, k == '{MANAGED}' "
        f"&& object.metadata.labels[k] == '{OURS}')"
    )
    return _policy("codai-harness-digests", pods, "CREATE", ours, DIGEST_RULES)


def _policy(
    name: str,
    resources: Sequence[Mapping[str, object]],
    operation: str,
    condition: str,
    rules: Mapping[str, str],
) -> list[Manifest]:
    metadata = {"name": name, "labels": {MANAGED: OURS}}
    every = [
        {**each, "apiVersions": each.get("apiVersions", ["v1"]), "operations": [operation]}
        for each in resources
    ]
    return [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": every},
                "matchConditions": [{"name": "whose", "expression": condition}],
                "variables": [_POD],
                "validations": [
                    {"expression": rule, "message": why} for why, rule in rules.items()
                ],
            },
        },
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
