-- admit --
-- The steady state of an Inform, a batch at a time: one row of `presence` a device is written, everything else is read. A closed identity and
-- an Inform that does not count (`counts`, or proven as another device: `proven`) leave no trace on the device they name.
with seen as (
    select * from unnest(%(ouis)s::text[], %(product_classes)s::text[], %(serial_numbers)s::text[], %(peers)s::text[], %(lanes)s::text[],
        %(digests)s::bytea[], %(retries)s::integer[], %(moments)s::bigint[], %(lines)s::text[], %(counts)s::boolean[],
        %(provens)s::bigint[])
        with ordinality as s(oui, product_class, serial_number, peer_ip, lane, digest, retry_count, at_ms, at_line, counts, proven, place)
), known as (
    select s.*, d.device_id, d.model_id, d.life, d.standing, d.standing_reason, d.line, d.region, d.labels, d.link, d.data_model,
        d.software_version, d.hardware_version
    from seen s
    join fleet.devices d on d.oui = s.oui and d.product_class = s.product_class and d.serial_number = s.serial_number
), old as (
    select p.* from fleet.presence p where p.device_id in (select device_id from known)
), touched as (
    update fleet.presence p set last_inform_at = ringfence.at(k.at_ms), peer_ip = k.peer_ip, lane = k.lane, informs = p.informs + 1,
        retry_count = k.retry_count, digest = k.digest, at_line = k.at_line
    from known k where p.device_id = k.device_id and k.counts and k.proven in (0, k.device_id) and k.life <> 'replaced'
)
select s.place, coalesce(k.device_id, 0) as device_id, k.model_id, k.life, k.standing, k.standing_reason, coalesce(k.line, '') as line, k.region,
    k.labels, k.link, k.data_model, k.software_version, k.hardware_version, coalesce(old.digest = s.digest, false) as same,
    coalesce(old.settled_revision, 0) as settled_revision, ringfence.ms(old.not_before_at) as not_before_ms, policy.revision,
    case when s.at_line <> '' and s.at_line is distinct from k.line then exists (
        select from fleet.devices o where o.line = s.at_line and o.life not in ('in_stock', 'replaced', 'lost')
            and o.device_id is distinct from k.device_id)
    else false end as taken,
    exists (select from fleet.wanted_orders w where w.device_id = k.device_id and w.state = 'waiting') as orders_wait,
    exists (select from fleet.orders o where o.device_id = k.device_id and o.state in ('committed', 'started')) as orders_open
from seen s cross join fleet.policy left join known k on k.place = s.place left join old on old.device_id = k.device_id
order by s.place;

-- add_models --
insert into fleet.models (oui, product_class, manufacturer, first_seen_at)
select distinct on (oui, product_class) oui, product_class, manufacturer, ringfence.at(%(now_ms)s::bigint)
from unnest(%(ouis)s::text[], %(product_classes)s::text[], %(manufacturers)s::text[]) as s(oui, product_class, manufacturer)
order by oui, product_class
on conflict (oui, product_class) do nothing;

-- add_devices --
-- Nothing is returned for a device that somebody else added at this moment.
with fresh as (
    select * from unnest(%(ouis)s::text[], %(product_classes)s::text[], %(serial_numbers)s::text[], %(lives)s::text[], %(standings)s::text[],
        %(reasons)s::text[], %(lines)s::text[], %(customers)s::text[], %(links)s::text[], %(data_models)s::text[], %(softwares)s::text[],
        %(hardwares)s::text[], %(moments)s::bigint[], %(peers)s::text[], %(lanes)s::text[], %(digests)s::bytea[],
        %(at_lines)s::text[])
        as s(oui, product_class, serial_number, life, standing, reason, line, customer, link, data_model, software, hardware, at_ms, peer_ip,
            lane, digest, at_line)
), made as (
    insert into fleet.devices (oui, product_class, serial_number, model_id, life, life_since_at, standing, standing_reason, line, customer, link,
        data_model, software_version, hardware_version, first_seen_at)
    select s.oui, s.product_class, s.serial_number, m.model_id, s.life, ringfence.at(s.at_ms), s.standing, s.reason, s.line, s.customer, s.link,
        s.data_model, s.software, s.hardware, ringfence.at(s.at_ms)
    from fresh s join fleet.models m using (oui, product_class)
    order by s.oui, s.product_class, s.serial_number
    on conflict (oui, product_class, serial_number) do nothing
    returning device_id, model_id, oui, product_class, serial_number
), present as (
    insert into fleet.presence (device_id, last_inform_at, peer_ip, lane, informs, digest, at_line)
    select made.device_id, ringfence.at(s.at_ms), s.peer_ip, s.lane, 1, s.digest, s.at_line
    from made join fresh s using (oui, product_class, serial_number)
)
select device_id, model_id, oui, product_class, serial_number from made order by device_id;

