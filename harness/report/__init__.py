"""A run and its verdict for people and machines: terminal, HTML, JSON, JUnit, Markdown."""

from harness.report.live import LiveDisplay
from harness.report.run import beside, print_report
from harness.report.run_files import write_pages, write_reports
from harness.report.terminal import print_runs

__all__ = ["LiveDisplay", "beside", "print_report", "print_runs", "write_pages", "write_reports"]
