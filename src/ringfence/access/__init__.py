"""People: users, roles, tokens, second factor, the audit chain and who is called at night.

Doors: `model`, `service`. It knows what a permission is and who holds it; what a permission guards is the business of the surfaces.
"""
