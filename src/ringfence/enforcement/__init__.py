"""Enforcement: what is refused at the SIP edge, until when and why; the invariants that no block may break; whether each edge agrees.

Policy decides and keeps the record in JetStream; the edge connector makes every edge agree with it. PostgreSQL holds a copy.
"""
