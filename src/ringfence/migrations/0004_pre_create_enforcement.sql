-- A copy of the record in JetStream. `entry` is the whole value; the columns beside it are what pages and counts look for.
create schema enforcement;

create table enforcement.blocks (
    block_id text primary key,
    revision bigint not null,
    scope text not null check (scope in ('number', 'range', 'class', 'account', 'source')),
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
