create schema fleet;

-- A device type. `twin_of` names the model that is the same hardware under another brand: an advisory for one is one for the other.
create table fleet.models (
    model_id integer generated always as identity primary key,
    oui text not null,
    product_class text not null,
    manufacturer text not null default '',
    name text not null default '',
    hardware_version text not null default '',
    chipset text not null default '',
    twin_of integer references fleet.models,
    first_seen_at timestamptz not null,
    unique (oui, product_class)
);

-- What changes rarely. What changes at every Inform stands in `presence`, so that its rows stay narrow and their updates touch no index.
create table fleet.devices (
    device_id bigint generated always as identity primary key,
    oui text not null,
    product_class text not null,
    serial_number text not null,
    model_id integer not null references fleet.models,
    life text not null check (life in ('in_stock', 'shipped', 'bootstrapped', 'managed', 'silent', 'replaced', 'lost')),
    life_since_at timestamptz not null,
    standing text not null check (standing in ('managed', 'stock', 'replacement_pending', 'unbound', 'refused')),
    standing_reason text not null default '',
    line text not null default '',
    customer text not null default '',
    region text not null default '',
    labels text[] not null default '{}',
    link text not null default 'direct' check (link in ('direct', 'nat', 'mobile', 'cgnat', 'unreachable')),
    data_model text not null default '' check (data_model in ('', 'tr098', 'tr181')),
    software_version text not null default '',
    hardware_version text not null default '',
    replaced_by bigint references fleet.devices,
    first_seen_at timestamptz not null,
    unique (oui, product_class, serial_number)
);
create index devices_serial on fleet.devices (serial_number text_pattern_ops);
create index devices_line on fleet.devices (line text_pattern_ops) where line <> '';
create index devices_customer on fleet.devices (customer) where customer <> '';
create index devices_life on fleet.devices (life, device_id);
create index devices_standing on fleet.devices (standing, device_id) where standing in ('replacement_pending', 'refused');
create index devices_version on fleet.devices (model_id, software_version, device_id);
create index devices_region on fleet.devices (region, device_id) where region <> '';
create index devices_labels on fleet.devices using gin (labels);

create table fleet.presence (
    device_id bigint primary key references fleet.devices on delete cascade,
    last_inform_at timestamptz,
    peer_ip text not null default '',
    lane text not null default '',
    informs bigint not null default 0,
    retry_count integer not null default 0,
    digest bytea not null default ''::bytea,
    settled_revision bigint not null default 0,
    not_before_at timestamptz,
    failures integer not null default 0
) with (fillfactor = 70);

-- Values as the device reported them; never a secret. `in_inform`: every Inform since `reported_at` carried the same value.
create table fleet.reported (
    device_id bigint not null references fleet.devices on delete cascade,
    name text not null,
    value text not null,
    writable boolean,
    in_inform boolean not null,
    reported_at timestamptz not null,
    primary key (device_id, name)
);

-- The history of a device: settings, states, lines, versions, replacements, refusals. Never a secret.
create table fleet.history (
    entry_id bigint generated always as identity primary key,
    device_id bigint not null,
    occurred_at timestamptz not null,
    kind text not null,
    name text not null default '',
    old_value text not null default '',
    new_value text not null default '',
    person text not null default ''
);
create index history_device on fleet.history (device_id, entry_id desc);

-- One row, one number: it grows with every change of what is wanted, and devices that settled an older one have work to do.
create table fleet.policy (
    only_row boolean primary key default true check (only_row),
    revision bigint not null
);
insert into fleet.policy (revision) values (1);

create table fleet.groups (
    name text primary key,
    rank integer not null,
    oui text not null default '',
    product_class text not null default '',
    software_version text not null default '',
    region text not null default '',
    label text not null default '',
    changed_at timestamptz not null,
    changed_by text not null
);

create table fleet.wanted (
    group_name text not null references fleet.groups on delete cascade,
    meaning text not null,
    instance text not null default '',
    value text not null,
    primary key (group_name, meaning, instance)
);

-- Sealed with AES-GCM; written and replaced, never shown. The seal is bound to device, meaning and instance.
create table fleet.secrets (
    device_id bigint not null references fleet.devices on delete cascade,
    meaning text not null,
    instance text not null default '',
    sealed bytea not null,
    changed_at timestamptz not null,
    changed_by text not null,
    primary key (device_id, meaning, instance)
);

