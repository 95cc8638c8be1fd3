"""Run: `weft run` – a workflow becomes files; once, or for every row of a table and every point of a sweep."""

from engine.cli.run.carrying import carry_out
from engine.cli.run.main import add, go
from engine.cli.run.opening import check_writable, open_session
from engine.cli.run.report import EXITS, Report, overall, table, word

__all__ = ["EXITS", "Report", "add", "carry_out", "check_writable", "go", "open_session", "overall", "table", "word"]
