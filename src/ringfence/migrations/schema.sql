-- The database on one page: what all migrations together make, kept equal to them by a test.
-- One schema a room; a room writes only its own. Change it by a new migration, and here.

-- Times: columns are timestamptz and end in _at; the product speaks Unix milliseconds, 0 for "never". These two convert, exactly.
create schema ringfence;

create function ringfence.at(milliseconds bigint) returns timestamptz
    language sql immutable parallel safe
    return case when milliseconds = 0 then null else to_timestamp(milliseconds / 1000.0) end;

create function ringfence.ms(moment timestamptz) returns bigint
    language sql immutable parallel safe
    return coalesce((extract(epoch from moment) * 1000)::bigint, 0);

create schema access;

create table access.users (
    user_id text primary key,
    name text not null unique check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    password_hash text not null,
    must_change_password boolean not null,
    totp_secret text,
    totp_pending text,
    totp_step bigint not null default 0,
    disabled boolean not null default false,
    created_at timestamptz not null,
    signed_in_at timestamptz
);

create table access.user_roles (
    user_id text not null references access.users on delete cascade,
    role text not null check (role in ('analyst', 'engineer', 'lead', 'hotline', 'auditor', 'administrator')),
    primary key (user_id, role)
);

create table access.sessions (
    token_hash bytea primary key,
    user_id text not null references access.users on delete cascade,
    network text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index sessions_user on access.sessions (user_id);
create index sessions_expiry on access.sessions (expires_at);

create table access.tokens (
    token_id text primary key,
    token_hash bytea not null unique,
    user_id text not null references access.users on delete cascade,
    label text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    used_at timestamptz
);
create index tokens_user on access.tokens (user_id);

-- Failed sign-ins. The key is a hash: people type their password where the name belongs.
create table access.sign_in_failures (
    key bytea primary key,
    failures integer not null,
    last_at timestamptz not null
);
create index sign_in_failures_age on access.sign_in_failures (last_at);

create table access.known_networks (
    user_id text not null references access.users on delete cascade,
    network text not null,
    signed_in_at timestamptz not null,
    primary key (user_id, network)
);

create table access.audit (
    entry_id bigint primary key,
    occurred_at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null,
    digest text not null
);
create index audit_actor on access.audit (actor, entry_id);
create index audit_subject on access.audit (subject, entry_id);

create table access.audit_head (
    only_row boolean primary key default true check (only_row),
    entry_id bigint not null,
    digest text not null
);
insert into access.audit_head (entry_id, digest) values (0, repeat('0', 64));

create function access.refuse_change() returns trigger
    language plpgsql as $$
begin
    raise exception 'the audit chain is append only';
end
$$;

create trigger audit_append_only before update or delete or truncate on access.audit
    for each statement execute function access.refuse_change();

-- What an entry was made of, so that a message that comes again is not recorded again.
create table access.audit_sources (
    source text primary key,
    recorded_at timestamptz not null
);
create index audit_sources_age on access.audit_sources (recorded_at);

create table access.on_call (
    position integer primary key check (position between 1 and 100),
    user_id text not null references access.users on delete cascade,
    contact text not null
);

-- What the on-call line was told: a worker that starts again goes on where this says.
create table access.pages (
    alert_id text primary key,
    message text not null,
    everyone boolean not null,
    opened_at timestamptz not null,
    paged integer not null default 0,
    next_at timestamptz,
    ended_at timestamptz,
    ended_by text
);
create index pages_due on access.pages (next_at) where ended_at is null;

create schema subscribers;

-- One change of state is one revision: the outbox names revisions, not rows, so eight million imported accounts are one entry.
create sequence subscribers.revisions;

create table subscribers.accounts (
    account text primary key,
    account_key bigint not null,
    slot smallint not null check (slot between 0 and 1023),
    customer text not null default '',
    segment text not null default 'residential' check (segment in ('residential', 'business', 'trunk')),
    channels integer not null default 1 check (channels between 1 and 100000),
    since_at timestamptz,
    country text not null default '' check (country ~ '^([A-Z]{2})?$'),
    own_device boolean not null default false,
    exempt_until_at timestamptz,
    sensitivity smallint not null default 0 check (sensitivity between 0 and 100),
    removed boolean not null default false,
    revision bigint not null,
    changed_at timestamptz not null,
    line text not null default ''
);
create index accounts_slot on subscribers.accounts (slot);
create index accounts_revision on subscribers.accounts (revision);
create index accounts_customer on subscribers.accounts (customer) where customer <> '';
create index accounts_line on subscribers.accounts (line) where line <> '';

-- Who is behind an account: customers, the lines they have, and how to reach them. None of the three refers to another by a key: operators
-- send them as separate files, in any order. Customers and lines that end stay, marked; a contact that ends is deleted.
create table subscribers.customers (
    customer text primary key,
    name text not null default '',
    name_folded text not null default '',
    segment text not null default 'residential' check (segment in ('residential', 'business', 'trunk')),
    since_at timestamptz,
    removed boolean not null default false,
    changed_at timestamptz not null
);
create index customers_beginning on subscribers.customers (customer text_pattern_ops);
create index customers_name on subscribers.customers (name_folded text_pattern_ops) where name_folded <> '' and not removed;

create table subscribers.lines (
    line text primary key,
    customer text not null default '',
    access_node text not null default '',
    region text not null default '',
    removed boolean not null default false,
    changed_at timestamptz not null
);
create index lines_beginning on subscribers.lines (line text_pattern_ops);
create index lines_customer on subscribers.lines (customer, line) where customer <> '';

create table subscribers.contacts (
    customer text not null,
    kind text not null check (kind in ('mail', 'phone', 'post')),
    value text not null,
    changed_at timestamptz not null,
    primary key (customer, kind, value)
);

-- Which line held which address: a row for each address or prefix of a session, as RADIUS accounting or DHCP tells it. A name of a session
-- comes again when a NAS begins anew, so its beginning is part of the key. Interim updates change `last_seen_at` alone, which no index has.
create table subscribers.access_sessions (
    nas text not null,
    acct_session_id text not null,
    prefix inet not null,
    line text not null default '',
    access_node text not null default '',
    origin text not null check (origin in ('radius', 'dhcp')),
    started_at timestamptz not null,
    last_seen_at timestamptz not null,
    ended_at timestamptz,
    ended_by text not null default '' check (ended_by in ('', 'stop', 'nas', 'taken', 'lease')),
    primary key (nas, acct_session_id, prefix, started_at)
) with (fillfactor = 85);
create index access_sessions_prefix on subscribers.access_sessions (prefix, started_at);
create index access_sessions_line on subscribers.access_sessions (line, started_at) where line <> '';
create index access_sessions_ended on subscribers.access_sessions (ended_at) where ended_at is not null;

create table subscribers.networks (
    prefix cidr primary key,
    kind text not null check (kind in ('own_pool', 'cgnat', 'peer', 'monitoring')),
    comment text not null default ''
);
create index networks_prefix on subscribers.networks using gist (prefix inet_ops);

create table subscribers.network_version (
    only_row boolean primary key default true check (only_row),
    version bigint not null,
    changed_at timestamptz
);
insert into subscribers.network_version (version) values (0);

create table subscribers.outbox (
    entry_id bigint generated always as identity primary key,
    kind text not null check (kind in ('accounts', 'networks')),
    revision bigint not null,
    written_at timestamptz not null
);

create table subscribers.imports (
    import_id text primary key,
    kind text not null check (kind in ('accounts', 'networks', 'customers', 'lines', 'contacts', 'sessions')),
    author text not null,
    finished_at timestamptz not null,
    rows_read bigint not null,
    rows_bad bigint not null,
    rows_added bigint not null,
    rows_changed bigint not null,
    rows_removed bigint not null,
    rows_same bigint not null
);
create index imports_recent on subscribers.imports (finished_at desc);

create schema detection;

create table detection.alerts (
    alert_id text primary key,
    step integer not null,
    state text not null check (state in ('open', 'update', 'close')),
    rule text not null,
    rule_version integer not null,
    severity text not null check (severity in ('info', 'warning', 'critical')),
    subject_kind text not null,
    subject_value text not null,
    account text not null default '',
    score integer not null,
    cost_micro bigint not null,
    reason text not null,
    evidence jsonb not null,
    opened_at timestamptz not null,
    changed_at timestamptz not null,
    closed_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text,
    feedback text check (feedback in ('fraud', 'not_fraud', 'unsure')),
    feedback_at timestamptz,
    feedback_by text,
    feedback_note text not null default ''
);
create index alerts_recent on detection.alerts (opened_at desc, alert_id desc);
create index alerts_running on detection.alerts (severity, opened_at desc) where state <> 'close';
create index alerts_account on detection.alerts (account, opened_at desc) where account <> '';
create index alerts_rule on detection.alerts (rule, opened_at desc);

create table detection.alert_steps (
    alert_id text not null,
    step integer not null,
    state text not null,
    severity text not null,
    score integer not null,
    cost_micro bigint not null,
    reason text not null,
    evidence jsonb not null,
    occurred_at timestamptz not null,
    primary key (alert_id, step)
);

create table detection.rule_sets (
    version integer primary key,
    toml text not null,
    note text not null,
    author text not null,
    saved_at timestamptz not null,
    activated_at timestamptz,
    activated_by text
);

create table detection.rate_decks (
    version integer primary key,
    csv text not null,
    prefixes integer not null,
    author text not null,
    saved_at timestamptz not null
);

create table detection.holidays (
    only_row boolean primary key default true check (only_row),
    days date[] not null,
    time_zone text not null
);

create table detection.attacks (
    attack_id text primary key,
    step integer not null,
    state text not null check (state in ('open', 'join', 'close', 'merge')),
    accounts integer not null,
    facets jsonb not null,
    reason text not null,
    opened_at timestamptz not null,
    changed_at timestamptz not null,
    closed_at timestamptz,
    merged_into text
);
create index attacks_recent on detection.attacks (opened_at desc, attack_id desc);

create table detection.attack_alerts (
    alert_id text primary key,
    attack_id text not null
);
create index attack_alerts_attack on detection.attack_alerts (attack_id);

create table detection.outbox (
    entry_id bigint generated always as identity primary key,
    kind text not null check (kind in ('rules', 'rates', 'holidays', 'composed')),
    version integer not null,
    written_at timestamptz not null,
    subject text not null default ''
);

create table detection.composed_rules (
    rule_id text primary key,
    state text not null check (state in ('draft', 'probation', 'active', 'retired')),
    version integer not null,
    changed_at timestamptz not null,
    changed_by text not null
);

create table detection.composed_versions (
    rule_id text not null references detection.composed_rules,
    version integer not null,
    toml text not null,
    title text not null,
    note text not null,
    author text not null,
    saved_at timestamptz not null,
    primary key (rule_id, version)
);

-- Each change of state, with what the preview said when somebody confirmed it.
create table detection.composed_changes (
    rule_id text not null references detection.composed_rules,
    version integer not null,
    state text not null,
    changed_at timestamptz not null,
    changed_by text not null,
    note text not null,
    primary key (rule_id, changed_at)
);

create index alerts_feedback on detection.alerts (feedback_at desc) where feedback is not null;

-- A copy of the record in JetStream. `entry` is the whole value; the columns beside it are what pages and counts look for.
create schema enforcement;

create table enforcement.blocks (
    block_id text primary key,
    revision bigint not null,
    scope text not null check (scope in ('number', 'range', 'class', 'account', 'source', 'call')),
    value text not null,
    destination_class smallint not null,
    state text not null check (state in ('active', 'lifted', 'expired')),
    account text not null,
    alert_id text not null,
    origin text not null,
    imposed_at timestamptz not null,
    until_at timestamptz not null,
    ended_at timestamptz,
    entry jsonb not null
);
create index blocks_recent on enforcement.blocks (imposed_at desc, block_id desc);
create index blocks_active on enforcement.blocks (scope, imposed_at desc) where state = 'active';
create index blocks_value on enforcement.blocks (value text_pattern_ops);
create index blocks_account on enforcement.blocks (account, imposed_at desc) where account <> '';
create index blocks_alert on enforcement.blocks (alert_id) where alert_id <> '';

create table enforcement.exemptions (
    exemption_id text primary key,
    revision bigint not null,
    scope text not null check (scope in ('account', 'number', 'source')),
    value text not null,
    owner text not null,
    created_at timestamptz not null,
    until_at timestamptz not null,
    ended_at timestamptz,
    entry jsonb not null
);
create index exemptions_value on enforcement.exemptions (value);
create index exemptions_running on enforcement.exemptions (until_at) where ended_at is null;

create table enforcement.proposals (
    proposal_id text primary key,
    revision bigint not null,
    state text not null check (state in ('open', 'approved', 'rejected', 'expired')),
    account text not null,
    alert_id text not null,
    created_at timestamptz not null,
    until_at timestamptz not null,
    entry jsonb not null
);
create index proposals_recent on enforcement.proposals (created_at desc, proposal_id desc);
create index proposals_open on enforcement.proposals (created_at desc) where state = 'open';
create index proposals_account on enforcement.proposals (account, created_at desc) where account <> '';

create table enforcement.approvals (
    proposal_id text not null,
    person text not null,
    approved_at timestamptz not null,
    primary key (proposal_id, person)
);

create table enforcement.breakers (
    kind text primary key check (kind in ('account', 'source')),
    revision bigint not null,
    entry jsonb not null
);

create table enforcement.edges (
    edge text primary key,
    reported_at timestamptz not null,
    reachable boolean not null,
    agrees boolean not null,
    entry jsonb not null
);

-- What happened, for the history of an account: one row for each announcement, whichever came twice.
create table enforcement.history (
    name text not null,
    record_id text not null,
    revision bigint not null,
    occurred_at timestamptz not null,
    account text not null,
    value text not null,
    person text not null,
    reason text not null,
    primary key (record_id, revision, name)
);
create index history_account on enforcement.history (account, occurred_at desc) where account <> '';
create index history_recent on enforcement.history (occurred_at desc);

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
    failures integer not null default 0,
    at_line text not null default ''
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
    wanted_id bigint references fleet.wanted_orders on delete cascade,
    unique (device_id, purpose, attempt)
);
create unique index orders_open on fleet.orders (device_id, purpose) where state in ('committed', 'started');
create index orders_due on fleet.orders (deadline_at) where state in ('committed', 'started');
create index orders_wanted on fleet.orders (wanted_id) where wanted_id is not null;