-- change_devices --
update fleet.devices d set life = s.life, life_since_at = case when d.life = s.life then d.life_since_at else ringfence.at(s.at_ms) end,
    standing = s.standing, standing_reason = s.reason, line = s.line, link = s.link, data_model = s.data_model,
    software_version = s.software, hardware_version = s.hardware
from unnest(%(devices)s::bigint[], %(lives)s::text[], %(standings)s::text[], %(reasons)s::text[], %(lines)s::text[], %(links)s::text[],
    %(data_models)s::text[], %(softwares)s::text[], %(hardwares)s::text[], %(moments)s::bigint[])
    as s(device_id, life, standing, reason, line, link, data_model, software, hardware, at_ms)
where d.device_id = s.device_id;

-- write_reported --
insert into fleet.reported as r (device_id, name, value, in_inform, reported_at)
select device_id, name, value, in_inform, ringfence.at(at_ms)
from unnest(%(devices)s::bigint[], %(names)s::text[], %(values)s::text[], %(informs)s::boolean[], %(moments)s::bigint[])
    as s(device_id, name, value, in_inform, at_ms)
order by device_id, name
on conflict (device_id, name) do update set value = excluded.value, in_inform = excluded.in_inform, reported_at = excluded.reported_at
where r.value is distinct from excluded.value or (not excluded.in_inform and r.reported_at < excluded.reported_at);

-- forget_reported --
-- After a factory reset: what the device said before is no longer true.
delete from fleet.reported where device_id = any(%(devices)s::bigint[]);

-- add_history --
insert into fleet.history (device_id, occurred_at, kind, name, old_value, new_value, person)
select device_id, ringfence.at(at_ms), kind, name, old_value, new_value, person
from unnest(%(devices)s::bigint[], %(moments)s::bigint[], %(kinds)s::text[], %(names)s::text[], %(olds)s::text[], %(news)s::text[],
    %(people)s::text[]) as s(device_id, at_ms, kind, name, old_value, new_value, person);

-- add_to_outbox --
insert into fleet.outbox (kind, device_id, detail, written_at)
select kind, device_id, detail::jsonb, ringfence.at(%(now_ms)s::bigint)
from unnest(%(kinds)s::text[], %(devices)s::bigint[], %(details)s::text[]) as s(kind, device_id, detail);

-- note_refusal --
insert into fleet.refusals as r (proven_name, oui, product_class, serial_number, reason, peer_ip, first_at, last_at, times)
values (%(proven_name)s, %(oui)s, %(product_class)s, %(serial_number)s, %(reason)s, %(peer)s, ringfence.at(%(now_ms)s::bigint),
    ringfence.at(%(now_ms)s::bigint), 1)
on conflict (proven_name, oui, product_class, serial_number, reason)
do update set last_at = excluded.last_at, peer_ip = excluded.peer_ip, times = r.times + 1
returning times;

-- read_outbox --
select entry_id, kind, device_id, detail::text as detail, ringfence.ms(written_at) as written_ms
from fleet.outbox order by entry_id limit %(limit)s;

-- settle_outbox --
delete from fleet.outbox where entry_id = any(%(entries)s::bigint[]);

-- read_policy --
select revision from fleet.policy;

-- grow_policy --
update fleet.policy set revision = revision + 1 returning revision;

-- list_groups --
select name, rank, oui, product_class, software_version, region, label from fleet.groups order by rank, name;

-- list_wanted --
select group_name, meaning, instance, value from fleet.wanted order by group_name, meaning, instance;

