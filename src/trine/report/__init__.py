"""One self-contained HTML file on a finished run."""

from .page import render as render
from .page import report_run as report_run
