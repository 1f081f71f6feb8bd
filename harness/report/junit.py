"""JUnit XML: what a continuous-integration server counts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from harness.judge.model import ObjectiveResult, ValidityCheck, Verdict
from harness.record.run import RunRecord
from harness.units import NANOSECONDS

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(record: RunRecord, verdict: Verdict) -> str:
    """One suite, one case for each objective and validity check.

    A missed objective is a failure; a result that is inconclusive or invalid is an error, and so is
    a broken validity check in a run that did not pass; what this run could not test is skipped.
    """
    name = f"{verdict.service} {record.plan.profile.name}"
    suite = ET.Element("testsuite", name=name)
    if record.start_wall_ns is not None:
        began = datetime.fromtimestamp(record.start_wall_ns // NANOSECONDS, UTC)
        suite.set("timestamp", began.strftime("%Y-%m-%dT%H:%M:%S"))
    for result in verdict.objectives:
        _objective(suite, verdict, result)
    for stage in verdict.stages:
        case = _case(suite, f"{verdict.service}.stages", stage.name)
        ET.SubElement(case, "system-out").text = clean(f"{stage.outcome}: {stage.statement}")
    for check in verdict.validity:
        _validity(suite, verdict, check)
    cases = list(suite)
    suite.set("tests", str(len(cases)))
    for tag, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", f"{record.seconds:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _objective(suite: ET.Element, verdict: Verdict, result: ObjectiveResult) -> None:
    case = _case(suite, f"{verdict.service}.objectives", result.objective.name)
    statement = clean(result.statement)
    match result.outcome:
        case "fail":
            ET.SubElement(case, "failure", message=statement, type="objective missed")
        case "inconclusive" | "invalid":
            ET.SubElement(case, "error", message=statement, type=result.outcome)
        case None:
            ET.SubElement(case, "skipped", message=statement)
        case _:
            ET.SubElement(case, "system-out").text = statement


def _validity(suite: ET.Element, verdict: Verdict, check: ValidityCheck) -> None:
    case = _case(suite, f"{verdict.service}.validity", check.name)
    text = clean(f"{check.reason} Measured {check.measured}, limit {check.limit}.")
    if check.ok is False and check.remedy:
        text += f" Remedy: {clean(check.remedy)}."
    if check.ok is False and verdict.outcome != "pass":
        ET.SubElement(case, "error", message=text, type=check.costs)
    elif check.ok is None:
        ET.SubElement(case, "skipped", message=text)
    else:
        ET.SubElement(case, "system-out").text = text


def _case(suite: ET.Element, classname: str, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=clean(classname), name=clean(name), time="0")


def clean(text: str) -> str:
    """The text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
