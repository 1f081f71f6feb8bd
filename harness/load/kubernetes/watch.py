"""What becomes of the run's pods, in words."""

import threading
from collections.abc import Mapping

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from harness.load.kubernetes.manifests import ROLE
from harness.messages import LoadApi, LoadPod

GONE = "gone"
_FATAL = ("ErrImageNeverPull", "InvalidImageName", "ErrImagePull", "ImagePullBackOff")


class PodWatch:
    """Looks at the pods with some labels; tells what changed since the last look."""

    def __init__(self, core: client.CoreV1Api, namespace: str, labels: Mapping[str, str]) -> None:
        self._core = core
        self._namespace = namespace
        self._selector = ",".join(f"{key}={value}" for key, value in labels.items())
        self._known: dict[str, tuple[str, str]] = {}
        self._silent = False
        self._looking = threading.Lock()

    def pods(self, role: str | None = None) -> list[client.V1Pod]:
        """The pods, or those in one role."""
        selector = self._selector if role is None else f"{self._selector},{ROLE}={role}"
        found = self._core.list_namespaced_pod(self._namespace, label_selector=selector)
        return list(found.items)

    def refusal(self, job: str) -> str | None:
        """Why the cluster makes no pod for a Job: a quota, a policy; None where it says nothing."""
        found = self._core.list_namespaced_event(
            self._namespace, field_selector=f"involvedObject.name={job},reason=FailedCreate"
        )
        said = [str(event.message).removeprefix("Error creating: ") for event in found.items]
        return said[-1] if said else None

    def changes(self) -> list[LoadPod | LoadApi]:
        """A `load_pod` message for each pod whose state is another than at the last look.

        An API server that does not answer is told once, as `load_api`. For any thread.
        """
        with self._looking:
            return self._changes()

    def _changes(self) -> list[LoadPod | LoadApi]:
        try:
            pods = self.pods()
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as problem:
            told, self._silent = self._silent, True
            reason = getattr(problem, "reason", None) or type(problem).__name__
            return [] if told else [{"type": "load_api", "ok": False, "reason": str(reason)}]
        found: list[LoadPod | LoadApi] = []
        if self._silent:
            self._silent = False
            found.append({"type": "load_api", "ok": True, "reason": ""})
        now = {pod.metadata.name: (pod.spec.node_name or "", state(pod)) for pod in pods}
        for name in self._known.keys() - now.keys():
            now[name] = (self._known[name][0], GONE)
        for name, (node, word) in sorted(now.items()):
            was = self._known.get(name, ("", ""))[1]
            if was.partition(":")[0] in {"Succeeded", "Failed"} and word == GONE:
                word = was  # noqa: PLW2901 - an ended pod that is cleared away is no news
            if word != was:
                found.append({"type": "load_pod", "pod": name, "node": node, "state": word})
            self._known[name] = (node, word)
        return found

    def ended(self, name: str) -> bool:
        """Whether the pod was last seen ended or gone."""
        word = self.last_word(name) or ""
        return word.partition(":")[0] in {"Succeeded", "Failed", GONE}

    def last_word(self, name: str) -> str | None:
        """The state in which the pod was last seen; None if it never was."""
        known = self._known.get(name)
        return None if known is None else known[1]


def state(pod: client.V1Pod) -> str:
    """`Running`, `Pending: …`, `Failed: Evicted, the node was low on memory`, `Terminating`."""
    status = pod.status
    reasons = [status.reason, status.message]
    for container in status.container_statuses or ():
        ends = (container.state.terminated, container.last_state.terminated)
        reasons += [
            f"{end.reason} (exit code {end.exit_code})" for end in ends if end and end.exit_code
        ]
    if status.phase == "Pending":
        reasons = [why_pending(pod)]
    word = "Terminating" if pod.metadata.deletion_timestamp and status.phase == "Running" else None
    for condition in status.conditions or ():
        if condition.type == "DisruptionTarget" and condition.status == "True":
            reasons.append(f"{condition.reason}, {condition.message}")
    known = list(dict.fromkeys(str(reason).strip() for reason in reasons if reason))
    text = word or str(status.phase)
    return f"{text}: {'; '.join(known)}" if known else text


def why_pending(pod: client.V1Pod) -> str:
    """What a pod that does not run waits for; empty when it only needs a moment."""
    for container in pod.status.container_statuses or ():
        waiting = container.state.waiting
        if waiting is not None and waiting.reason in _FATAL:
            return f"{waiting.reason}: {waiting.message or container.image}"
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return str(condition.message)
    return ""
