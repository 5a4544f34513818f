"""The inventory: what people ask of the fleet and change in it."""