create table fleet.wanted_of_device (
    device_id bigint not null references fleet.devices on delete cascade,
    meaning text not null,
    instance text not null default '',
    value text not null,
    changed_at timestamptz not null,
    changed_by text not null,
    primary key (device_id, meaning, instance)
);

-- A setting that a model refused (9005, 9007, 9008): it is asked of none of its devices until a person takes it away.
create table fleet.stops (
    model_id integer not null references fleet.models,
    software_version text not null,
    name text not null,
    fault_code integer not null,
    device_id bigint not null,
    stopped_at timestamptz not null,
    primary key (model_id, software_version, name)
);

-- HA1 of a device's credential (RFC 7616 3.4.2), sealed. `previous`: valid in the bootstrap lane only, until `previous_until_at`.
create table fleet.credentials (
    username text primary key,
    device_id bigint not null references fleet.devices on delete cascade,
    sealed_ha1 bytea not null,
    sealed_previous bytea,
    previous_until_at timestamptz,
    changed_at timestamptz not null
);
create index credentials_device on fleet.credentials (device_id);

-- Committed before its RPC leaves. One open order a device and purpose, and an attempt is numbered once.
create table fleet.orders (
    command_key text primary key check (length(command_key) <= 32),
    device_id bigint not null references fleet.devices on delete cascade,
    method text not null,
    purpose text not null,
    attempt integer not null,
    state text not null check (state in ('committed', 'started', 'done', 'failed', 'unknown')),
    fault_code integer not null default 0,
    detail text not null default '',
    committed_at timestamptz not null,
    changed_at timestamptz not null,
    deadline_at timestamptz not null,
    unique (device_id, purpose, attempt)
);
create unique index orders_open on fleet.orders (device_id, purpose) where state in ('committed', 'started');
create index orders_due on fleet.orders (deadline_at) where state in ('committed', 'started');

create table fleet.behind (
    device_id bigint not null references fleet.devices on delete cascade,
    mac text not null,
    name text not null default '',
    kind text not null check (kind in ('repeater', 'powerline', 'host', 'unknown')),
    origin text not null check (origin in ('hosts', 'multiap', 'hand')),
    seen_at timestamptz not null,
    primary key (device_id, mac)
);

create table fleet.firmware (
    sha256 text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
    model_id integer not null references fleet.models,
    version text not null,
    size_bytes bigint not null check (size_bytes > 0),
    file_name text not null,
    signature text not null check (signature in ('vendor_checked', 'vendor_unchecked', 'none')),
    added_at timestamptz not null,
    added_by text not null,
    unique (model_id, version)
);

create table fleet.transcripts (
    session_id text primary key,
    device_id bigint not null references fleet.devices on delete cascade,
    ended_at timestamptz not null,
    lines jsonb not null
);
create index transcripts_device on fleet.transcripts (device_id, ended_at desc);

create table fleet.wake_queue (
    device_id bigint primary key references fleet.devices on delete cascade,
    asked_at timestamptz not null,
    asked_by text not null,
    tries integer not null default 0,
    next_at timestamptz not null
);
create index wake_queue_next on fleet.wake_queue (next_at);

-- Counted by the worker, so that a page over three million devices reads some thousand rows.
create table fleet.summary (
    model_id integer not null,
    software_version text not null,
    life text not null,
    region text not null,
    devices bigint not null,
    counted_at timestamptz not null,
    primary key (model_id, software_version, life, region)
);

create table fleet.outbox (
    entry_id bigint generated always as identity primary key,
    kind text not null check (kind in ('bootstrapped', 'bound', 'refused', 'replacement_pending', 'replaced', 'firmware', 'transfer', 'life')),
    device_id bigint not null,
    detail jsonb not null,
    written_at timestamptz not null
);

-- Who claimed to be a device that they are not, or used a closed identity. One row however often; the first one is announced.
create table fleet.refusals (
    proven_name text not null,
    oui text not null,
    product_class text not null,
    serial_number text not null,
    reason text not null,
    peer_ip text not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    times bigint not null,
    primary key (proven_name, oui, product_class, serial_number, reason)
);
create index refusals_recent on fleet.refusals (last_at desc);

-- A reading of a device's whole tree that was asked for: what is still to be asked. It goes on at the next Inform.
create table fleet.discoveries (
    device_id bigint primary key references fleet.devices on delete cascade,
    explore text[] not null,
    read text[] not null,
    asked_at timestamptz not null
);
