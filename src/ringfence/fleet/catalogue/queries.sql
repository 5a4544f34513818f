-- put_firmware --
insert into fleet.firmware (sha256, model_id, version, size_bytes, file_name, signature, added_at, added_by)
select %(sha256)s, model_id, %(version)s, %(size_bytes)s::bigint, %(file_name)s, %(signature)s, ringfence.at(%(now_ms)s::bigint), %(person)s
from fleet.models where oui = %(oui)s and product_class = %(product_class)s
on conflict do nothing returning sha256;

-- list_firmware --
select f.sha256, m.oui, m.product_class, f.version, f.size_bytes, f.file_name, f.signature, ringfence.ms(f.added_at) as added_ms
from fleet.firmware f join fleet.models m using (model_id) order by m.oui, m.product_class, f.version;

-- set_stock_firmware --
update fleet.models m set stock_sha256 = f.sha256 from fleet.firmware f
where f.sha256 = %(sha256)s and m.model_id = f.model_id returning m.model_id, f.version;

-- clear_stock_firmware --
update fleet.models set stock_sha256 = null where model_id = %(model_id)s::integer and stock_sha256 is not null returning model_id;

-- want_stock_updates --
-- One Download for each device in stock that has not the version its model's stock is brought to; another one a day after the last.
insert into fleet.wanted_orders (device_id, method, argument, state, asked_by, asked_at, not_before_at, expires_at, changed_at)
select d.device_id, 'Download', f.sha256, 'waiting', 'stock', ringfence.at(%(now_ms)s::bigint), ringfence.at(%(now_ms)s::bigint),
    ringfence.at(%(expires_ms)s::bigint), ringfence.at(%(now_ms)s::bigint)
from fleet.devices d join fleet.models m using (model_id) join fleet.firmware f on f.sha256 = m.stock_sha256
where d.device_id = any(%(devices)s::bigint[]) and d.life = 'in_stock' and d.software_version not in ('', f.version)
    and not exists (select from fleet.wanted_orders w where w.device_id = d.device_id and w.method = 'Download'
        and (w.state in ('waiting', 'given') or w.asked_at > ringfence.at(%(again_ms)s::bigint)))
on conflict (device_id, method, argument) where state in ('waiting', 'given') do nothing
returning device_id, argument as sha256;
