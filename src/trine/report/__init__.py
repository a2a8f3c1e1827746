"""One self-contained HTML file on a finished run."""

from .content import ReportContent as ReportContent
from .page import render as render
from .page import report_run as report_run
from .page import write_report as write_report