-- wanted_of_devices --
select device_id, meaning, instance, value from fleet.wanted_of_device where device_id = any(%(devices)s::bigint[])
order by device_id, meaning, instance;

-- secrets_of_devices --
select device_id, meaning, instance, sealed, ringfence.ms(changed_at) as changed_ms from fleet.secrets
where device_id = any(%(devices)s::bigint[]) order by device_id, meaning, instance;

-- reported_of_devices --
select device_id, name, value from fleet.reported where device_id = any(%(devices)s::bigint[]) and name = any(%(names)s::text[])
    and reported_at > ringfence.at(%(fresh_ms)s::bigint);

-- names_like --
select device_id, name from fleet.reported where device_id = any(%(devices)s::bigint[]) and name ~ %(pattern)s order by device_id, name;

-- list_stops --
select model_id, software_version, name, fault_code from fleet.stops order by model_id, software_version, name;

-- add_stops --
insert into fleet.stops (model_id, software_version, name, fault_code, device_id, stopped_at)
select d.model_id, d.software_version, s.name, s.fault_code, d.device_id, ringfence.at(%(now_ms)s::bigint)
from unnest(%(devices)s::bigint[], %(names)s::text[], %(codes)s::integer[]) as s(device_id, name, fault_code)
join fleet.devices d using (device_id)
on conflict (model_id, software_version, name) do nothing;

-- discoveries_of_devices --
select device_id, explore, read from fleet.discoveries where device_id = any(%(devices)s::bigint[]);

-- keep_discovery --
insert into fleet.discoveries (device_id, explore, read, asked_at)
values (%(device_id)s::bigint, %(explore)s::text[], %(read)s::text[], ringfence.at(%(now_ms)s::bigint))
on conflict (device_id) do update set explore = excluded.explore, read = excluded.read;

-- end_discovery --
delete from fleet.discoveries where device_id = %(device_id)s::bigint;

-- unsettle --
update fleet.presence set settled_revision = 0, not_before_at = null where device_id = any(%(devices)s::bigint[]);

-- settled --
update fleet.presence set settled_revision = %(revision)s::bigint, not_before_at = null, failures = 0
where device_id = any(%(devices)s::bigint[]);

-- failed --
update fleet.presence set failures = failures + 1 where device_id = %(device_id)s::bigint returning failures;

-- leave_alone --
update fleet.presence set not_before_at = ringfence.at(%(until_ms)s::bigint) where device_id = %(device_id)s::bigint;

-- find_credential --
select username, device_id, sealed_ha1, sealed_previous, ringfence.ms(previous_until_at) as previous_until_ms
from fleet.credentials where username = %(username)s;

-- put_credential --
insert into fleet.credentials as c (username, device_id, sealed_ha1, changed_at)
values (%(username)s, %(device_id)s::bigint, %(sealed)s::bytea, ringfence.at(%(now_ms)s::bigint))
on conflict (username) do update set sealed_previous = c.sealed_ha1, previous_until_at = ringfence.at(%(until_ms)s::bigint),
    sealed_ha1 = excluded.sealed_ha1, changed_at = excluded.changed_at
where c.device_id = excluded.device_id
returning username;

-- add_credentials --
insert into fleet.credentials (username, device_id, sealed_ha1, changed_at)
select s.username, d.device_id, s.sealed, ringfence.at(%(now_ms)s::bigint)
from unnest(%(usernames)s::text[], %(ouis)s::text[], %(product_classes)s::text[], %(serial_numbers)s::text[], %(sealed)s::bytea[])
    as s(username, oui, product_class, serial_number, sealed)
join fleet.devices d using (oui, product_class, serial_number)
where d.life not in ('replaced', 'lost') and not exists (select from fleet.credentials c where c.device_id = d.device_id)
on conflict (username) do nothing;

-- close_credentials --
delete from fleet.credentials where device_id = %(device_id)s::bigint;

-- want_order --
insert into fleet.wanted_orders (device_id, method, argument, state, asked_by, asked_at, not_before_at, expires_at, changed_at)
values (%(device_id)s::bigint, %(method)s, %(argument)s, 'waiting', %(person)s, ringfence.at(%(now_ms)s::bigint),
    ringfence.at(%(now_ms)s::bigint), ringfence.at(%(expires_ms)s::bigint), ringfence.at(%(now_ms)s::bigint))
