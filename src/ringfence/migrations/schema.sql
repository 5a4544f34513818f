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
    changed_at timestamptz not null
);
create index accounts_slot on subscribers.accounts (slot);
create index accounts_revision on subscribers.accounts (revision);
create index accounts_customer on subscribers.accounts (customer) where customer <> '';

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
    kind text not null check (kind in ('accounts', 'networks')),
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
