-- hold_sessions --
-- One batch at a time, whoever listens: two that decide on the same rows at once would each miss what the other adds.
select pg_advisory_xact_lock(hashtext('subscribers.access_sessions'));

-- sessions_of_names --
select s.nas, s.acct_session_id, host(s.prefix) || '/' || masklen(s.prefix), s.line, s.access_node, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(nases)s::text[], %(names)s::text[]) n(nas, name)
join subscribers.access_sessions s on s.nas = n.nas and s.acct_session_id = n.name;

-- sessions_of_prefixes --
-- Those that can end another, or be ended, by one that began no earlier than `since`.
select s.nas, s.acct_session_id, host(s.prefix) || '/' || masklen(s.prefix), s.line, s.access_node, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(prefixes)s::inet[]) n(prefix)
join subscribers.access_sessions s on s.prefix = n.prefix and (s.ended_at is null or s.ended_at >= ringfence.at(%(since_ms)s));

-- add_sessions --
insert into subscribers.access_sessions (nas, acct_session_id, prefix, line, access_node, origin, started_at, last_seen_at, ended_at, ended_by)
select nas, name, prefix, line, access_node, origin, ringfence.at(started), ringfence.at(seen), ringfence.at(ended), ended_by
from unnest(%(nases)s::text[], %(names)s::text[], %(prefixes)s::inet[], %(lines)s::text[], %(access_nodes)s::text[], %(origins)s::text[],
    %(started)s::bigint[], %(seen)s::bigint[], %(ended)s::bigint[], %(reasons)s::text[])
    n(nas, name, prefix, line, access_node, origin, started, seen, ended, ended_by);

-- change_sessions --
update subscribers.access_sessions s set line = n.line, access_node = n.access_node, started_at = ringfence.at(n.started),
    last_seen_at = ringfence.at(n.seen), ended_at = ringfence.at(n.ended), ended_by = n.ended_by
from unnest(%(nases)s::text[], %(names)s::text[], %(prefixes)s::inet[], %(lines)s::text[], %(access_nodes)s::text[], %(stored)s::bigint[],
    %(started)s::bigint[], %(seen)s::bigint[], %(ended)s::bigint[], %(reasons)s::text[])
    n(nas, name, prefix, line, access_node, stored, started, seen, ended, ended_by)
where s.nas = n.nas and s.acct_session_id = n.name and s.prefix = n.prefix and s.started_at = ringfence.at(n.stored);

-- end_sessions_of_nas --
update subscribers.access_sessions set ended_at = greatest(ringfence.at(%(at_ms)s), started_at), ended_by = 'nas'
where nas = %(nas)s and started_at <= ringfence.at(%(at_ms)s) and (ended_at is null or ended_at > ringfence.at(%(at_ms)s));

-- sessions_at --
-- Exact places of an index, 34 for an address of IPv6, and no search for what contains it.
select n.address, host(s.prefix) || '/' || masklen(s.prefix), s.line, coalesce(l.customer, ''),
    coalesce(nullif(s.access_node, ''), l.access_node, ''), s.nas, s.acct_session_id, s.origin, ringfence.ms(s.started_at),
    ringfence.ms(s.last_seen_at), ringfence.ms(s.ended_at), s.ended_by
from unnest(%(addresses)s::text[], %(prefixes)s::inet[]) n(address, prefix)
join subscribers.access_sessions s on s.prefix = n.prefix and s.started_at <= ringfence.at(%(at_ms)s)
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
from unnest(%(addresses)s::text[], %(prefixes)s::inet[]) n(address, prefix)
join subscribers.access_sessions s on s.prefix = n.prefix and s.started_at < ringfence.at(%(before_ms)s)
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
