"""What a node would do with an agent's pod: run it, as a process of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import certifi

from tests.platform_kubernetes.fake import NAMESPACE, FakeApi

TOKEN = "agent"
LAUNCH = """
import os, pathlib, sys
from harness.platform.kubernetes import agent, agent_tasks
agent_tasks.SERVICE_ACCOUNT, agent.AGENT_UID = pathlib.Path(sys.argv[1]), os.getuid()
agent.STALE_S = float(sys.argv[2])
agent.watch_parent = lambda undo: None  # nothing in a container outlives its first process
sys.exit(agent.main())
"""


def kill(process: subprocess.Popen[bytes]) -> None:
    """The container's processes, all of them."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Kubelet:
    """Runs every pod that is made, as `agent` says; takes a lease for stale after `stale_s`."""

    def __init__(
        self,
        api: FakeApi,
        directory: Path,
        stale_s: float,
        agent: Sequence[str] = ("-c", LAUNCH),
    ) -> None:
        self._api = api
        self._directory = directory
        self._stale_s = stale_s
        self._agent = agent
        self._lock = threading.Lock()
        self._ended = False
        self.running: list[subprocess.Popen[bytes]] = []
        (directory / "token").write_text(TOKEN)
        (directory / "ca.crt").write_bytes(Path(certifi.where()).read_bytes())
        api.kubelet = self.run

    def run(self, pod: dict[str, Any]) -> None:
        """Start its container, and again for as long as it fails."""
        (container,) = pod["spec"]["containers"]
        self._tell(pod, "Running", podIP="127.0.0.1")
        named = {
            each["name"]: each.get("value", "").replace("$$", "$") for each in container["env"]
        }
        words = [sys.executable, *self._agent, str(self._directory), str(self._stale_s)]
        environment = {
            **os.environ,
            **named,
            "AGENT_API": self._api.url,
            "KUBERNETES_SERVICE_HOST": "unused",
        }
        while True:
            with self._lock:
                if self._ended:
                    return
                process = subprocess.Popen(
                    words, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
                )
                self.running.append(process)
            if process.wait() == 0 or pod["spec"]["restartPolicy"] != "OnFailure":
                self._tell(pod, "Failed" if process.returncode else "Succeeded")
                return

    def _tell(self, pod: dict[str, Any], phase: str, **other: str) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}"
        with self._api.lock, contextlib.suppress(KeyError):
            self._api.objects[path]["status"].update(phase=phase, **other)

    def stop(self) -> None:
        """Kill what still runs."""
        with self._lock:
            self._ended = True
            for process in self.running:
                kill(process)


def doomed(api: FakeApi) -> Callable[[dict[str, Any]], None]:
    """A kubelet whose agents say that they are there and die: none of them undoes anything."""

    def run(pod: dict[str, Any]) -> None:
        named = {e["name"]: e for e in pod["spec"]["containers"][0]["env"]}
        words = json.loads(named["AGENT_PLAN"]["value"])
        lease = f"/api/v1/namespaces/{words['namespace']}/configmaps/{words['lease']}"
        for state, wish in (("ready", "wait"), ("no-effect", "hold")):
            while (found := api.get(lease))["data"]["wish"] != wish:
                time.sleep(0.02)
            told = {"state": state, "statement": "as if", "at": 0}
            found["data"][f"node-{words['node']}"] = json.dumps(told)
            api.put(lease, found)

    return run
