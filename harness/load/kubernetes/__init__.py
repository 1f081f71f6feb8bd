"""Load from inside a cluster: Locust's master and workers as Jobs, read through the master's log.

`options` is what can be chosen, `manifests` what is created, `access` who may, `lines` how a log
that may break off becomes a stream that is whole or says what it lacks, `watch` what becomes of
the pods, `driver` the load child of the CLI made of all this.
"""
