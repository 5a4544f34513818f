-- lock_imports --
-- One import at a time: two files at once would leave a mixture that nobody wrote.
select pg_try_advisory_xact_lock(hashtext('subscribers.imports')) as locked;

-- allow_an_hour --
-- Eight million rows take minutes; the pool's limits are for pages.
set local statement_timeout = '1h';

-- create_incoming_accounts --
create temporary table incoming (
    file_line bigint not null, key text not null, account_key bigint not null, slot smallint not null, customer text, segment text,
    channels integer, since_ms bigint, country text, own_device boolean, exempt_until_ms bigint, sensitivity smallint, line text,
    removed boolean not null
) on commit drop;

-- copy_incoming_accounts --
copy incoming (file_line, key, account_key, slot, customer, segment, channels, since_ms, country, own_device, exempt_until_ms, sensitivity,
    line, removed)
from stdin;

-- create_incoming_customers --
create temporary table incoming (
    file_line bigint not null, key text not null, name text, name_folded text, segment text, since_ms bigint, removed boolean not null
) on commit drop;

-- copy_incoming_customers --
copy incoming (file_line, key, name, name_folded, segment, since_ms, removed)
from stdin;

-- create_incoming_lines --
create temporary table incoming (
    file_line bigint not null, key text not null, customer text, access_node text, region text, removed boolean not null
) on commit drop;

-- copy_incoming_lines --
copy incoming (file_line, key, customer, access_node, region, removed)
from stdin;

-- create_incoming_contacts --
create temporary table incoming (
    file_line bigint not null, key text not null, customer text not null, kind text not null, value text not null, removed boolean not null
) on commit drop;

-- copy_incoming_contacts --
copy incoming (file_line, key, customer, kind, value, removed)
from stdin;

-- drop_repeated --
-- The first row of a key counts; the others are reported, with their lines.
delete from incoming i using (
    select key, min(file_line) as first_line from incoming group by key having count(*) > 1
) d where i.key = d.key and i.file_line > d.first_line
returning i.file_line, i.key, d.first_line;

-- number_incoming --
-- Chunks in the order of the key, so that rows are locked in one order everywhere.
create temporary table numbered on commit drop as
    select *, ((row_number() over (order by key) - 1) / %(size)s::bigint)::integer as chunk from incoming;

-- index_incoming --
create index on numbered (chunk);

-- merge_by_index --
-- No statistics know what this transaction wrote, and a plan is kept from chunk to chunk: left alone, each chunk reads the whole table.
select set_config(name, 'off', true) from unnest(array['enable_hashjoin', 'enable_mergejoin', 'enable_seqscan']) name;

-- take_revision --
select nextval('subscribers.revisions') as revision;

