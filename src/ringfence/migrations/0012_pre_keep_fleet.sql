-- What the worker keeps of the fleet: versions a day, what is not as wanted, and which version a model's stock is brought to.

create table fleet.versions_by_day (
    model_id integer not null references fleet.models,
    day date not null,
    software_version text not null,
    devices bigint not null,
    primary key (model_id, day, software_version)
);

create table fleet.drift (
    device_id bigint not null references fleet.devices on delete cascade,
    name text not null,
    group_name text not null,
    wanted text not null,
    reported text,
    found_at timestamptz not null,
    primary key (device_id, name)
);
create index drift_group on fleet.drift (group_name, device_id, name);

alter table fleet.models add column stock_sha256 text references fleet.firmware on delete set null;
alter table fleet.presence add column at_line text not null default '';
alter table fleet.refusals add column refusal_id bigint generated always as identity;
drop index fleet.refusals_recent;
create index refusals_recent on fleet.refusals (last_at desc, refusal_id desc);
