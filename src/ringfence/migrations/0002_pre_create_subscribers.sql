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
