"""A real Kubernetes for the tests: its own control plane and four real kubelets on one machine.

    python -m tests.kubernetes.cluster up | down | status

What is here, from the bottom up:

- `requirements`: what the machine must have, else the tests are skipped with the reason.
- `build`, `go/`: Kubernetes, etcd, CoreDNS and metrics-server from their Go modules, built once.
- `topology`, `pki`: names, regions, addresses (198.18.128.0/17, set aside for benchmarks); keys.
- `machine`, `init.sh`, `cgroups`: a computer made of namespaces, named and ended by its cgroup.
- `images`: what the nodes run, unpacked once; see also deploy/images. There is no registry.
- `control`, `node`, `proxy`, `addons`: the programs on each machine and what runs in the cluster.
- `cluster`, `keeper`: what starts in which order; the process that owns it all, and its end.
- `handle`, `workload`: what a test holds: kubectl, the API's objects, the reference service.

The host, 198.18.128.1 towards the first cluster, stands outside every region. It reaches Service
addresses through the control plane's machine, which has a kube-proxy as a cloud's load balancer
would, pods through their nodes, and the API server directly. Names resolve in pods only.
"""