-- merge_accounts --
-- A column that the file lacks is null and keeps what is there. Rows that change nothing are not written. A row that says `removed` closes
-- and changes nothing else; it says nothing of what is not there.
with written as (
    insert into subscribers.accounts as a (account, account_key, slot, customer, segment, channels, since_at, country, own_device,
        exempt_until_at, sensitivity, line, removed, revision, changed_at)
    select n.key, n.account_key, n.slot, coalesce(n.customer, o.customer, ''), coalesce(n.segment, o.segment, 'residential'),
        coalesce(n.channels, o.channels, 1), case when n.since_ms is null then o.since_at else ringfence.at(n.since_ms) end,
        coalesce(n.country, o.country, ''), coalesce(n.own_device, o.own_device, false),
        case when n.exempt_until_ms is null then o.exempt_until_at else ringfence.at(n.exempt_until_ms) end,
        coalesce(n.sensitivity, o.sensitivity, 0), coalesce(n.line, o.line, ''), n.removed, %(revision)s, ringfence.at(%(now_ms)s)
    from numbered n left join subscribers.accounts o on o.account = n.key
    where n.chunk = %(chunk)s and not (n.removed and o.account is null)
    order by n.key
    on conflict (account) do update set
        account_key = excluded.account_key, slot = excluded.slot, customer = excluded.customer, segment = excluded.segment,
        channels = excluded.channels, since_at = excluded.since_at, country = excluded.country, own_device = excluded.own_device,
        exempt_until_at = excluded.exempt_until_at, sensitivity = excluded.sensitivity, line = excluded.line, removed = excluded.removed,
        revision = excluded.revision, changed_at = excluded.changed_at
    where (a.account_key, a.slot, a.customer, a.segment, a.channels, a.since_at, a.country, a.own_device, a.exempt_until_at,
            a.sensitivity, a.line, a.removed)
        is distinct from (excluded.account_key, excluded.slot, excluded.customer, excluded.segment, excluded.channels,
            excluded.since_at, excluded.country, excluded.own_device, excluded.exempt_until_at, excluded.sensitivity, excluded.line,
            excluded.removed)
    returning a.*
)
select w.account as key, case when o.account is null then 'added' when w.removed then 'removed' else 'changed' end as difference,
    array[case when w.customer is distinct from o.customer then 'customer' end,
        case when w.segment is distinct from o.segment then 'segment' end,
        case when w.channels is distinct from o.channels then 'channels' end,
        case when w.since_at is distinct from o.since_at then 'since' end,
        case when w.country is distinct from o.country then 'country' end,
        case when w.own_device is distinct from o.own_device then 'own_device' end,
        case when w.exempt_until_at is distinct from o.exempt_until_at then 'exempt_until' end,
        case when w.sensitivity is distinct from o.sensitivity then 'sensitivity' end,
        case when w.line is distinct from o.line then 'line' end,
        case when o.removed then 'removed' end] as fields
from written w left join subscribers.accounts o on o.account = w.account order by w.account;

-- merge_customers --
with written as (
    insert into subscribers.customers as c (customer, name, name_folded, segment, since_at, removed, changed_at)
    select n.key, coalesce(n.name, o.name, ''), coalesce(n.name_folded, o.name_folded, ''), coalesce(n.segment, o.segment, 'residential'),
        case when n.since_ms is null then o.since_at else ringfence.at(n.since_ms) end, n.removed, ringfence.at(%(now_ms)s)
    from numbered n left join subscribers.customers o on o.customer = n.key
    where n.chunk = %(chunk)s and not (n.removed and o.customer is null)
    order by n.key
    on conflict (customer) do update set
        name = excluded.name, name_folded = excluded.name_folded, segment = excluded.segment, since_at = excluded.since_at,
        removed = excluded.removed, changed_at = excluded.changed_at
    where (c.name, c.name_folded, c.segment, c.since_at, c.removed)
        is distinct from (excluded.name, excluded.name_folded, excluded.segment, excluded.since_at, excluded.removed)
    returning c.*
)
select w.customer as key, case when o.customer is null then 'added' when w.removed then 'removed' else 'changed' end as difference,
    array[case when w.name is distinct from o.name then 'name' end,
        case when w.segment is distinct from o.segment then 'segment' end,
        case when w.since_at is distinct from o.since_at then 'since' end,
        case when o.removed then 'removed' end] as fields
from written w left join subscribers.customers o on o.customer = w.customer order by w.customer;

-- merge_lines --
with written as (
    insert into subscribers.lines as l (line, customer, access_node, region, removed, changed_at)
    select n.key, coalesce(n.customer, o.customer, ''), coalesce(n.access_node, o.access_node, ''), coalesce(n.region, o.region, ''),
        n.removed, ringfence.at(%(now_ms)s)
    from numbered n left join subscribers.lines o on o.line = n.key
    where n.chunk = %(chunk)s and not (n.removed and o.line is null)
    order by n.key
    on conflict (line) do update set
        customer = excluded.customer, access_node = excluded.access_node, region = excluded.region, removed = excluded.removed,
        changed_at = excluded.changed_at
    where (l.customer, l.access_node, l.region, l.removed)
        is distinct from (excluded.customer, excluded.access_node, excluded.region, excluded.removed)
    returning l.*
)
select w.line as key, case when o.line is null then 'added' when w.removed then 'removed' else 'changed' end as difference,
    array[case when w.customer is distinct from o.customer then 'customer' end,
        case when w.access_node is distinct from o.access_node then 'access_node' end,
        case when w.region is distinct from o.region then 'region' end,
        case when o.removed then 'removed' end] as fields