on conflict (device_id, method, argument) where state in ('waiting', 'given') do nothing
returning wanted_id;

-- cancel_order --
update fleet.wanted_orders set state = 'canceled', changed_at = ringfence.at(%(now_ms)s::bigint)
where wanted_id = %(wanted_id)s::bigint and state = 'waiting' returning device_id, method;

-- read_wanted_order --
select wanted_id from fleet.wanted_orders where wanted_id = %(wanted_id)s::bigint;

-- wanted_orders_of_device --
select wanted_id, device_id, method, argument, state, asked_by, ringfence.ms(asked_at) as asked_ms, ringfence.ms(not_before_at) as not_before_ms,
    ringfence.ms(expires_at) as expires_ms, ringfence.ms(changed_at) as changed_ms
from fleet.wanted_orders where device_id = %(device_id)s::bigint order by wanted_id desc limit 100;

-- waiting_orders --
select wanted_id, method, argument, asked_by from fleet.wanted_orders
where device_id = %(device_id)s::bigint and state = 'waiting' and not_before_at <= ringfence.at(%(now_ms)s::bigint)
    and expires_at > ringfence.at(%(now_ms)s::bigint)
order by wanted_id limit 100;

-- follow_wanted_order --
-- What an attempt ended with counts while no other is under way; that it succeeded counts also when hope was given up.
update fleet.wanted_orders w set state = %(state)s, changed_at = ringfence.at(%(now_ms)s::bigint),
    not_before_at = greatest(w.not_before_at, ringfence.at(%(not_before_ms)s::bigint))
where w.wanted_id = %(wanted_id)s::bigint and (w.state = 'given' or (%(state)s = 'done' and w.state in ('waiting', 'unknown', 'failed')))
    and not exists (select from fleet.orders o where o.wanted_id = w.wanted_id and o.state in ('committed', 'started'));

-- end_wanted_order --
update fleet.wanted_orders set state = %(state)s, changed_at = ringfence.at(%(now_ms)s::bigint)
where wanted_id = %(wanted_id)s::bigint and state = 'waiting';

-- expire_orders --
update fleet.wanted_orders set state = 'expired', changed_at = ringfence.at(%(now_ms)s::bigint)
where wanted_id in (
    select wanted_id from fleet.wanted_orders where state = 'waiting' and expires_at <= ringfence.at(%(now_ms)s::bigint)
    order by expires_at limit %(limit)s for update skip locked)
returning device_id, method;

-- firmware_for_device --
-- A file fits its model, and the models that are the same hardware under another brand.
select f.size_bytes, f.file_name, coalesce(d.model_id = f.model_id or d.model_id in (
        select t.model_id from fleet.models t join fleet.models m on m.model_id = f.model_id
        where t.twin_of = m.model_id or t.model_id = m.twin_of or t.twin_of = m.twin_of), false) as fits
from fleet.firmware f left join fleet.devices d on d.device_id = %(device_id)s::bigint
where f.sha256 = %(sha256)s;

-- add_order --
-- After `hold_device`: its lock makes this see what the process before committed, so two cannot number the same attempt.
with counted as (
    update fleet.wanted_orders set state = 'given', attempts = attempts + 1, changed_at = ringfence.at(%(now_ms)s::bigint)
    where wanted_id = nullif(%(wanted_id)s::bigint, 0)
)
insert into fleet.orders (command_key, device_id, method, purpose, attempt, state, committed_at, changed_at, deadline_at, wanted_id)
select %(command_key)s, %(device_id)s::bigint, %(method)s, %(purpose)s, coalesce(max(o.attempt), 0) + 1, 'committed',
    ringfence.at(%(now_ms)s::bigint), ringfence.at(%(now_ms)s::bigint), ringfence.at(%(deadline_ms)s::bigint), nullif(%(wanted_id)s::bigint, 0)
from fleet.orders o where o.device_id = %(device_id)s::bigint and o.purpose = %(purpose)s;

-- move_order --
update fleet.orders o set state = %(to_state)s, fault_code = %(fault_code)s::integer, detail = %(detail)s,
    changed_at = ringfence.at(%(now_ms)s::bigint)
