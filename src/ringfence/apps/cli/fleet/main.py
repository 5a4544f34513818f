"""`ringfence fleet`: all its commands, a module a subject."""

from ringfence.apps.cli.client import ClientApp
from ringfence.apps.cli.fleet import devices, firmware, groups, lists, orders, wanted

client = ClientApp(help="Devices: what is in the field, what it reported, what is wanted of it.")
app = client.app

client.include(devices.client)
client.include(lists.client)
client.include(wanted.client)
client.include(groups.client, name="group")
client.include(firmware.client, name="firmware")
client.include(orders.client, name="order")
