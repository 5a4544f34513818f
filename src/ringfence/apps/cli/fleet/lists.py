"""What people work off in the fleet and say of it: models, versions, stops, replacements, stock, regions, links, labels."""

import sys
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, shown, tell
from ringfence.apps.cli.fleet.sought import Oui, Product, number_of, pages

client = ClientApp(help="Lists of the fleet.")

COUNTS = (
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("software_version", "version"),
    ("life", "life"),
    ("region", "region"),
    ("devices", "devices"),
)
UNCOVERED = (
    ("customer", "customer"),
    ("account", "account"),
    ("model", "phone says"),
    ("registered_at", "registered"),
    ("device_id", "device"),
    ("life", "its life"),
)
MODELS = (
    ("model_id", "model"),
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("manufacturer", "manufacturer"),
    ("hardware_version", "hardware"),
    ("chipset", "chipset"),
    ("twin_product_class", "inside it is"),
    ("stock_version", "stock gets"),
    ("devices", "devices"),
)
VERSIONS = (("day", "day"), ("oui", "OUI"), ("product_class", "product class"), ("software_version", "version"), ("devices", "devices"))
STOPS = (
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("software_version", "version"),
    ("name", "parameter"),
    ("fault_code", "fault"),
    ("device_id", "first refused by"),
    ("stopped_at", "since"),
)
DRIFT = (
    ("device_id", "device"),
    ("serial_number", "serial number"),
    ("name", "parameter"),
    ("wanted", "wanted"),
    ("reported", "reported"),
    ("group", "by group"),
    ("stopped", "refused with"),
    ("found_at", "found"),
)
REFUSALS = (
    ("last_at", "last"),
    ("times", "times"),
    ("reason", "why"),
    ("proven_name", "proven as"),
    ("oui", "claimed OUI"),
    ("serial_number", "claimed serial"),
    ("peer_ip", "from"),
)
PENDING = (
    ("device_id", "device"),
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("serial_number", "serial number"),
    ("line", "seen on"),
    ("holder_id", "line belongs to"),
    ("holder_serial", "its serial"),
    ("holder_life", "its life"),
    ("last_inform_at", "last Inform"),
)
STOCK = (
    ("device_id", "device"),
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("serial_number", "serial number"),
    ("software_version", "version"),
    ("wanted_version", "wanted"),
    ("ready", "ready to ship"),
    ("last_inform_at", "last Inform"),
)

Limit = Annotated[int, typer.Option(min=1, max=100_000, help="So many at the most.")]
Devices = Annotated[list[str], typer.Option("--device", help="Number or serial number of a device; may be repeated.")]