where o.command_key = %(command_key)s and o.device_id = %(device_id)s::bigint and o.state = any(%(from_states)s::text[])
returning o.device_id, o.method, coalesce(o.wanted_id, 0) as wanted_id,
    coalesce((select w.attempts from fleet.wanted_orders w where w.wanted_id = o.wanted_id), 0) as attempts;

-- overdue_orders --
update fleet.orders o set state = 'unknown', detail = 'deadline', changed_at = ringfence.at(%(now_ms)s::bigint)
where o.command_key in (
    select command_key from fleet.orders where state in ('committed', 'started') and deadline_at < ringfence.at(%(now_ms)s::bigint)
    order by deadline_at limit %(limit)s for update skip locked)
returning o.command_key, o.device_id, o.method, coalesce(o.wanted_id, 0) as wanted_id,
    coalesce((select w.attempts from fleet.wanted_orders w where w.wanted_id = o.wanted_id), 0) as attempts;

-- open_orders --
select command_key, device_id, method, purpose, attempt, state, fault_code, detail, ringfence.ms(committed_at) as committed_ms,
    ringfence.ms(changed_at) as changed_ms, ringfence.ms(deadline_at) as deadline_ms, coalesce(wanted_id, 0) as wanted_id
from fleet.orders where device_id = any(%(devices)s::bigint[]) and state in ('committed', 'started') order by device_id, committed_at;

-- told_orders --
-- Those that are open, and whatever else a device names.
select command_key, device_id, method, purpose, attempt, state, fault_code, detail, ringfence.ms(committed_at) as committed_ms,
    ringfence.ms(changed_at) as changed_ms, ringfence.ms(deadline_at) as deadline_ms, coalesce(wanted_id, 0) as wanted_id
from fleet.orders where device_id = any(%(devices)s::bigint[]) and (state in ('committed', 'started') or command_key = any(%(keys)s::text[]))
order by device_id, committed_at;

-- orders_of_device --
select command_key, device_id, method, purpose, attempt, state, fault_code, detail, ringfence.ms(committed_at) as committed_ms,
    ringfence.ms(changed_at) as changed_ms, ringfence.ms(deadline_at) as deadline_ms, coalesce(wanted_id, 0) as wanted_id
from fleet.orders where device_id = %(device_id)s::bigint order by committed_at desc, attempt desc limit 200;

-- take_steps --
insert into fleet.taken_steps (session_id, step, taken_at)
select session_id, step, ringfence.at(%(now_ms)s::bigint)
from unnest(%(sessions)s::text[], %(steps)s::integer[]) as s(session_id, step) order by session_id, step
on conflict (session_id, step) do nothing
returning session_id, step;

-- forget_steps --
delete from fleet.taken_steps where taken_at < ringfence.at(%(before_ms)s::bigint);

-- add_transcripts --
insert into fleet.transcripts (session_id, device_id, ended_at, lines)
values (%(session_id)s, %(device_id)s::bigint, ringfence.at(%(now_ms)s::bigint), %(lines)s::text::jsonb)
on conflict (session_id) do nothing;

-- keep_transcripts --
-- The last ones of a device, however often it comes.
delete from fleet.transcripts where session_id in (
    select session_id from fleet.transcripts where device_id = %(device_id)s::bigint order by ended_at desc, session_id offset %(limit)s::bigint);

-- hold_device --
select device_id, life, line, customer, data_model, oui, product_class, serial_number from fleet.devices
where device_id = %(device_id)s::bigint for update;

-- page_devices --
-- In the order of their ids, after the last one of the page before; an empty filter matches everything. The page is cut before `presence` joins:
-- joined first, a page in the middle of three million devices would walk that table from its beginning.
select d.device_id, d.oui, d.product_class, d.serial_number, d.life, ringfence.ms(d.life_since_at) as life_since_ms, d.standing, d.standing_reason,
    d.line, d.customer, d.region, d.labels, d.link, d.data_model, d.software_version, d.hardware_version,
    coalesce(d.replaced_by, 0) as replaced_by, ringfence.ms(p.last_inform_at) as last_inform_ms, coalesce(p.peer_ip, '') as peer_ip
