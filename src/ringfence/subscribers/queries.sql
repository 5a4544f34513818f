-- lock_imports --
-- One import at a time: two files at once would leave a mixture that nobody wrote.
select pg_try_advisory_xact_lock(hashtext('subscribers.imports')) as locked;

-- allow_an_hour --
-- Eight million rows take minutes; the pool's limits are for pages.
set local statement_timeout = '1h';

-- create_incoming --
create temporary table incoming (
    line bigint not null, account text not null, account_key bigint not null, slot smallint not null, customer text, segment text,
    channels integer, since_ms bigint, country text, own_device boolean, exempt_until_ms bigint, sensitivity smallint
) on commit drop;

-- copy_incoming --
copy incoming (line, account, account_key, slot, customer, segment, channels, since_ms, country, own_device, exempt_until_ms, sensitivity)
from stdin;

-- drop_repeated --
-- The first row of an account counts; the others are reported, with their lines.
delete from incoming i using (
    select account, min(line) as first_line from incoming group by account having count(*) > 1
) d where i.account = d.account and i.line > d.first_line
returning i.line, i.account, d.first_line;

-- number_incoming --
-- Chunks in the order of the key, so that rows are locked in one order everywhere.
create temporary table numbered on commit drop as
    select *, ((row_number() over (order by account) - 1) / %(size)s::bigint)::integer as chunk from incoming;

-- index_incoming --
create index on numbered (chunk);

-- take_revision --
select nextval('subscribers.revisions') as revision;

-- merge_chunk --
-- A column that the file lacks is null and keeps what is there. Rows that change nothing are not written.
with merged as (
    insert into subscribers.accounts as a (account, account_key, slot, customer, segment, channels, since_at, country, own_device,
        exempt_until_at, sensitivity, removed, revision, changed_at)
    select n.account, n.account_key, n.slot, coalesce(n.customer, o.customer, ''), coalesce(n.segment, o.segment, 'residential'),
        coalesce(n.channels, o.channels, 1), case when n.since_ms is null then o.since_at else ringfence.at(n.since_ms) end,
        coalesce(n.country, o.country, ''), coalesce(n.own_device, o.own_device, false),
        case when n.exempt_until_ms is null then o.exempt_until_at else ringfence.at(n.exempt_until_ms) end,
        coalesce(n.sensitivity, o.sensitivity, 0), false, %(revision)s, ringfence.at(%(now_ms)s)
    from numbered n left join subscribers.accounts o on o.account = n.account
    where n.chunk = %(chunk)s
    order by n.account
    on conflict (account) do update set
        account_key = excluded.account_key, slot = excluded.slot, customer = excluded.customer, segment = excluded.segment,
        channels = excluded.channels, since_at = excluded.since_at, country = excluded.country, own_device = excluded.own_device,
        exempt_until_at = excluded.exempt_until_at, sensitivity = excluded.sensitivity, removed = false,
        revision = excluded.revision, changed_at = excluded.changed_at
    where (a.account_key, a.slot, a.customer, a.segment, a.channels, a.since_at, a.country, a.own_device, a.exempt_until_at,
            a.sensitivity, a.removed)
        is distinct from (excluded.account_key, excluded.slot, excluded.customer, excluded.segment, excluded.channels,
            excluded.since_at, excluded.country, excluded.own_device, excluded.exempt_until_at, excluded.sensitivity, false)
    returning xmax = 0 as added
)
select count(*) filter (where added) as added, count(*) filter (where not added) as changed from merged;

-- add_to_outbox --
insert into subscribers.outbox (kind, revision, written_at) values (%(kind)s, %(revision)s, ringfence.at(%(now_ms)s));

-- note_import --
insert into subscribers.imports (import_id, kind, author, finished_at, rows_read, rows_bad, rows_added, rows_changed, rows_removed, rows_same)
values (%(import_id)s, %(kind)s, %(author)s, ringfence.at(%(now_ms)s), %(rows)s, %(bad)s, %(added)s, %(changed)s, %(removed)s, %(same)s);

-- list_imports --
select import_id, kind, author, ringfence.ms(finished_at) as finished_ms, rows_read, rows_bad, rows_added, rows_changed, rows_removed, rows_same
from subscribers.imports order by finished_at desc limit %(limit)s;

-- find_account --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed
from subscribers.accounts where account = %(account)s;

-- list_accounts_of_customer --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed
from subscribers.accounts where customer = %(customer)s and customer <> '' and not removed order by account limit 500;

-- list_accounts_of_revision --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed
from subscribers.accounts where revision = %(revision)s order by account;

-- list_accounts_of_slot --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed
from subscribers.accounts where slot = %(slot)s and not removed order by account;

-- list_slots --
select distinct slot from subscribers.accounts where not removed order by slot;

-- count_accounts --
select count(*) as accounts from subscribers.accounts where not removed;

-- remove_account --
update subscribers.accounts set removed = true, revision = %(revision)s, changed_at = ringfence.at(%(now_ms)s)
where account = %(account)s and not removed returning account;

-- clear_networks --
delete from subscribers.networks;

-- add_network --
insert into subscribers.networks (prefix, kind, comment) values (%(prefix)s, %(kind)s, %(comment)s);

-- list_networks --
select prefix::text as prefix, kind, comment from subscribers.networks order by prefix limit 20000;

-- find_network --
-- The longest range that holds an address.
select prefix::text as prefix, kind, comment from subscribers.networks
where prefix >>= %(address)s::inet order by masklen(prefix) desc limit 1;

-- set_network_version --
update subscribers.network_version set version = %(version)s, changed_at = ringfence.at(%(now_ms)s);

-- read_network_version --
select version, ringfence.ms(changed_at) as changed_ms from subscribers.network_version;

-- read_outbox --
select entry_id, kind, revision from subscribers.outbox order by entry_id limit %(limit)s;

-- settle_outbox --
delete from subscribers.outbox where entry_id = any(%(entries)s::bigint[]);

-- count_outbox --
select count(*) as waiting from subscribers.outbox;
