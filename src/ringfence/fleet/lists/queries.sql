-- list_models --
select m.model_id, m.oui, m.product_class, m.manufacturer, m.name, m.hardware_version, m.chipset, coalesce(t.model_id, 0) as twin_id,
    coalesce(t.oui, '') as twin_oui, coalesce(t.product_class, '') as twin_product_class, coalesce(f.version, '') as stock_version,
    coalesce(m.stock_sha256, '') as stock_sha256, coalesce(c.devices, 0)::bigint as devices
from fleet.models m left join fleet.models t on t.model_id = m.twin_of left join fleet.firmware f on f.sha256 = m.stock_sha256
left join (select model_id, sum(devices) as devices from fleet.summary group by model_id) c on c.model_id = m.model_id
order by m.oui, m.product_class limit %(limit)s;

-- twins_of --
-- The model and its twin, and whether others name it as theirs.
select m.model_id, m.twin_of, exists (select from fleet.models o where o.twin_of = m.model_id) as is_twin
from fleet.models m where m.model_id = any(%(models)s::integer[]) order by m.model_id for update;

-- set_twin --
update fleet.models set twin_of = nullif(%(twin)s::integer, 0) where model_id = %(model_id)s::integer;

-- page_stops --
select m.oui, m.product_class, s.software_version, s.name, s.fault_code, s.device_id, ringfence.ms(s.stopped_at) as stopped_ms
from fleet.stops s join fleet.models m using (model_id)
where (m.oui, m.product_class, s.software_version, s.name) > (%(oui)s, %(product_class)s, %(software_version)s, %(name)s)
order by m.oui, m.product_class, s.software_version, s.name limit %(limit)s;

-- lift_stop --
delete from fleet.stops s using fleet.models m
where m.model_id = s.model_id and m.oui = %(oui)s and m.product_class = %(product_class)s and s.software_version = %(software_version)s
    and s.name = %(name)s
returning s.device_id, s.fault_code;

-- grow_policy_again --
-- Every device is compared anew at its next Inform: those of the model had settled without what was stopped.
update fleet.policy set revision = revision + 1 returning revision;

-- page_refusals --
select refusal_id, proven_name, oui, product_class, serial_number, reason, peer_ip, ringfence.ms(first_at) as first_ms,
    ringfence.ms(last_at) as last_ms, times
from fleet.refusals
where %(before_ms)s::bigint = 0 or (last_at, refusal_id) < (ringfence.at(%(before_ms)s::bigint), %(before_id)s::bigint)
order by last_at desc, refusal_id desc limit %(limit)s;

-- page_pending --
-- The newest devices first. Its page is cut before anything joins.
select d.device_id, d.oui, d.product_class, d.serial_number, d.software_version, d.standing_reason as reason, coalesce(p.at_line, '') as line,
    coalesce(h.device_id, 0) as holder_id, coalesce(h.serial_number, '') as holder_serial, coalesce(h.life, '') as holder_life,
    ringfence.ms(d.first_seen_at) as first_seen_ms, coalesce(ringfence.ms(p.last_inform_at), 0) as last_inform_ms,
    coalesce(p.peer_ip, '') as peer_ip
from (select * from fleet.devices where standing = 'replacement_pending'
        and (%(before)s::bigint = 0 or device_id < %(before)s::bigint) order by device_id desc limit %(limit)s) d
left join fleet.presence p using (device_id)
left join lateral (select o.device_id, o.serial_number, o.life from fleet.devices o
    where o.line = p.at_line and o.line <> '' and o.life not in ('in_stock', 'replaced') and o.device_id <> d.device_id
    order by o.device_id limit 1) h on true
order by d.device_id desc;

-- page_stock --
select d.device_id, d.oui, d.product_class, d.serial_number, d.region, d.software_version, coalesce(f.version, '') as wanted_version,
    coalesce(ringfence.ms(p.last_inform_at), 0) as last_inform_ms
from (select * from fleet.devices where life = 'in_stock' and device_id > %(after)s::bigint
        and (%(oui)s = '' or model_id in (select model_id from fleet.models where oui = %(oui)s
            and (%(product_class)s = '' or product_class = %(product_class)s)))
    order by device_id limit %(limit)s) d
left join fleet.presence p using (device_id) join fleet.models m on m.model_id = d.model_id
left join fleet.firmware f on f.sha256 = m.stock_sha256
order by d.device_id;

