"""Composed rules as people keep them: versions, states, labels."""
