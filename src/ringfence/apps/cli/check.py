"""`ringfence check`: would it start? Every finding at once, nothing started, nothing changed."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringfence.apps.cli import preflight
from ringfence.base.errors import ExitCode
from ringfence.runtime.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command()
def check(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the installation.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (default: ringfence.toml in the data folder).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check settings and environment. Exit code 2 when `ringfence up` would refuse to start."""
    settings = load_settings(data_dir=data_dir, config=config)
    findings = list(preflight.inspect(settings))
    fatal = any(finding.problem and finding.fatal for finding in findings)
    if as_json:
        rows = [{"subject": finding.subject, "result": _result(finding), "problem": finding.problem or None} for finding in findings]
        typer.echo(json.dumps({"passed": not fatal, "checks": rows}))
    else:
        console = Console()
        for finding in findings:
            style = {"ok": "green", "warning": "yellow", "error": "red"}[_result(finding)]
            text = finding.problem or finding.subject
            console.print(f"[{style}]{_result(finding):8}[/{style}]", text, highlight=False, soft_wrap=True)
    raise typer.Exit(ExitCode.OPERATOR if fatal else ExitCode.OK)


def _result(finding: preflight.Finding) -> str:
    if not finding.problem:
        return "ok"
    return "error" if finding.fatal else "warning"
