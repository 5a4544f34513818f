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

create table detection.outbox (
    entry_id bigint generated always as identity primary key,
    kind text not null check (kind in ('rules', 'rates', 'holidays')),
    version integer not null,
    written_at timestamptz not null
);
