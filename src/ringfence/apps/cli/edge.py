"""`ringfence edge`: whether each SIP edge holds exactly the blocks that are in force."""

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell

client = ClientApp(help="Edges: the SIP servers that refuse calls.")
app = client.app

COLUMNS = (
    ("edge", "edge"),
    ("reachable", "reachable"),
    ("agrees", "agrees"),
    ("keys", "keys"),
    ("waiting", "waiting"),
    ("last_full_check_at", "checked"),
    ("repaired", "repaired"),
    ("refills", "refills"),
    ("message", "message"),
)


@client.command("list", permission=Permission.EDGE_READ, route="GET /v1/edges", help="Every edge as its connector last reported it.")
def list_edges(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List edges."""
    tell(Api(url, token).get("/edges"), as_json=as_json, columns=COLUMNS, empty="No edge has reported yet.")


@client.app.callback()
def _root() -> None:
    """Keep `list` a command of its own."""
