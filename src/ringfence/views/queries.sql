-- Questions of `views` that join what several rooms keep. Read-only: only temporary tables are written.

-- create_registering --
create temporary table registering (account text not null, family text not null, at_ms bigint not null) on commit drop;

-- copy_registering --
copy registering (account, family, at_ms) from stdin;

-- analyze_registering --
analyze registering;

-- allow_minutes --
set local statement_timeout = '5min';

-- create_customers --
-- A customer is known by the phone that registered last. Managed: one of their devices informs.
create temporary table registering_customers on commit drop as
select named.*, d.device_id, d.life, exists (
    select from fleet.devices m where m.customer = named.customer and m.customer <> '' and m.life in ('bootstrapped', 'managed')) as managed
from (
    select distinct on (a.customer) a.customer, r.account, r.family, r.at_ms, a.own_device
    from registering r join subscribers.accounts a using (account)
    where a.customer <> '' and not a.removed
    order by a.customer, r.at_ms desc, r.account
) named
left join lateral (
    select f.device_id, f.life from fleet.devices f
    where f.customer = named.customer and f.customer <> '' and f.life in ('shipped', 'silent', 'lost')
    order by f.life = 'silent' desc, f.device_id desc limit 1) d on true;

-- count_coverage --
select (select count(*) from registering) as accounts,
    (select count(*) from registering r where not exists (select from subscribers.accounts a
        where a.account = r.account and a.customer <> '' and not a.removed)) as nameless,
    count(*) as customers, count(*) filter (where managed) as managed, count(*) filter (where not managed and own_device) as own,
    count(*) filter (where not managed and not own_device and life = 'silent') as silent
from registering_customers;

-- count_uncovered_models --
select family, count(*) as customers, count(*) filter (where life is not null) as known
from registering_customers where not managed and not own_device
group by family order by 2 desc, 1 limit %(limit)s;

-- list_uncovered --
select customer, account, family, at_ms, coalesce(device_id, 0) as device_id, coalesce(life, '') as life
from registering_customers where not managed and not own_device order by customer limit %(limit)s;
