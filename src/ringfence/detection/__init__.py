"""Finds fraud and account takeover while it happens, and says why.

Rows of the log move windows (`kernel`), windows cross thresholds (`rules`), crossings become alerts as episodes and suspicions
(`alerts`). Nothing here reads a clock: time is the event time of the rows and ticks of the log, so a replay gives the same verdicts.
"""
