"""Labelled traffic of a whole operator, from a seed: ordinary life with its hard cases, and every shape of toll fraud."""