from written w left join subscribers.lines o on o.line = w.line order by w.line;

-- merge_contacts --
-- A contact has nothing but its key: it is there or not.
with gone as (
    delete from subscribers.contacts c using numbered n
    where n.chunk = %(chunk)s and n.removed and (c.customer, c.kind, c.value) = (n.customer, n.kind, n.value)
    returning n.key
), fresh as (
    insert into subscribers.contacts (customer, kind, value, changed_at)
    select n.customer, n.kind, n.value, ringfence.at(%(now_ms)s) from numbered n
    where n.chunk = %(chunk)s and not n.removed
    order by n.key
    on conflict do nothing
    returning concat_ws(chr(31), customer, kind, value) as key
)
select key, 'removed' as difference, '{}'::text[] as fields from gone
union all
select key, 'added', '{}'::text[] from fresh
order by key;

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
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed, line
from subscribers.accounts where account = %(account)s;

-- list_accounts_of_customer --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed, line
from subscribers.accounts where customer = %(customer)s and customer <> '' and not removed order by account limit 500;

-- list_accounts_of_revision --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed, line
from subscribers.accounts where revision = %(revision)s order by account;

-- list_accounts_of_slot --
select account, account_key, slot, customer, segment, channels, ringfence.ms(since_at) as since_ms, country, own_device,
    ringfence.ms(exempt_until_at) as exempt_until_ms, sensitivity, removed, line
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

-- find_customer --
select customer, name, segment, ringfence.ms(since_at) as since_ms, removed, ringfence.ms(changed_at) as changed_ms
from subscribers.customers where customer = %(customer)s;

-- page_customers --
select customer, name, segment, ringfence.ms(since_at) as since_ms, removed, ringfence.ms(changed_at) as changed_ms
from subscribers.customers where customer ~>~ %(after)s and not removed order by customer using ~<~ limit %(limit)s;

-- remove_customer --
update subscribers.customers set removed = true, changed_at = ringfence.at(%(now_ms)s)
where customer = %(customer)s and not removed returning customer;

-- delete_contacts --
delete from subscribers.contacts where customer = %(customer)s;

-- list_contacts --
select customer, kind, value from subscribers.contacts where customer = %(customer)s order by kind, value limit %(limit)s;

-- find_line --
select line, customer, access_node, region, removed, ringfence.ms(changed_at) as changed_ms from subscribers.lines where line = %(line)s;

-- list_lines_of_customer --
select line, customer, access_node, region, removed, ringfence.ms(changed_at) as changed_ms
from subscribers.lines where customer = %(customer)s and customer <> '' and line > %(after)s order by line limit %(limit)s;

-- remove_line --
update subscribers.lines set removed = true, changed_at = ringfence.at(%(now_ms)s) where line = %(line)s and not removed returning line;

-- search_customers --
-- A beginning is a range: an index serves it whatever was prepared, where it could not serve LIKE with a parameter.
select 'customer' as by, customer as value, customer, name, '' as line from subscribers.customers
where customer ~>=~ %(text)s and customer ~<~ %(past)s and not removed order by customer using ~<~ limit %(limit)s;

-- search_names --
select 'name' as by, name as value, customer, name, '' as line from subscribers.customers
where name_folded ~>=~ %(folded)s and name_folded ~<~ %(folded_past)s and name_folded <> '' and not removed
order by name_folded using ~<~ limit %(limit)s;

-- search_accounts --
select 'account' as by, a.account as value, a.customer, coalesce(c.name, '') as name, a.line
from subscribers.accounts a left join subscribers.customers c on c.customer = a.customer
where a.account = any(%(accounts)s::text[]) and not a.removed order by a.account limit %(limit)s;

-- search_lines --
select 'line' as by, l.line as value, l.customer, coalesce(c.name, '') as name, l.line
from (
    select line, customer from subscribers.lines where line ~>=~ %(text)s and line ~<~ %(past)s and not removed
    order by line using ~<~ limit %(limit)s
) l left join subscribers.customers c on c.customer = l.customer order by l.line using ~<~;
