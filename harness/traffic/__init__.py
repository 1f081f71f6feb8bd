"""Traffic models and load profiles: what is sent, and when. No I/O but reading scenario files."""

from harness.traffic.bodies import file, json_value
from harness.traffic.build import model_of, to_engine
from harness.traffic.declare import (
    body_contains,
    choice,
    delete,
    get,
    head,
    journey,
    json_pointer,
    options,
    patch,
    post,
    put,
    request,
    sequence,
    setup,
    status,
    stream,
    uniform,
    uuid,
    zipf,
)
from harness.traffic.files import csv_column, csv_rows, json_rows
from harness.traffic.model import Audit, Journey, LoadProfile, Request, Segment, TrafficModel
from harness.traffic.profiles import NAMED, resolve_profile
from harness.traffic.replay import replay
from harness.traffic.scenario import (
    import_users,
    load_model,
    scenario_environment,
    scenario_names,
    service_asked,
)

__all__ = [
    "NAMED",
    "Audit",
    "Journey",
    "LoadProfile",
    "Request",
    "Segment",
    "TrafficModel",
    "body_contains",
    "choice",
    "csv_column",
    "csv_rows",
    "delete",
    "file",
    "get",
    "head",
    "import_users",
    "journey",
    "json_pointer",
    "json_rows",
    "json_value",
    "load_model",
    "model_of",
    "options",
    "patch",
    "post",
    "put",
    "replay",
    "request",
    "resolve_profile",
    "scenario_environment",
    "scenario_names",
    "sequence",
    "service_asked",
    "setup",
    "status",
    "stream",
    "to_engine",
    "uniform",
    "uuid",
    "zipf",
]
