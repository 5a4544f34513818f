-- What a person wants a device to do: taken at one of its sessions, in as many attempts (`fleet.orders`) as the rules allow. No secret is in it:
-- the link of a Download is made when it leaves.
create table fleet.wanted_orders (
    wanted_id bigint generated always as identity primary key,
    device_id bigint not null references fleet.devices on delete cascade,
    method text not null check (method in ('Download', 'Reboot', 'FactoryReset', 'ScheduleInform')),
    argument text not null default '',
    state text not null check (state in ('waiting', 'given', 'done', 'failed', 'unknown', 'canceled', 'expired')),
    attempts integer not null default 0,
    asked_by text not null,
    asked_at timestamptz not null,
    not_before_at timestamptz not null,
    expires_at timestamptz not null,
    changed_at timestamptz not null
);
create unique index wanted_orders_open on fleet.wanted_orders (device_id, method, argument) where state in ('waiting', 'given');
create index wanted_orders_device on fleet.wanted_orders (device_id, wanted_id desc);
create index wanted_orders_expiry on fleet.wanted_orders (expires_at) where state = 'waiting';

alter table fleet.orders add column wanted_id bigint references fleet.wanted_orders on delete cascade;
create index orders_wanted on fleet.orders (wanted_id) where wanted_id is not null;

-- Steps of sessions that went on over another connection, by their cookie: each is taken once, whichever process it comes to.
create table fleet.taken_steps (
    session_id text not null,
    step integer not null,
    taken_at timestamptz not null,
    primary key (session_id, step)
);
create index taken_steps_age on fleet.taken_steps (taken_at);
