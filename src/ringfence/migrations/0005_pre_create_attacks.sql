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
