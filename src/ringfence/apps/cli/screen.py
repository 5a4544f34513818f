"""The one screen that `ringfence up` prints: where things are, how to sign in, what to paste into a SIP server."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ringfence.access.model import OneTimePassword
from ringfence.runtime.settings import Settings

_PASTE = """\
  install -m 0644 {include} /etc/kamailio/
  install -m 0600 -o kamailio -g kamailio {settings} /etc/kamailio/
and in /etc/kamailio/kamailio.cfg:
  listen=udp:<address>:5060                             # if there is no listen= line yet
  include_file "/etc/kamailio/ringfence-settings.cfg"   # both above "Routing Logic", in this order
  include_file "/etc/kamailio/ringfence.cfg"
  route(RF_EARLY);                                      # above route(WITHINDLG);
  route(RF_AUTH_FAIL);                                  # first in the block after if (!auth_check(...))
  route(RF_AUTH_OK);                                    # right after that block"""


def _url(settings: Settings, surface: str) -> str:
    chosen = settings.console if surface == "console" else settings.api
    return f"{'https' if chosen.certificate_file else 'http'}://{chosen.listen}"


def show_screen(
    console: Console,
    settings: Settings,
    *,
    edge_files: Sequence[Path],
    include: Path,
    password: OneTimePassword | None,
    nobody_yet: bool,
    seconds: float,
) -> None:
    """Print it. `password` only ever reaches a terminal; `nobody_yet` says how to get one elsewhere."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Console", f"{_url(settings, 'console')}")
    table.add_row("API", f"{_url(settings, 'api')}/v1")
    table.add_row("HEP", f"{settings.ingest.hep_listen} (UDP and TCP), from {', '.join(a.name for a in settings.ingest.agents)}")
    table.add_row("Data", str(settings.data_dir))
    table.add_row("Keys", f"{settings.keys_dir} (mode 0600; back them up)")
    table.add_row("Logs", str(settings.data_dir / "log"))
    if password is not None:
        table.add_row("Sign in", f"{password.name} with {password.password.open()} (shown once; you will be asked to change it)")
    elif nobody_yet:
        table.add_row("Sign in", f"nobody can yet: run `ringfence user add --data-dir {settings.data_dir}` on a terminal")
    console.print()
    console.print(f"[bold]Ringfence[/bold] is ready after {seconds:.1f} s. Ctrl-C stops it.", highlight=False)
    console.print(table, highlight=False)
    for file in edge_files:
        console.print(f"\n[bold]On Kamailio {file.parent.name}[/bold], once:", highlight=False)
        for line in _PASTE.format(include=include, settings=file).splitlines():
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()