-- count_versions --
-- A day is counted over and over until it is past. What is gone since the day's first count goes.
with fresh as (
    select model_id, software_version, sum(devices)::bigint as devices from fleet.summary where life in ('bootstrapped', 'managed', 'silent')
    group by 1, 2
), gone as (
    delete from fleet.versions_by_day v where v.day = (ringfence.at(%(now_ms)s::bigint) at time zone 'UTC')::date
        and not exists (select from fresh f where f.model_id = v.model_id and f.software_version = v.software_version)
)
insert into fleet.versions_by_day (model_id, day, software_version, devices)
select model_id, (ringfence.at(%(now_ms)s::bigint) at time zone 'UTC')::date, software_version, devices from fresh
on conflict (model_id, day, software_version) do update set devices = excluded.devices;

-- versions_over_time --
select v.day::text as day, m.oui, m.product_class, v.software_version, v.devices
from fleet.models m join fleet.versions_by_day v using (model_id)
where (%(oui)s = '' or m.oui = %(oui)s) and (%(product_class)s = '' or m.product_class = %(product_class)s)
    and v.day > (ringfence.at(%(now_ms)s::bigint) at time zone 'UTC')::date - %(days)s::integer
order by v.day desc, v.devices desc, m.oui, m.product_class, v.software_version limit %(limit)s;

-- forget_versions --
delete from fleet.versions_by_day where day < (ringfence.at(%(now_ms)s::bigint) at time zone 'UTC')::date - %(days)s::integer;

-- forget_transcripts --
delete from fleet.transcripts where session_id in (
    select session_id from fleet.transcripts where ended_at < ringfence.at(%(before_ms)s::bigint) order by ended_at limit %(limit)s)
returning device_id;

-- forget_announcements --
-- Nobody who listens has been away for so long; the history keeps what happened.
delete from fleet.outbox where entry_id in (
    select entry_id from (select entry_id, written_at from fleet.outbox order by entry_id limit %(limit)s) oldest
    where written_at < ringfence.at(%(before_ms)s::bigint))
returning device_id;

-- set_region --
with old as (
    select device_id, region from fleet.devices where device_id = any(%(devices)s::bigint[]) order by device_id for update
), changed as (
    update fleet.devices d set region = %(region)s from old where d.device_id = old.device_id and old.region <> %(region)s
    returning d.device_id
), unsettled as (
    update fleet.presence set settled_revision = 0, not_before_at = null where device_id in (select device_id from changed)
)
select old.device_id, old.region as before, changed.device_id is not null as changed from old left join changed using (device_id)
order by old.device_id;

-- set_link --
-- A link that a person states (mobile, unreachable) stands until it is taken back; then the next Inform says what it looks like.
with old as (
    select device_id, link from fleet.devices where device_id = any(%(devices)s::bigint[]) order by device_id for update
), changed as (
    update fleet.devices d set link = %(link)s from old where d.device_id = old.device_id and old.link <> %(link)s returning d.device_id
)
select old.device_id, old.link as before, changed.device_id is not null as changed from old left join changed using (device_id)
order by old.device_id;

-- describe_model --
update fleet.models set name = %(name)s, hardware_version = %(hardware_version)s, chipset = %(chipset)s where model_id = %(model_id)s::integer;

-- set_labels --
with old as (
    select device_id, labels from fleet.devices where device_id = any(%(devices)s::bigint[]) order by device_id for update
), wanted as (
    select device_id, labels, array(select distinct label from unnest(labels || %(add)s::text[]) as l(label)
        where not label = any(%(remove)s::text[]) order by label) as fresh from old
), changed as (
    update fleet.devices d set labels = wanted.fresh from wanted where d.device_id = wanted.device_id and wanted.labels <> wanted.fresh
        and cardinality(wanted.fresh) <= %(most)s::integer
    returning d.device_id
), unsettled as (
    update fleet.presence set settled_revision = 0, not_before_at = null where device_id in (select device_id from changed)
)
select wanted.device_id, array_to_string(labels, ' ') as before, array_to_string(fresh, ' ') as fresh, changed.device_id is not null as changed,
    cardinality(fresh) > %(most)s::integer as crowded
from wanted left join changed using (device_id) order by wanted.device_id;

-- put_behind_by_hand --
insert into fleet.behind (device_id, mac, name, kind, origin, seen_at)
values (%(device_id)s::bigint, %(mac)s, %(name)s, %(kind)s, 'hand', ringfence.at(%(now_ms)s::bigint))
on conflict (device_id, mac) do update set name = excluded.name, kind = excluded.kind, origin = 'hand', seen_at = excluded.seen_at;

-- count_behind --
select count(*) as entries from fleet.behind where device_id = %(device_id)s::bigint;

-- remove_behind --
delete from fleet.behind where device_id = %(device_id)s::bigint and mac = %(mac)s returning name;
