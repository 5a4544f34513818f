-- Which line held which address: a row for each address or prefix of a session, as RADIUS accounting or DHCP tells it. A name of a session
-- comes again when a NAS begins anew, so its beginning is part of the key. Interim updates change `last_seen_at` alone, which no index has.
create table subscribers.access_sessions (
    nas text not null,
    acct_session_id text not null,
    prefix inet not null,
    line text not null default '',
    access_node text not null default '',
    origin text not null check (origin in ('radius', 'dhcp')),
    started_at timestamptz not null,
    last_seen_at timestamptz not null,
    ended_at timestamptz,
    ended_by text not null default '' check (ended_by in ('', 'stop', 'nas', 'taken', 'lease')),
    primary key (nas, acct_session_id, prefix, started_at)
) with (fillfactor = 85);
create index access_sessions_prefix on subscribers.access_sessions (prefix, started_at);
create index access_sessions_line on subscribers.access_sessions (line, started_at) where line <> '';
create index access_sessions_ended on subscribers.access_sessions (ended_at) where ended_at is not null;

alter table subscribers.imports drop constraint imports_kind_check;
alter table subscribers.imports add constraint imports_kind_check
    check (kind in ('accounts', 'networks', 'customers', 'lines', 'contacts', 'sessions'));
