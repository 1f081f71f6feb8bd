"""JUnit XML: what a continuous-integration server counts."""

import re
from xml.etree import ElementTree as ET

from harness.judge.model import Judged, ResultWord
from harness.report.summary import Summary, word_of

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(summary: Summary) -> str:
    """One suite, one case for each judged thing.

    A fail is a failure; what is inconclusive or invalid is an error; what was not judged is
    skipped. No pass has neither: where no case says why, one of its own does.
    """
    suite = ET.Element("testsuite", name=clean(summary.subject))
    if summary.began is not None:
        suite.set("timestamp", summary.began)
    if summary.provenance:
        properties = ET.SubElement(suite, "properties")
        for number, line in enumerate(summary.provenance):
            ET.SubElement(properties, "property", name=f"provenance.{number}", value=clean(line))
    for judged in summary.judged:
        _case(suite, summary, judged)
    if summary.outcome != "pass" and not any(_kind(judged) for judged in summary.judged):
        reason = summary.reasons[0] if summary.reasons else summary.outcome
        failed: ResultWord = "fail" if summary.outcome == "fail" else "invalid"
        alone = Judged("verdict", failed, reason, group="verdict", label=summary.outcome)
        _case(suite, summary, alone)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    for tag, plural in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    if summary.seconds is not None:
        suite.set("time", f"{summary.seconds:.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _kind(judged: Judged) -> str | None:
    """The element of what spoils the suite."""
    if judged.outcome in {None, "pass"} or not judged.decides:
        return None
    return "failure" if judged.outcome == "fail" else "error"


def _case(suite: ET.Element, summary: Summary, judged: Judged) -> None:
    place = clean(f"{summary.service}.{judged.group}")
    took = f"{judged.seconds:.3f}"
    case = ET.SubElement(suite, "testcase", classname=place, name=clean(judged.name), time=took)
    text, word, kind = clean(judged.statement), word_of(judged), _kind(judged)
    if kind is not None:
        ET.SubElement(case, kind, message=text, type=word.lower())
    elif judged.outcome is None:
        ET.SubElement(case, "skipped", message=text)
    else:
        shown = text if word == "pass" else f"{clean(word)}: {text}"
        ET.SubElement(case, "system-out").text = shown


def clean(text: str) -> str:
    """The text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