@client.command("summary", permission=Permission.OVERVIEW_READ, route="GET /v1/fleet/summary", help="Devices by model, version and life.")
def show_summary(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """As counted last."""
    tell(
        Api(url, token).get("/fleet/summary"),
        as_json=as_json,
        columns=COUNTS,
        empty="Nothing was counted yet.",
    )


@client.command("coverage", permission=Permission.OVERVIEW_READ, route="GET /v1/fleet/coverage", help="Customers who are not managed.")
def show_coverage(
    model: Annotated[str, typer.Option(help="Only those whose phone says that it is this model.")] = "",
    limit: Limit = 100,
    anew: Annotated[bool, typer.Option(help="Count now instead of taking the count of the last hour.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """The list to work off, and what it is of."""
    api = Api(url, token)
    first = api.get("/fleet/coverage", model=model, limit=1, anew="true" if anew else "")
    rows = list(pages(api, "/fleet/coverage", "uncovered", limit, model=model))
    if as_json:
        tell({**first, "uncovered": rows, "next": ""}, as_json=True, columns=(), empty="")
        return
    tell(rows, as_json=False, columns=UNCOVERED, empty="Every customer that registers is managed.")
    sys.stderr.write(
        f"{first['missing']:,} of {first['customers']:,} customers are not managed"
        f" ({first['silent']:,} had a device that fell silent);"
        f" {first['own']:,} brought their own; {first['nameless']:,} accounts belong to no known customer.\n"
    )
    for gap in first["by_model"][:10]:
        sys.stderr.write(f"{gap['customers']:8,}  {shown(gap['model'], '')}\n")


@client.command("models", permission=Permission.DEVICE_READ, route="GET /v1/fleet/models", help="Every model of the fleet.")
def list_models(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List models."""
    tell(Api(url, token).get("/fleet/models"), as_json=as_json, columns=MODELS, empty="No model is known yet.")


@client.command("model", permission=Permission.DEVICE_MANAGE, route="PUT /v1/fleet/models/{model_id}", help="Say what a model is made of.")
def put_model(
    model: Annotated[int, typer.Argument(help="Its number, from `ringfence fleet models`.")],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    hardware: Annotated[str, typer.Option(help="Its hardware revision.")] = "",
    chipset: Annotated[str, typer.Option(help="Its chipset, as advisories name it.")] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Describe a model."""
    Api(url, token).put(f"/fleet/models/{model}", {"name": name, "hardware_version": hardware, "chipset": chipset})
    sys.stderr.write("Saved.\n")


@client.command(
    "twin", permission=Permission.DEVICE_MANAGE, route="PUT /v1/fleet/models/{model_id}/twin", help="Say which model it is inside."
)
def put_twin(
    model: Annotated[int, typer.Argument(help="Its number, from `ringfence fleet models`.")],
    twin: Annotated[int, typer.Argument(help="The number of the model that it is inside; 0: none.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Name a model's twin: an advisory for one is one for the other."""
    Api(url, token).put(f"/fleet/models/{model}/twin", {"twin_id": twin})
    sys.stderr.write("Saved.\n")


@client.command("versions", permission=Permission.OVERVIEW_READ, route="GET /v1/fleet/versions", help="Versions in the field day by day.")
def list_versions(
    oui: Oui = "",
    product_class: Product = "",
    days: Annotated[int, typer.Option(min=1, max=800, help="So many days back.")] = 30,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List versions."""
    found = Api(url, token).get("/fleet/versions", oui=oui.upper(), product_class=product_class, days=days)
    tell(found, as_json=as_json, columns=VERSIONS, empty="Nothing was counted yet; the worker counts each day.")


@client.command("stops", permission=Permission.DEVICE_READ, route="GET /v1/fleet/stops", help="Settings that models refuse.")
def list_stops(limit: Limit = 100, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List stops."""
    rows = list(pages(Api(url, token), "/fleet/stops", "stops", limit))
    tell(rows, as_json=as_json, columns=STOPS, empty="No model refused a setting.")


@client.command("lift-stop", permission=Permission.DESIRED_WRITE, route="POST /v1/fleet/stops/lift", help="Try a refused setting again.")
def lift_stop(
    name: Annotated[str, typer.Argument(help="Name of the parameter, as `ringfence fleet stops` shows it.")],
    oui: Annotated[str, typer.Option(help="Maker: six hexadecimal digits.")],
    product_class: Annotated[str, typer.Option(help="Product class.")],
    version: Annotated[str, typer.Option(help="Software version.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Lift a stop."""
    stop = {"oui": oui.upper(), "product_class": product_class, "software_version": version, "name": name}
    Api(url, token).post("/fleet/stops/lift", stop)
    sys.stderr.write("It is asked for again at each device's next Inform; a model that refuses it again is stopped again.\n")


@client.command("drift", permission=Permission.DEVICE_READ, route="GET /v1/fleet/drift", help="What is not as it is wanted.")
def list_drift(
    group: Annotated[str, typer.Option(help="Only what this group wants.")] = "",
    limit: Limit = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List drift, as the worker compared it last."""
    rows = list(pages(Api(url, token), "/fleet/drift", "differences", limit, group=group))
    tell(rows, as_json=as_json, columns=DRIFT, empty="Everything is as it is wanted.")


@client.command("refusals", permission=Permission.DEVICE_READ, route="GET /v1/fleet/refusals", help="Who was refused as a device.")
def list_refusals(limit: Limit = 100, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """The last one first."""
    rows = list(pages(Api(url, token), "/fleet/refusals", "refusals", limit, key="before"))
    tell(rows, as_json=as_json, columns=REFUSALS, empty="Nobody was refused.")


@client.command(
    "replacements", permission=Permission.DEVICE_READ, route="GET /v1/fleet/replacements", help="Devices that wait to be put on a line."
)
def list_replacements(limit: Limit = 100, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """The newest first."""
    rows = list(pages(Api(url, token), "/fleet/replacements", "replacements", limit, key="before"))
    tell(rows, as_json=as_json, columns=PENDING, empty="No replacement waits.")


@client.command("stock", permission=Permission.DEVICE_READ, route="GET /v1/fleet/stock", help="Devices in stock, and which can be shipped.")
def list_stock(
    oui: Oui = "", product_class: Product = "", limit: Limit = 100, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False
) -> None:
    """List stock."""
    rows = list(pages(Api(url, token), "/fleet/stock", "devices", limit, oui=oui.upper(), product_class=product_class))
    tell(rows, as_json=as_json, columns=STOCK, empty="Nothing is in stock; `ringfence fleet import` lists what is.")


@client.command("region", permission=Permission.DEVICE_MANAGE, route="POST /v1/fleet/region", help="Put devices into a region.")
def put_region(
    region: Annotated[str, typer.Argument(help="Its name; '' takes them out of theirs.")],
    device: Devices,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Set a region."""
    api = Api(url, token)
    told = api.post("/fleet/region", {"devices": [number_of(api, one) for one in device], "region": region})
    sys.stderr.write(f"{told['changed']} changed; what is wanted of them is compared anew at their next Inform.\n")


@client.command(
    "link", permission=Permission.DEVICE_MANAGE, route="POST /v1/fleet/link", help="State a link that nobody sees from outside."
)
def put_link(
    link: Annotated[str, typer.Argument(help="mobile or unreachable; direct takes that back.")],
    device: Devices,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """State a link."""
    api = Api(url, token)
    told = api.post("/fleet/link", {"devices": [number_of(api, one) for one in device], "link": link})
    sys.stderr.write(f"{told['changed']} changed.\n")


@client.command("label", permission=Permission.DEVICE_MANAGE, route="POST /v1/fleet/labels", help="Add and remove labels of devices.")
def change_labels(
    device: Devices,
    add: Annotated[list[str] | None, typer.Option(help="Label to add; may be repeated.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Label to remove; may be repeated.")] = None,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Change labels."""
    api = Api(url, token)
    told = api.post("/fleet/labels", {"devices": [number_of(api, one) for one in device], "add": add or [], "remove": remove or []})
    sys.stderr.write(f"{told['changed']} changed; what is wanted of them is compared anew at their next Inform.\n")
