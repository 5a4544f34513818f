-- hold_sessions --
-- One batch at a time, whoever listens: two that decide on the same rows at once would each miss what the other adds.
select pg_advisory_xact_lock(hashtext('subscribers.access_sessions'));

-- sessions_of_names --
select s.nas, s.acct_session_id, host(s.prefix) || '/' || masklen(s.prefix), s.line, s.access_node, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from json_to_recordset(%(names)s::json) n(nas text, session_id text)
join subscribers.access_sessions s on s.nas = n.nas and s.acct_session_id = n.session_id;

-- sessions_of_prefixes --
-- Those that can end another, or be ended, by one that began no earlier than `since`.
select s.nas, s.acct_session_id, host(s.prefix) || '/' || masklen(s.prefix), s.line, s.access_node, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(prefixes)s::inet[]) n(prefix)
join subscribers.access_sessions s on s.prefix = n.prefix and (s.ended_at is null or s.ended_at >= ringfence.at(%(since_ms)s));

-- add_sessions --
insert into subscribers.access_sessions (nas, acct_session_id, prefix, line, access_node, origin, started_at, last_seen_at, ended_at, ended_by)
select nas, session_id, prefix, line, access_node, origin, ringfence.at(started_ms), ringfence.at(last_seen_ms), ringfence.at(ended_ms), ended_by
from json_to_recordset(%(rows)s::json) n(nas text, session_id text, prefix inet, line text, access_node text, origin text, started_ms bigint,
    last_seen_ms bigint, ended_ms bigint, ended_by text);

-- change_sessions --
update subscribers.access_sessions s set line = n.line, access_node = n.access_node, started_at = ringfence.at(n.started_ms),
    last_seen_at = ringfence.at(n.last_seen_ms), ended_at = ringfence.at(n.ended_ms), ended_by = n.ended_by
from json_to_recordset(%(rows)s::json) n(nas text, session_id text, prefix inet, line text, access_node text, started_ms bigint,
    last_seen_ms bigint, ended_ms bigint, ended_by text, stored_ms bigint)
where s.nas = n.nas and s.acct_session_id = n.session_id and s.prefix = n.prefix and s.started_at = ringfence.at(n.stored_ms);

-- end_sessions_of_nas --
-- A portion, by name: a NAS may have a million sessions, and nobody else's reports wait for all of them.
with portion as (
    select acct_session_id from subscribers.access_sessions where nas = %(nas)s and acct_session_id > %(after)s
    order by acct_session_id limit %(limit)s
), last as (
    select max(acct_session_id) as acct_session_id from portion
), ended as (
    update subscribers.access_sessions s set ended_at = greatest(ringfence.at(%(at_ms)s), s.started_at), ended_by = 'nas'
    from last
    where s.nas = %(nas)s and s.acct_session_id > %(after)s and s.acct_session_id <= last.acct_session_id
        and s.started_at <= ringfence.at(%(at_ms)s) and (s.ended_at is null or s.ended_at > ringfence.at(%(at_ms)s))
    returning 1
)
select last.acct_session_id, (select count(*) from ended) from last;

-- sessions_at --
-- Exact places of an index, 34 for an address of IPv6, and no search for what contains it: the lengths that a line's network can have.
select n.address, host(s.prefix) || '/' || masklen(s.prefix), s.line, coalesce(l.customer, ''),
    coalesce(nullif(s.access_node, ''), l.access_node, ''), s.nas, s.acct_session_id, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(addresses)s::text[], %(parsed)s::inet[]) n(address, parsed)
cross join unnest(case family(n.parsed) when 4 then array[32] else %(lengths)s::integer[] end) p(length)
join subscribers.access_sessions s on s.prefix = set_masklen(n.parsed::cidr, p.length)::inet and s.started_at <= ringfence.at(%(at_ms)s)
    and (s.ended_at is null or s.ended_at > ringfence.at(%(at_ms)s))
left join subscribers.lines l on l.line = s.line and not l.removed;

-- sessions_of_line --
select host(s.prefix), host(s.prefix) || '/' || masklen(s.prefix), s.line, coalesce(l.customer, ''),
    coalesce(nullif(s.access_node, ''), l.access_node, ''), s.nas, s.acct_session_id, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from subscribers.access_sessions s
left join subscribers.lines l on l.line = s.line and not l.removed
where s.line = %(line)s and s.line <> '' and s.started_at < ringfence.at(%(before_ms)s)
order by s.started_at desc, s.prefix limit %(limit)s;

-- sessions_of_address --
select n.address, host(s.prefix) || '/' || masklen(s.prefix), s.line, coalesce(l.customer, ''),
    coalesce(nullif(s.access_node, ''), l.access_node, ''), s.nas, s.acct_session_id, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(addresses)s::text[], %(parsed)s::inet[]) n(address, parsed)
cross join unnest(case family(n.parsed) when 4 then array[32] else %(lengths)s::integer[] end) p(length)
join subscribers.access_sessions s on s.prefix = set_masklen(n.parsed::cidr, p.length)::inet and s.started_at < ringfence.at(%(before_ms)s)
left join subscribers.lines l on l.line = s.line and not l.removed
order by s.started_at desc, s.prefix limit %(limit)s;

-- forget_sessions --
delete from subscribers.access_sessions s using (
    select nas, acct_session_id, prefix, started_at from subscribers.access_sessions
    where ended_at < ringfence.at(%(until_ms)s) order by ended_at limit %(limit)s
) old
where s.nas = old.nas and s.acct_session_id = old.acct_session_id and s.prefix = old.prefix and s.started_at = old.started_at;

-- count_open_sessions --
select count(*) from subscribers.access_sessions where ended_at is null;

-- note_leases --
insert into subscribers.imports (import_id, kind, author, finished_at, rows_read, rows_bad, rows_added, rows_changed, rows_removed, rows_same)
values (%(import_id)s, 'sessions', %(author)s, ringfence.at(%(now_ms)s), %(rows)s, %(bad)s, %(added)s, %(changed)s, 0, %(same)s);
