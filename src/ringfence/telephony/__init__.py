"""Calls and registrations as Ringfence sees them, without a socket or a clock.

Numbers become E.164 and destination classes, packets become dialogs and registrations, and those become rows of the log. Here the
columns of the log, the control records in it and the `Suspicion` that detection hands to policy are named and typed.
"""
