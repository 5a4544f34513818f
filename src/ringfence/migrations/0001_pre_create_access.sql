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
