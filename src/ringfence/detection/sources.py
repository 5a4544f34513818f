"""The source view: addresses that guess passwords, try users, numbers or stolen accounts (D23, D35, D38, E01, E03, E04).

Only addresses that the operator does not know are judged: after an outage thousands of his own lines register at once, and many customers
stand behind one CGNAT address. Nobody's account is ever locked for the failures of others: failures speak against their source alone.
Whoever sends packets chooses the keys here, so every table has a fixed size and forgets what was silent longest in event time. The one
thing to know: what is counted for a /24 is counted in one lane, so several lanes of this view see such a network in parts.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, Finding
from ringfence.detection.kernel_source import ROW, acquaint
from ringfence.detection.layout import DAY, HOUR, MAX_EVIDENCE, MINUTE, SECOND
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.sightings import Said, Sighting, Sightings, count_within, level_of, moments, within
from ringfence.detection.source_rules import EACH, RULES, block_of, neighbourhood
from ringfence.detection.tables import Words
from ringfence.telephony.columns import RowBatch, row_ref
from ringfence.telephony.control import ControlRecord, RuleSetChanged
from ringfence.telephony.model import Flag, Kind, NetworkKind
from ringfence.telephony.suspicion import Measure

__all__ = ["RULES", "SourceEngine"]

MAX_SOURCES: Final = 65_536
"""Addresses (and networks, and users with networks) that are remembered with what they did."""
MAX_DIALLING: Final = 16_384
MAX_PAIRS: Final = 1 << 20
"""Pairs of address and account that are known: the accounts that are at home there."""
LATE_MS: Final = 5 * MINUTE
"""A row later than its window and this is not counted."""
CROWD_MS: Final = 30 * DAY
SUFFIX: Final = 9
PREFIX: Final = 10
"""Digits of a dialled number that stay the same while at most so many before them change."""
MAX_NAME: Final = 128
_WRONG_PASSWORD, _UNKNOWN_USER, _MISMATCH = 401, 404, 403
_FOREIGN = int(NetworkKind.FOREIGN)
_SCORES: Final = (0, 50, 80, 90, 95)


class SourceEngine:
    """One lane of the source view. Create with the rules in force, or `restore` a state."""

    def __init__(self, rules: RuleSet, *, max_sources: int = MAX_SOURCES, max_pairs: int = MAX_PAIRS) -> None:
        self.rules = rules
        self._now = 0
        self._rows = 0
        self._forgotten_pairs = 0
        self._pairs: Words = np.zeros((max_pairs // (ROW // 2), ROW), np.int64)
        self._tables: dict[str, Sightings] = {
            "refused": Sightings(keys=max_sources, each=EACH, keep_ms=HOUR + LATE_MS),
            "unknown": Sightings(keys=max_sources, each=EACH, keep_ms=DAY + LATE_MS),
            "sprayed": Sightings(keys=max_sources, each=2 * EACH, keep_ms=HOUR + LATE_MS),
            "wrong": Sightings(keys=max_sources, each=EACH, keep_ms=DAY + LATE_MS),
            "dialled": Sightings(keys=min(MAX_DIALLING, max_sources), each=64, keep_ms=20 * SECOND),
            "first": Sightings(keys=max_sources, each=EACH, keep_ms=CROWD_MS),
        }
        self._said = Said(keys=max_sources)
        self._wait: dict[str, int] = {}
        self._suspects: set[str] = set()

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen."""
        return self._now

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Rows at a sequence of the lane; what they prove, in order."""
        if batch.length == 0:
            return []
        clocks = np.maximum.accumulate(np.maximum(batch.numeric["at_ms"], self._now))
        news = self._acquaint(batch)
        steps = self._chosen(batch, news)
        findings: list[Finding] = []
        for place in steps.tolist():
            self._now = int(clocks[place])
            row = _Row(batch, place, sequence)
            if row.kind == Kind.AUTH_FAILURE:
                findings += self._refused(row)
            elif row.kind == Kind.UNAUTHENTICATED:
                findings += self._dialled(row)
            else:
                findings += self._used(row, new=bool(news[place]))
        self._now = int(clocks[-1])
        self._rows += batch.length
        return findings

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing is found by it."""
        self._now = max(self._now, at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """New rules take effect here. OperatorError for rules that cannot be read."""
        if isinstance(record, RuleSetChanged):
            self.rules = read_rules(record.toml, version=record.version)
            self._wait.clear()
            self._find_suspects()

    def figures(self) -> dict[str, float]:
        """Counters since the first row, and sizes."""
        return {
            "rows_counted": float(self._rows),
            "sources": float(len(self._tables["refused"])),
            "keys_evicted": float(sum(table.forgotten for table in self._tables.values()) + self._forgotten_pairs),
            "state_bytes": float(self._pairs.nbytes),
        }

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on; equal for replicas at the same position."""
        scalars: dict[str, Any] = {
            "now": self._now,
            "rows": self._rows,
            "forgotten_pairs": self._forgotten_pairs,
            "said": self._said.state(),
            "tables": [[name, table.forgotten, table.state()] for name, table in self._tables.items()],
        }
        return EngineState(arrays={"pairs": self._pairs.copy()}, scalars=scalars)

    @classmethod
    def restore(cls, state: EngineState, rules: RuleSet, *, max_sources: int = MAX_SOURCES) -> "SourceEngine":
        """An engine that goes on where the state was taken. The array becomes its own."""
        scalars = state.scalars
        engine = cls(rules, max_sources=max_sources, max_pairs=ROW // 2)
        engine._pairs = state.arrays["pairs"]
        engine._now, engine._rows = int(scalars["now"]), int(scalars["rows"])
        engine._forgotten_pairs = int(scalars["forgotten_pairs"])
        engine._said.adopt(scalars["said"])
        for name, forgotten, seen in scalars["tables"]:
            engine._tables[name].adopt(seen, forgotten)
        engine._find_suspects()
        return engine

    # Which rows are looked at one by one

    def _acquaint(self, batch: RowBatch) -> Words:
        """1 for each row with which an account is used at a foreign address for the first time."""
        numeric = batch.numeric
        news: Words = np.zeros(batch.length, np.int64)
        used = _used(batch) & (numeric["network_kind"] == _FOREIGN)
        places = np.flatnonzero(used)
        if len(places):
            pairs = numeric["source_key"][places] * np.int64(0x1E3779B97F4A7C15) ^ numeric["account_key"][places]
            first: Words = np.zeros(len(places), np.int64)
            self._forgotten_pairs += acquaint(self._pairs, np.where(pairs == 0, np.int64(1), pairs), numeric["at_ms"][places], first)
            news[places] = first
        return news

    def _chosen(self, batch: RowBatch, news: Words) -> Words:
        numeric = batch.numeric
        kind, network = numeric["kind"], numeric["network_kind"]
        refused = kind == int(Kind.AUTH_FAILURE)
        chosen = refused | (kind == int(Kind.UNAUTHENTICATED)) | (kind == int(Kind.ATTEMPT)) | (news != 0)
        if self._suspects or bool(refused.any()):
            chosen |= _used(batch)
        return np.flatnonzero(chosen & (network == _FOREIGN))

    # Rows

    def _refused(self, row: "_Row") -> list[Finding]:
        """Credentials were refused."""
        if row.status not in (_WRONG_PASSWORD, _UNKNOWN_USER, _MISMATCH):
            return []
        findings = self._judge_refused(row)
        if row.status == _UNKNOWN_USER:
            findings += self._judge_unknown(row)
        if row.status == _WRONG_PASSWORD:
            self._note_wrong(row)
            findings += self._judge_spray(row)
        return findings

    def _judge_refused(self, row: "_Row") -> list[Finding]:
        seen = self._tables["refused"].add(row.key, row.sighting(row.user), self._now)
        if not self.rules.has("E01") or not seen:
            return []
        findings = []
        for moment in moments(row.at_ms, self._now):
            for name, window, span in (("minute", MINUTE, "60 seconds"), ("hour", HOUR, "60 minutes")):
                count, limit = count_within(seen, moment, window), self.rules.value("E01", name)
                level = level_of(count, limit, limit)
                if self._said.again(f"E01 {name} {row.key}", level, moment, HOUR):
                    what = f"{row.block} offered {count} credentials that were refused within {span}. Limit {limit}."
                    findings.append(self._against(row, "E01", level, moment, count, limit, "attempts", what, within(seen, moment, window)))
        return findings

    def _judge_unknown(self, row: "_Row") -> list[Finding]:
        if not self.rules.has("E03"):
            return []
        findings = []
        table = self._tables["unknown"]
        own = table.renew(row.key, row.sighting(row.user), self._now)
        near = table.renew(row.near_key, row.sighting(row.user), self._now)
        for moment in moments(row.at_ms, self._now):
            for seen, name, window, span in (
                (own, "minute", MINUTE, "60 seconds"),
                (own, "day", DAY, "24 hours"),
                (near, "network_day", DAY, "24 hours"),
            ):
                if not seen:
                    continue
                count, limit = count_within(seen, moment, window), self.rules.value("E03", name)
                level = level_of(count, limit, limit)
                if self._said.again(f"E03 {name} {row.near_key if seen is near else row.key}", level, moment, HOUR):
                    who = f"{row.near}, {row.block} among it," if seen is near else row.block
                    what = f"{who} tried {count} users that do not exist within {span}. Limit {limit}."
                    findings.append(self._against(row, "E03", level, moment, count, limit, "accounts", what, within(seen, moment, window)))
        return findings

    def _judge_spray(self, row: "_Row") -> list[Finding]:
        """Many accounts with a try or two each, from one neighbourhood."""
        seen = self._tables["sprayed"].add(row.near_key, row.sighting(f"{row.user}\n{row.block}"), self._now)
        limit = self.rules.value("E04", "accounts") if self.rules.has("E04") else 0
        if not limit or not seen or len(seen) < limit or self._insists(row, seen):
            return []
        late = row.at_ms != self._now
        wait = self._wait.get(row.near_key, 0)
        if wait > 1 and not late and not self._said.stale(f"E04 {row.near_key}", self._now, HOUR):  # A row is of one account.
            self._wait[row.near_key] = wait - 1
            return []
        findings = []
        for moment in moments(row.at_ms, self._now):
            tries: dict[str, int] = {}
            window = within(seen, moment, HOUR)
            for sighting in window:
                user = sighting.who.partition("\n")[0]
                tries[user] = tries.get(user, 0) + 1
            few = [user for user, count in tries.items() if count <= self.rules.value("E04", "tries")]
            level = level_of(len(few), limit, limit)
            if moment == self._now:
                self._hold(row.near_key, (limit << max(level - 1, 0)) - len(tries))
            if self._said.again(f"E04 {row.near_key}", level, moment, HOUR):
                addresses = sorted({sighting.who.partition("\n")[2] for sighting in window})[:MAX_EVIDENCE]
                what = f"Wrong passwords for {len(few)} accounts, one or two each, came from {row.near} within 60 minutes. Limit {limit}."
                findings.append(self._against(row, "E04", level, moment, len(few), limit, "accounts", what, window, addresses))
        return findings

    def _insists(self, row: "_Row", seen: Sequence[Sighting]) -> bool:
        """Whether the row's user was tried more often than a spray does: then it is no part of one."""
        allowed = self.rules.value("E04", "tries")
        for sighting in reversed(within(seen, self._now, HOUR)):
            if sighting.who.startswith(row.user) and sighting.who.partition("\n")[0] == row.user:
                allowed -= 1
                if allowed < 0:
                    return True
        return False

    def _hold(self, key: str, rows: int) -> None:
        self._wait[key] = rows
        if len(self._wait) > 2 * MAX_SOURCES:
            self._wait.clear()

    def _note_wrong(self, row: "_Row") -> None:
        seen = self._tables["wrong"].add(f"{row.near_key} {row.user}", row.sighting(row.user), self._now)
        if seen and len(seen) >= self.rules.value("D38", "failures"):
            self._suspects.add(row.user)
            if len(self._suspects) > 2 * MAX_SOURCES:
                self._find_suspects()

    def _find_suspects(self) -> None:
        """Users with enough wrong passwords to be worth a look when a right one comes."""
        least = self.rules.value("D38", "failures")
        table = self._tables["wrong"].state()
        self._suspects = {seen[0][2] for _, seen in table if len(seen) >= least}

    def _used(self, row: "_Row", *, new: bool) -> list[Finding]:
        """An account was used with good credentials."""
        findings: list[Finding] = []
        if row.user in self._suspects:
            findings += self._judge_guessed(row)
        if new:
            findings += self._judge_new(row)
        if row.kind == Kind.ATTEMPT:
            findings += self._dialled(row)
        return findings

    def _judge_guessed(self, row: "_Row") -> list[Finding]:
        key = f"{row.near_key} {row.user}"
        known = self._tables["wrong"].of(key)
        seen = within(known, row.at_ms, DAY) if known else ()
        limit = self.rules.value("D38", "failures")
        if not self.rules.has("D38") or len(seen) < limit:
            return []
        self._tables["wrong"].drop(key)
        what = (
            f"{len(seen)} wrong passwords for {row.user} from {row.near} within 24 hours, then the right one from {row.block}: "
            f"the password was probably guessed. Limit {limit}."
        )
        return [
            Finding(
                rule="D38",
                level=ACT,
                subject_kind="account",
                subject=row.user,
                at_ms=self._now,
                observed=len(seen),
                warn=limit,
                act=limit,
                unit="attempts",
                score=self.rules.value("D38", "score"),
                account=row.user,
                account_key=row.account_key,
                keyed=row.keyed,
                window_ms=DAY,
                opening_call_id=row.call_id,
                opening_ms=row.at_ms,
                calls=(row.call_id,) if row.call_id else (),
                refs=(*(sighting.ref for sighting in seen[-MAX_EVIDENCE + 1 :]), row.ref),
                reason=what,
                measures=(
                    Measure(scope="class", value=row.user, destination_class=3),
                    Measure(scope="source", value=row.block),
                ),
                observed_more={"sources": [row.block], "networks": [row.network or row.near]},
            )
        ]

    def _judge_new(self, row: "_Row") -> list[Finding]:
        """An account is used at an address for the first time. A place where many are at home may see as many more."""
        seen = self._tables["first"].renew(row.key, row.sighting(row.user), self._now)
        if not self.rules.has("D35") or not seen:
            return []
        findings = []
        for moment in moments(row.at_ms, self._now):
            fresh = within(seen, moment, HOUR)
            home = count_within(seen, moment - DAY, CROWD_MS)
            warn, act = self.rules.value("D35", "warn") + home, self.rules.value("D35", "act") + home
            level = level_of(len(fresh), warn, act)
            if self._said.again(f"D35 {row.key}", level, moment, HOUR):
                limit = act if level >= ACT else warn
                known = f"; {home} others are known there" if home else ""
                what = f"{len(fresh)} accounts were used from {row.block} within 60 minutes that had never been used there{known}."
                accounts = [sighting.who for sighting in fresh]
                findings.append(
                    self._against(
                        row, "D35", level, moment, len(fresh), warn, "accounts", f"{what} Limit {limit}.", fresh, act=act, accounts=accounts
                    )
                )
        return findings

    def _dialled(self, row: "_Row") -> list[Finding]:
        """A number was dialled: the same one with many prefixes is somebody who looks for the way out."""
        digits = "".join(sign for sign in row.callee if sign.isdecimal())
        if not self.rules.has("D23") or not SUFFIX <= len(digits) <= SUFFIX + PREFIX + 6:
            return []
        seen = self._tables["dialled"].add(row.key, row.sighting(digits), self._now)
        warn, act = self.rules.value("D23", "warn"), self.rules.value("D23", "act")
        if not seen or len(seen) < warn:
            return []
        suffix = digits[-SUFFIX:]
        findings = []
        for moment in moments(row.at_ms, self._now):
            same = [sighting for sighting in within(seen, moment, 10 * SECOND) if sighting.who.endswith(suffix)]
            prefixes = list(dict.fromkeys(sighting.who[:-SUFFIX] for sighting in same))
            level = level_of(len(prefixes), warn, act)
            if self._said.again(f"D23 {row.key} {suffix}", level, moment, HOUR):
                shown = ", ".join(prefix or "none" for prefix in prefixes[:3])
                what = (
                    f"{row.block} dialled one number ending in {suffix} with {len(prefixes)} different prefixes ({shown}, ...) "
                    f"within 10 seconds. Limit {act if level >= ACT else warn}."
                )
                findings.append(self._against(row, "D23", level, moment, len(prefixes), warn, "numbers", what, same, act=act))
        return findings

    def _against(
        self,
        row: "_Row",
        rule: str,
        level: int,
        at_ms: int,
        observed: int,
        warn: int,
        unit: Any,
        reason: str,
        seen: Sequence[Sighting],
        addresses: Sequence[str] = (),
        *,
        act: int = 0,
        accounts: Sequence[str] = (),
    ) -> Finding:
        """A finding about the row's source."""
        measures = [Measure(scope="source", value=address) for address in addresses or (row.block,)] if level >= ACT else []
        if measures and rule == "D23" and row.account_key:
            measures.append(Measure(scope="class", value=row.user, destination_class=3))
        return Finding(
            rule=rule,
            level=level,
            subject_kind="source",
            subject=row.near if addresses else row.block,
            at_ms=at_ms,
            observed=observed,
            warn=warn,
            act=act or warn,
            unit=unit,
            score=_SCORES[min(level, len(_SCORES) - 1)],
            keyed=row.keyed,
            window_ms=HOUR,
            opening_call_id=row.call_id,
            opening_ms=row.at_ms,
            calls=(row.call_id,) if row.call_id else (),
            refs=tuple(sighting.ref for sighting in seen[-MAX_EVIDENCE:]),
            reason=reason,
            measures=tuple(measures),
            observed_more={
                "sources": list(addresses) or [row.block],
                "networks": [row.network or row.near],
                **({"accounts": list(accounts[-MAX_EVIDENCE:])} if accounts else {}),
            },
        )


class _Row:
    """What the rules ask of a row, read once."""

    __slots__ = (
        "account_key",
        "at_ms",
        "block",
        "call_id",
        "callee",
        "key",
        "keyed",
        "kind",
        "mark",
        "near",
        "near_key",
        "network",
        "ref",
        "status",
        "user",
    )

    def __init__(self, batch: RowBatch, place: int, sequence: int) -> None:
        numeric, text = batch.numeric, batch.text
        self.kind = int(numeric["kind"][place])
        self.at_ms = int(numeric["at_ms"][place])
        self.account_key = int(numeric["account_key"][place])
        self.status = int(numeric["status_code"][place])
        self.mark = int(numeric["call_key"][place])
        self.keyed = not int(numeric["flags"][place]) & int(Flag.UNKEYED)
        self.ref = row_ref(sequence, place)
        self.call_id = text["call_id"][place]
        self.callee = text["callee"][place]
        self.user = (text["account"][place] or text["caller"][place])[:MAX_NAME]
        self.network = text["network"][place]
        address = text["source_ip"][place]
        self.block, self.near = block_of(address), neighbourhood(address)
        # A forger's rows are kept apart from those that an agent with a key vouches for.
        mark = "" if self.keyed else "?"
        self.key, self.near_key = mark + self.block, mark + self.near

    def sighting(self, who: str) -> Sighting:
        return Sighting(self.at_ms, self.mark, who, self.ref)


def _used(batch: RowBatch) -> Any:
    """Rows that show an account in use: a registration that was accepted, an authenticated call."""
    numeric = batch.numeric
    kind = numeric["kind"]
    registered = (kind == int(Kind.REGISTRATION)) & (numeric["status_code"] == 200)
    used = registered | (kind == int(Kind.ATTEMPT)) | (kind == int(Kind.CALL))
    return used & (numeric["account_key"] != 0) & (numeric["source_key"] != 0)