from (select * from fleet.devices d
where d.device_id > %(after)s::bigint
  and (%(life)s = '' or d.life = %(life)s)
  and (%(standing)s = '' or d.standing = %(standing)s)
  and (%(oui)s = '' or d.model_id in (select model_id from fleet.models where oui = %(oui)s
        and (%(product_class)s = '' or product_class = %(product_class)s)))
  and (%(software_version)s = '' or d.software_version = %(software_version)s)
  and (%(region)s = '' or d.region = %(region)s)
  and (%(label)s = '' or d.labels @> array[%(label)s])
  and (%(customer)s = '' or d.customer = %(customer)s)
  and (%(line)s = '' or d.line = %(line)s)
  and (%(serial)s = '' or d.serial_number like %(serial_beginning)s)
order by d.device_id limit %(limit)s) d left join fleet.presence p using (device_id)
order by d.device_id;

-- plan_for_values --
-- A page's filters are seldom the same twice: a plan for all of them would read the whole table for a rare one.
set local plan_cache_mode = force_custom_plan;

-- count_summary --
-- Replaces the summary in one statement; readers see the old one until then.
with fresh as (
    select model_id, software_version, life, region, count(*) as devices from fleet.devices group by 1, 2, 3, 4
), gone as (
    delete from fleet.summary s where not exists (select from fresh f where f.model_id = s.model_id
        and f.software_version = s.software_version and f.life = s.life and f.region = s.region)
)
insert into fleet.summary (model_id, software_version, life, region, devices, counted_at)
select model_id, software_version, life, region, devices, ringfence.at(%(now_ms)s::bigint) from fresh
on conflict (model_id, software_version, life, region) do update set devices = excluded.devices, counted_at = excluded.counted_at;

-- read_summary --
select m.oui, m.product_class, s.software_version, s.life, s.region, s.devices, ringfence.ms(s.counted_at) as counted_ms
from fleet.summary s join fleet.models m using (model_id) order by s.devices desc, m.oui, m.product_class, s.software_version, s.life, s.region
limit 20000;

-- mark_silent --
with quiet as (
    select p.device_id from fleet.presence p join fleet.devices d using (device_id)
    where p.last_inform_at < ringfence.at(%(before_ms)s::bigint) and d.life in ('bootstrapped', 'managed')
    order by p.device_id limit %(limit)s
)
update fleet.devices d set life = 'silent', life_since_at = ringfence.at(%(now_ms)s::bigint)
from quiet where d.device_id = quiet.device_id
returning d.device_id;

-- import_devices --
with fresh as (
    select * from unnest(%(ouis)s::text[], %(product_classes)s::text[], %(serial_numbers)s::text[], %(lives)s::text[], %(lines)s::text[],
        %(customers)s::text[], %(regions)s::text[]) as s(oui, product_class, serial_number, life, line, customer, region)
), made as (
    insert into fleet.devices as d (oui, product_class, serial_number, model_id, life, life_since_at, standing, line, customer, region, first_seen_at)
    select s.oui, s.product_class, s.serial_number, m.model_id, s.life, ringfence.at(%(now_ms)s::bigint), case when s.life = 'in_stock' then 'stock' else 'unbound' end,
        s.line, s.customer, s.region, ringfence.at(%(now_ms)s::bigint)
    from fresh s join fleet.models m using (oui, product_class)
    order by s.oui, s.product_class, s.serial_number
    on conflict (oui, product_class, serial_number) do update set life = excluded.life, line = excluded.line, customer = excluded.customer,
        region = excluded.region, life_since_at = excluded.life_since_at
    where d.life in ('in_stock', 'shipped') and (d.life, d.line, d.customer, d.region) is distinct from
        (excluded.life, excluded.line, excluded.customer, excluded.region)
    returning d.device_id, (xmax = 0) as added
), present as (
    insert into fleet.presence (device_id) select device_id from made where added
)
select count(*) filter (where added) as added, count(*) filter (where not added) as changed from made;

