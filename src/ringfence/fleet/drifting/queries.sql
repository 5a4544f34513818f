-- devices_to_compare --
-- Those in the field, in the order of their ids.
select d.device_id, d.model_id, d.oui, d.product_class, d.software_version, d.region, d.labels, d.data_model, d.standing
from fleet.devices d
where d.device_id > %(after)s::bigint and d.life in ('bootstrapped', 'managed', 'silent')
order by d.device_id limit %(limit)s;

-- forget_drift --
-- Between two ids (the second one 0: to the end), what is not among the differences found there just now.
delete from fleet.drift where device_id > %(after)s::bigint and (%(last)s::bigint = 0 or device_id <= %(last)s::bigint)
    and (device_id, name) not in (select * from unnest(%(devices)s::bigint[], %(names)s::text[]));

-- keep_drift --
insert into fleet.drift as f (device_id, name, group_name, wanted, reported, found_at)
select s.device_id, s.name, s.group_name, s.wanted, s.reported, ringfence.at(%(now_ms)s::bigint)
from unnest(%(devices)s::bigint[], %(names)s::text[], %(groups)s::text[], %(wanteds)s::text[], %(reporteds)s::text[])
    as s(device_id, name, group_name, wanted, reported)
join fleet.devices using (device_id)
order by s.device_id, s.name
on conflict (device_id, name) do update set group_name = excluded.group_name, wanted = excluded.wanted, reported = excluded.reported,
    found_at = case when f.wanted = excluded.wanted then f.found_at else excluded.found_at end
where (f.group_name, f.wanted, f.reported) is distinct from (excluded.group_name, excluded.wanted, excluded.reported);

-- unsettle_drifted --
-- A device that had settled and is not as wanted any more: its next Inform finds work. One that is left alone stays so, and one that informs
-- at this moment is left to the next round: waiting for its row, in another order than a batch of Informs, could be a deadlock.
update fleet.presence set settled_revision = 0 where device_id in (
    select device_id from fleet.presence where device_id = any(%(devices)s::bigint[]) and settled_revision <> 0 and not_before_at is null
    order by device_id for update skip locked);

-- page_drift --
select x.device_id, d.oui, d.product_class, d.serial_number, d.software_version, x.name, x.group_name as group, x.wanted, x.reported,
    coalesce(s.fault_code, 0) as stopped, ringfence.ms(x.found_at) as found_ms
from (select * from fleet.drift where (device_id, name) > (%(after_device)s::bigint, %(after_name)s)
        and (%(any_group)s::boolean or group_name = %(group)s)
    order by device_id, name limit %(limit)s) x
join fleet.devices d using (device_id)
left join fleet.stops s on s.model_id = d.model_id and s.software_version = d.software_version and s.name = x.name
order by x.device_id, x.name;
