"""The files in which every verdict stands in text: a format is a row here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.summary import Summary
from harness.storage import write_atomic


@dataclass(frozen=True, slots=True)
class Format:
    """A file of this name, or with this suffix where another name is asked for."""

    name: str
    suffix: str
    render: Callable[[Summary], str]

    def file(self, stem: str | None) -> str:
        """Its name, or `stem` with its suffix."""
        return f"{self.name if stem is None else stem}{self.suffix}"


FORMATS = (Format("junit", ".xml", render_junit), Format("summary", ".md", render_markdown))


def write_formats(found: Summary, directory: Path, stem: str | None = None) -> None:
    """Write `junit.xml` and `summary.md`, or `stem` with their suffixes; raises RecordError."""
    for each in FORMATS:
        write_atomic(directory / each.file(stem), each.render(found))