-- put_group --
insert into fleet.groups (name, rank, oui, product_class, software_version, region, label, changed_at, changed_by)
values (%(name)s, %(rank)s::integer, %(oui)s, %(product_class)s, %(software_version)s, %(region)s, %(label)s, ringfence.at(%(now_ms)s::bigint), %(person)s)
on conflict (name) do update set rank = excluded.rank, oui = excluded.oui, product_class = excluded.product_class,
    software_version = excluded.software_version, region = excluded.region, label = excluded.label, changed_at = excluded.changed_at,
    changed_by = excluded.changed_by;

-- clear_wanted --
delete from fleet.wanted where group_name = %(name)s;

-- add_wanted --
insert into fleet.wanted (group_name, meaning, instance, value)
select %(name)s, meaning, instance, value from unnest(%(meanings)s::text[], %(instances)s::text[], %(values)s::text[]) as s(meaning, instance, value);

-- remove_group --
delete from fleet.groups where name = %(name)s returning name;

-- put_own_wish --
insert into fleet.wanted_of_device as w (device_id, meaning, instance, value, changed_at, changed_by)
values (%(device_id)s::bigint, %(meaning)s, %(instance)s, %(value)s, ringfence.at(%(now_ms)s::bigint), %(person)s)
on conflict (device_id, meaning, instance) do update set value = excluded.value, changed_at = excluded.changed_at, changed_by = excluded.changed_by
where w.value <> excluded.value;

-- put_secret --
insert into fleet.secrets (device_id, meaning, instance, sealed, changed_at, changed_by)
values (%(device_id)s::bigint, %(meaning)s, %(instance)s, %(sealed)s::bytea, ringfence.at(%(now_ms)s::bigint), %(person)s)
on conflict (device_id, meaning, instance) do update set sealed = excluded.sealed, changed_at = excluded.changed_at, changed_by = excluded.changed_by;

-- remove_own_wish --
with wish as (
    delete from fleet.wanted_of_device where device_id = %(device_id)s::bigint and meaning = %(meaning)s and instance = %(instance)s returning meaning
), secret as (
    delete from fleet.secrets where device_id = %(device_id)s::bigint and meaning = %(meaning)s and instance = %(instance)s returning meaning
)
select meaning from wish union select meaning from secret;

-- subject_of_device --
select oui, product_class, software_version, region, labels, data_model from fleet.devices where device_id = %(device_id)s::bigint;

-- names_of_secrets --
select meaning, instance, ringfence.ms(changed_at) as changed_ms from fleet.secrets where device_id = %(device_id)s::bigint
order by meaning, instance;

-- forget_secrets --
delete from fleet.secrets where device_id = %(device_id)s::bigint;

-- move_own_wishes --
insert into fleet.wanted_of_device (device_id, meaning, instance, value, changed_at, changed_by)
select %(device_id)s::bigint, meaning, instance, value, ringfence.at(%(now_ms)s::bigint), %(person)s
from fleet.wanted_of_device where device_id = %(from_device)s::bigint
on conflict (device_id, meaning, instance) do nothing;

-- set_life --
update fleet.devices set life = %(life)s, life_since_at = ringfence.at(%(now_ms)s::bigint), line = %(line)s, customer = %(customer)s,
    replaced_by = nullif(%(replaced_by)s::bigint, 0)
where device_id = %(device_id)s::bigint;

-- devices_of_line --
select device_id, life, customer from fleet.devices where line = %(line)s and life not in ('in_stock', 'replaced') and device_id <> %(device_id)s::bigint
order by device_id for update;

-- read_reported --
select name, value, writable, in_inform, ringfence.ms(reported_at) as reported_ms from fleet.reported
where device_id = %(device_id)s::bigint and name > %(after_name)s and (%(search)s = '' or name ilike %(containing)s)
order by name limit %(limit)s;

-- read_history --
select entry_id, ringfence.ms(occurred_at) as occurred_ms, kind, name, old_value, new_value, person from fleet.history
where device_id = %(device_id)s::bigint and (%(before)s::bigint = 0 or entry_id < %(before)s::bigint) order by entry_id desc limit %(limit)s;

-- read_transcripts --
select session_id, ringfence.ms(ended_at) as ended_ms, lines::text as lines from fleet.transcripts
where device_id = %(device_id)s::bigint order by ended_at desc, session_id limit %(limit)s;

-- managed_of_customers --
-- Coverage: who of these has a device that informs.
select distinct customer from fleet.devices where customer = any(%(customers)s::text[]) and life in ('bootstrapped', 'managed');

