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

alter table detection.outbox drop constraint outbox_kind_check;
alter table detection.outbox add constraint outbox_kind_check check (kind in ('rules', 'rates', 'holidays', 'composed'));
alter table detection.outbox add column subject text not null default '';