-- Steps of sessions that went on over another connection, by their cookie: each is taken once, whichever process it comes to.
create table fleet.taken_steps (
    session_id text not null,
    step integer not null,
    taken_at timestamptz not null,
    primary key (session_id, step)
);
create index taken_steps_age on fleet.taken_steps (taken_at);

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
-- The file that a model's devices in stock are brought to before they are shipped.
alter table fleet.models add column stock_sha256 text references fleet.firmware on delete set null;

create table fleet.transcripts (
    session_id text primary key,
    device_id bigint not null references fleet.devices on delete cascade,
    ended_at timestamptz not null,
    lines jsonb not null
);
create index transcripts_device on fleet.transcripts (device_id, ended_at desc);
create index transcripts_age on fleet.transcripts (ended_at);

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

-- The last count of each day; devices in the field only.
create table fleet.versions_by_day (
    model_id integer not null references fleet.models,
    day date not null,
    software_version text not null,
    devices bigint not null,
    primary key (model_id, day, software_version)
);

-- What was not as wanted when the worker last compared the device. `group_name` empty: wanted of this device alone. Never a secret.
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
    refusal_id bigint generated always as identity,
    primary key (proven_name, oui, product_class, serial_number, reason)
);
create index refusals_recent on fleet.refusals (last_at desc, refusal_id desc);

-- A reading of a device's whole tree that was asked for: what is still to be asked. It goes on at the next Inform.
create table fleet.discoveries (
    device_id bigint primary key references fleet.devices on delete cascade,
    explore text[] not null,
    read text[] not null,
    asked_at timestamptz not null
);

-- Where a device behind NAT was last seen by our STUN server, from requests that it signed (TR-069 Annex G).
create table fleet.udp_bindings (
    device_id bigint primary key references fleet.devices on delete cascade,
    address text not null,
    seen_at timestamptz not null
);