-- put_behind --
insert into fleet.behind as b (device_id, mac, name, kind, origin, seen_at)
select %(device_id)s::bigint, mac, name, kind, origin, ringfence.at(%(now_ms)s::bigint)
from unnest(%(macs)s::text[], %(names)s::text[], %(kinds)s::text[], %(origins)s::text[]) as s(mac, name, kind, origin)
on conflict (device_id, mac) do update set name = excluded.name, kind = excluded.kind, origin = excluded.origin, seen_at = excluded.seen_at
where b.origin <> 'hand' or excluded.origin = 'hand';

-- reported_tables --
select name, value from fleet.reported where device_id = %(device_id)s::bigint
    and name ~ '^(InternetGatewayDevice\.LANDevice\.[0-9]+|Device)\.(Hosts\.Host|WiFi\.MultiAP\.APDevice)\.[0-9]+\.[A-Za-z]+$'
order by name limit 4000;

-- read_behind --
select mac, name, kind, origin, ringfence.ms(seen_at) as seen_ms from fleet.behind where device_id = %(device_id)s::bigint order by mac;

-- want_awake --
-- A wish that an Inform has fulfilled already is replaced by the new one.
insert into fleet.wake_queue (device_id, asked_at, asked_by, next_at)
values (%(device_id)s::bigint, ringfence.at(%(now_ms)s::bigint), %(person)s, ringfence.at(%(now_ms)s::bigint))
on conflict (device_id) do update set asked_at = excluded.asked_at, asked_by = excluded.asked_by, next_at = excluded.next_at, tries = 0
where exists (select from fleet.presence p where p.device_id = fleet.wake_queue.device_id and p.last_inform_at > fleet.wake_queue.asked_at);

-- take_sleepers --
-- Each is tried again later unless its Inform takes it out of the queue; processes do not take the same one.
update fleet.wake_queue q set tries = q.tries + 1, next_at = ringfence.at(%(again_ms)s::bigint)
from (select w.device_id from fleet.wake_queue w where w.next_at <= ringfence.at(%(now_ms)s::bigint) order by w.next_at, w.device_id
      limit %(limit)s for update skip locked) due, fleet.devices d, fleet.presence p
where q.device_id = due.device_id and d.device_id = q.device_id and p.device_id = q.device_id
returning q.device_id, q.tries, d.link, d.line, p.peer_ip, coalesce(p.last_inform_at > q.asked_at, false) as informed,
    (select r.value from fleet.reported r where r.device_id = q.device_id and r.name like '%%.ManagementServer.ConnectionRequestURL' limit 1) as request_url,
    (select r.value from fleet.reported r where r.device_id = q.device_id and r.name like '%%.ManagementServer.UDPConnectionRequestAddress' limit 1) as udp_address,
    (select b.address from fleet.udp_bindings b where b.device_id = q.device_id) as seen_udp;

-- put_bindings --
insert into fleet.udp_bindings (device_id, address, seen_at)
select s.device_id, s.address, ringfence.at(%(now_ms)s::bigint) from unnest(%(devices)s::bigint[], %(addresses)s::text[]) as s(device_id, address)
join fleet.devices d using (device_id)
on conflict (device_id) do update set address = excluded.address, seen_at = excluded.seen_at;

-- awake --
delete from fleet.wake_queue where device_id = any(%(devices)s::bigint[]);

-- awake_informed --
delete from fleet.wake_queue q using fleet.presence p
where q.device_id = any(%(devices)s::bigint[]) and p.device_id = q.device_id and p.last_inform_at > q.asked_at;

-- put_back_sleepers --
update fleet.wake_queue set tries = greatest(tries - 1, 0), next_at = ringfence.at(%(at_ms)s::bigint) where device_id = any(%(devices)s::bigint[]);

-- discover --
insert into fleet.discoveries (device_id, explore, read, asked_at)
select device_id, array[case data_model when 'tr181' then 'Device.' else 'InternetGatewayDevice.' end], '{}', ringfence.at(%(now_ms)s::bigint)
from fleet.devices where device_id = %(device_id)s::bigint and data_model <> ''
on conflict (device_id) do nothing returning device_id;
