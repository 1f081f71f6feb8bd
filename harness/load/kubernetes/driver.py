"""Load Jobs as the CLI sees them: the same words as the load child's, from inside a cluster."""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from kubernetes import client

from harness.errors import PlatformError
from harness.load.kubernetes import manifests
from harness.load.kubernetes.follow import Follower
from harness.load.kubernetes.options import JobOptions
from harness.load.kubernetes.watch import PodWatch, why_pending
from harness.load.plan import LoadPlan
from harness.messages import LoadMessage
from harness.platform.kubernetes.access import LOAD_NEEDS, check_context, quietly, require, telling
from harness.platform.kubernetes.api_types import Manifest
from harness.traffic.scenario import SERVICE_VARIABLE
from harness.units import NANOSECONDS

PLACE_LIMIT_S = 90.0
"""How long the master's pod may take to have an address: to be scheduled, its image pulled."""

IMAGE_LIMIT_S = 15.0
"""How long an image that cannot be had is waited for: a registry may have a bad moment."""

HEARD_S = 1.0
"""How much later than it was said a message may be heard."""

Say = Callable[[str], None]


class LoadJobs:
    """One run's Jobs, from start to end; a context manager that leaves none behind.

    Has the methods of `harness.load.driver.LoadProcess`. If this process is killed, its heartbeat
    stops: the load ends within half a minute, and the Jobs are removed by their TTL.
    """

    def __init__(
        self,
        plan: LoadPlan,
        environment: Mapping[str, str] | None,
        *,
        api: client.ApiClient,
        options: JobOptions,
        say: Say = lambda text: None,
    ) -> None:
        self._plan = plan
        service = (environment or {}).get(SERVICE_VARIABLE)
        self._env = {SERVICE_VARIABLE: service} if service else {}
        self._api = api
        self._options = options
        self._say = say
        self._core, self._batch = client.CoreV1Api(api), client.BatchV1Api(api)
        self.run = secrets.token_hex(4)
        self._watch = PodWatch(self._core, options.namespace, manifests.labels(self.run))
        self._queue: queue.Queue[LoadMessage] = queue.Queue()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._stops = 0
        self._start_ns = 0
        self._master = ""
        self._uid = ""
        self._done = False
        self.ended = False

    def __enter__(self) -> Self:
        namespace = self._options.namespace
        check_context(self._api, namespace)
        require(self._api, namespace, LOAD_NEEDS)
        try:
            self._create()
        except BaseException:
            self._remove()
            raise
        return self

    def _create(self) -> None:
        plan, options = self._plan, self._options
        self._say(f"load Jobs harness-load-{self.run}-* in namespace {options.namespace}")
        documents = [manifests.plan_secret(plan, self.run), manifests.scenario_map(plan, self.run)]
        if (tls := manifests.tls_secret(plan, self.run)) is not None:
            documents.append(tls)
        with telling("load Jobs"):
            job = self._batch.create_namespaced_job(
                options.namespace, manifests.master_job(plan, options, self.run, self._env)
            )
            self._uid = job.metadata.uid
            for document in documents:
                self._create_owned(document)
        pod = self._await_address()
        self._master = pod.metadata.name
        self._follower = Follower(
            self._core,
            options.namespace,
            self._master,
            closing=self._closing,
            ended=lambda: self._watch.ended(self._master),
            limit_s=manifests.limit_s(plan),
        )
        if plan.workers > 1:
            address = pod.status.pod_ip
            workers = manifests.worker_job(plan, options, self.run, self._env, address)
            with telling("load workers"):
                self._create_owned(workers)
        for target in (self._read, self._look, self._beat):
            thread = threading.Thread(target=target, name=target.__name__, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _create_owned(self, document: Manifest) -> None:
        creators = {
            "Secret": self._core.create_namespaced_secret,
            "ConfigMap": self._core.create_namespaced_config_map,
            "Job": self._batch.create_namespaced_job,
        }
        owned = manifests.owned(document, f"harness-load-{self.run}-master", self._uid)
        creators[str(document["kind"])](self._options.namespace, owned)

    def _await_address(self) -> client.V1Pod:
        """The master's pod once it runs. Raises PlatformError with what holds it up."""
        began = time.monotonic()
        why = "no pod was made for it"
        refused: str | None = None
        while (waited := time.monotonic() - began) < PLACE_LIMIT_S:
            with telling("load Jobs"):
                pods = self._watch.pods("master")
                refused = None if pods else self._watch.refusal(f"harness-load-{self.run}-master")
            why = refused or why
            for pod in pods:
                if pod.status.pod_ip and pod.status.phase != "Pending":
                    return pod
                why = why_pending(pod) or why
            if (refused or "Image" in why) and waited > IMAGE_LIMIT_S:
                break
            time.sleep(0.2)
        raise PlatformError(
            f"the load master did not start within {time.monotonic() - began:.0f} s: {why}",
            "make room in what refuses it, or name another --load-namespace"
            if refused
            else "check --image, --worker-cpu and the nodes' room",
        )

    # -- the stream -----------------------------------------------------------------------------

    def poll(self, timeout_s: float) -> list[LoadMessage]:
        """What has been said since the last call, waiting up to `timeout_s` for it.

        Between the load child's own messages stand `load_pod` ones: what became of a pod.
        """
        found: list[LoadMessage] = []
        try:
            found.append(self._queue.get(timeout=timeout_s))
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        self.ended |= any(each["type"] in {"end", "child_died"} for each in found)
        return found

    def _read(self) -> None:
        """Pass the master's stream on; without its `end` it has died."""
        for message in self._follower.messages():
            self._take(message)
        if not self._done and not self._closing.is_set():
            self._tell_changes()
            self._died()

    def _take(self, message: LoadMessage) -> None:
        if message["type"] == "start":
            # The record counts from the start on this machine's clock.
            monotonic = time.monotonic_ns() + message["wall_ns"] - time.time_ns()
            message = {**message, "monotonic_ns": monotonic}
            self._start_ns = min(monotonic, time.monotonic_ns())
        if message["type"] == "end":
            self._done = True
            message = {**message, "errors": [*message.get("errors", ()), *self._cut_short()]}
            if missing := self._follower.lines.missing:
                self._queue.put({"type": "lines_missing", "count": missing})
        self._queue.put(message)

    def _cut_short(self) -> list[str]:
        """Why the load ended early by nobody here: a kubelet's signal is that of a stop."""
        due = self._plan.profile.duration_s
        ran = (time.monotonic_ns() - self._start_ns) / NANOSECONDS
        if self._stops or ran >= due - HEARD_S:
            return []
        self._tell_changes()  # it may have ended since the last look
        last = self._watch.last_word(self._master) or "not seen"
        return [f"the load ended {ran:.0f} s into {due:.0f} s: its master's pod was {last}"]

    def _died(self) -> None:
        said = [*self._follower.lines.said]
        last = self._watch.last_word(self._master)
        if last:
            said.append(last)
        text = "\n".join(said)
        self._queue.put({"type": "child_died", "code": None, "stderr": text})

    def _look(self) -> None:
        """Tell each change of the run's pods, once a second."""
        while not self._closing.wait(1.0):
            self._tell_changes()

    def _tell_changes(self) -> None:
        for change in self._watch.changes():
            self._queue.put(change)

    def _beat(self) -> None:
        """Renew the heartbeat that keeps the master going; a beat that fails is made up for."""
        number = 0
        while not self._closing.is_set():
            number += 1
            body = {"metadata": {"annotations": {manifests.HEARTBEAT: str(number)}}}
            quietly(
                lambda body=body: self._core.patch_namespaced_pod(  # type: ignore[misc]
                    self._master, self._options.namespace, body
                )
            )
            self._closing.wait(manifests.BEAT_S)

    # -- the end --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask for no new arrivals, a short drain and the totals; a second time: at once."""
        self._stops += 1
        grace = manifests.drain_s(self._plan) if self._stops == 1 else 1
        quietly(lambda: self._delete_pod(self._master, grace))

    def kill(self) -> None:
        """End all pods of the run now."""
        self._remove()
        self._died()

    def _delete_pod(self, name: str, grace_s: int) -> None:
        self._core.delete_namespaced_pod(
            name, self._options.namespace, grace_period_seconds=grace_s
        )

    def _remove(self) -> None:
        """Delete the pods and the Job; the rest goes with it."""
        if not self._uid:
            return
        namespace = self._options.namespace
        problem = quietly(
            lambda: self._batch.delete_namespaced_job(
                f"harness-load-{self.run}-master", namespace, propagation_policy="Background"
            )
        )
        quietly(
            lambda: self._batch.delete_namespaced_job(
                f"harness-load-{self.run}-worker", namespace, propagation_policy="Background"
            )
        )
        pods: list[client.V1Pod] = []
        quietly(lambda: pods.extend(self._watch.pods()))
        for pod in pods:
            quietly(lambda name=pod.metadata.name: self._delete_pod(name, 0))  # type: ignore[misc]
        if problem is not None:
            self._say(
                f"the Jobs could not be removed ({problem}); they end by themselves within"
                f" {manifests.limit_s(self._plan)} s and are then removed by their TTL"
            )

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._remove()
        for thread in self._threads:
            thread.join(2.0)
