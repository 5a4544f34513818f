"""Rehearsals: a scenario of the outside world, the reaction that is expected of the product, and the score.

A drill starts a product of its own (folder, ports, engines), reaches it through bytes only, pages nobody and never touches the live one.
"""
