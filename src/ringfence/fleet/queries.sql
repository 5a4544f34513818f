-- admit --
-- The steady state of an Inform, a batch at a time: one row of `presence` a device is written, everything else is read. A closed identity and
-- an Inform that does not count (`counts`) leave no trace on the device they name.
with seen as (
    select * from unnest(%(ouis)s::text[], %(product_classes)s::text[], %(serial_numbers)s::text[], %(peers)s::text[], %(lanes)s::text[],
        %(digests)s::bytea[], %(retries)s::integer[], %(moments)s::bigint[], %(lines)s::text[], %(counts)s::boolean[])
        with ordinality as s(oui, product_class, serial_number, peer_ip, lane, digest, retry_count, at_ms, at_line, counts, place)
), known as (
    select s.*, d.device_id, d.model_id, d.life, d.standing, d.standing_reason, d.line, d.region, d.labels, d.link, d.data_model,
        d.software_version, d.hardware_version
    from seen s
    join fleet.devices d on d.oui = s.oui and d.product_class = s.product_class and d.serial_number = s.serial_number
), old as (
    select p.* from fleet.presence p where p.device_id in (select device_id from known)
), touched as (
    update fleet.presence p set last_inform_at = ringfence.at(k.at_ms), peer_ip = k.peer_ip, lane = k.lane, informs = p.informs + 1,
        retry_count = k.retry_count, digest = k.digest
    from known k where p.device_id = k.device_id and k.counts and k.life <> 'replaced'
)
select s.place, coalesce(k.device_id, 0) as device_id, k.model_id, k.life, k.standing, k.standing_reason, coalesce(k.line, '') as line, k.region,
    k.labels, k.link, k.data_model, k.software_version, k.hardware_version, coalesce(old.digest = s.digest, false) as same,
    coalesce(old.settled_revision, 0) as settled_revision, ringfence.ms(old.not_before_at) as not_before_ms, policy.revision,
    case when s.at_line <> '' and s.at_line is distinct from k.line then exists (
        select from fleet.devices o where o.line = s.at_line and o.life not in ('in_stock', 'replaced', 'lost')
            and o.device_id is distinct from k.device_id)
    else false end as taken
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
        %(hardwares)s::text[], %(moments)s::bigint[], %(peers)s::text[], %(lanes)s::text[], %(digests)s::bytea[])
        as s(oui, product_class, serial_number, life, standing, reason, line, customer, link, data_model, software, hardware, at_ms, peer_ip,
            lane, digest)
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
    insert into fleet.presence (device_id, last_inform_at, peer_ip, lane, informs, digest)
    select made.device_id, ringfence.at(s.at_ms), s.peer_ip, s.lane, 1, s.digest
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

-- close_credentials --
delete from fleet.credentials where device_id = %(device_id)s::bigint;

-- last_order --
-- The device's row is the lock: two processes cannot number the same attempt.
with locked as (select device_id from fleet.devices where device_id = %(device_id)s::bigint for update)
select coalesce(max(o.attempt), 0) as attempt, coalesce(bool_or(o.state in ('committed', 'started')), false) as open, count(locked.device_id) as devices
from locked left join fleet.orders o on o.device_id = locked.device_id and o.purpose = %(purpose)s;

-- add_order --
insert into fleet.orders (command_key, device_id, method, purpose, attempt, state, committed_at, changed_at, deadline_at)
values (%(command_key)s, %(device_id)s::bigint, %(method)s, %(purpose)s, %(attempt)s::integer, 'committed', ringfence.at(%(now_ms)s::bigint),
    ringfence.at(%(now_ms)s::bigint), ringfence.at(%(deadline_ms)s::bigint));

-- move_order --
update fleet.orders set state = %(to_state)s, fault_code = %(fault_code)s::integer, detail = %(detail)s,
    changed_at = ringfence.at(%(now_ms)s::bigint)
where command_key = %(command_key)s and device_id = %(device_id)s::bigint and state = any(%(from_states)s::text[])
returning device_id, method, purpose, attempt;

-- overdue_orders --
update fleet.orders set state = 'unknown', detail = 'deadline', changed_at = ringfence.at(%(now_ms)s::bigint)
where command_key in (
    select command_key from fleet.orders where state in ('committed', 'started') and deadline_at < ringfence.at(%(now_ms)s::bigint)
    order by deadline_at limit %(limit)s for update skip locked)
returning command_key, device_id;

-- orders_of_device --
select command_key, device_id, method, purpose, attempt, state, fault_code, detail, ringfence.ms(committed_at) as committed_ms,
    ringfence.ms(deadline_at) as deadline_ms
from fleet.orders where device_id = %(device_id)s::bigint order by committed_at desc, attempt desc limit 200;

-- add_transcripts --
insert into fleet.transcripts (session_id, device_id, ended_at, lines)
values (%(session_id)s, %(device_id)s::bigint, ringfence.at(%(now_ms)s::bigint), %(lines)s::text::jsonb)
on conflict (session_id) do nothing;

-- hold_device --
select device_id, life, line, customer, data_model, oui, product_class, serial_number from fleet.devices
where device_id = %(device_id)s::bigint for update;
