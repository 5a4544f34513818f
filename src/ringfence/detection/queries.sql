-- add_step --
-- Every message of an episode once, whatever is delivered again.
insert into detection.alert_steps (alert_id, step, state, severity, score, cost_micro, reason, evidence, occurred_at)
values (%(alert_id)s, %(step)s, %(state)s, %(severity)s, %(score)s, %(cost_micro)s, %(reason)s, %(evidence)s::jsonb,
    ringfence.at(%(at_ms)s))
on conflict (alert_id, step) do nothing returning step;

-- put_alert --
-- The highest step counts, whatever order they arrive in; the earliest time seen is when it opened.
insert into detection.alerts as a (alert_id, step, state, rule, rule_version, severity, subject_kind, subject_value, account, score,
    cost_micro, reason, evidence, opened_at, changed_at, closed_at)
values (%(alert_id)s, %(step)s, %(state)s, %(rule)s, %(rule_version)s, %(severity)s, %(subject_kind)s, %(subject_value)s, %(account)s,
    %(score)s, %(cost_micro)s, %(reason)s, %(evidence)s::jsonb, ringfence.at(%(at_ms)s), ringfence.at(%(at_ms)s),
    case when %(state)s = 'close' then ringfence.at(%(at_ms)s) end)
on conflict (alert_id) do update set
    opened_at = least(a.opened_at, excluded.opened_at),
    step = greatest(a.step, excluded.step),
    state = case when excluded.step > a.step then excluded.state else a.state end,
    severity = case when excluded.step > a.step then excluded.severity else a.severity end,
    score = case when excluded.step > a.step then excluded.score else a.score end,
    cost_micro = case when excluded.step > a.step then excluded.cost_micro else a.cost_micro end,
    reason = case when excluded.step > a.step then excluded.reason else a.reason end,
    evidence = case when excluded.step > a.step then excluded.evidence else a.evidence end,
    changed_at = case when excluded.step > a.step then excluded.changed_at else a.changed_at end,
    closed_at = case when excluded.step > a.step then excluded.closed_at else a.closed_at end;

-- find_alert --
select alert_id, step, state, rule, rule_version, severity, subject_kind, subject_value, account, score, cost_micro, reason,
    evidence::text as evidence, ringfence.ms(opened_at) as opened_ms, ringfence.ms(changed_at) as changed_ms,
    ringfence.ms(closed_at) as closed_ms, ringfence.ms(acknowledged_at) as acknowledged_ms,
    coalesce(acknowledged_by, '') as acknowledged_by, coalesce(feedback, '') as feedback, ringfence.ms(feedback_at) as feedback_ms,
    coalesce(feedback_by, '') as feedback_by, feedback_note
from detection.alerts where alert_id = %(alert_id)s;

-- list_alerts --
-- Newest first; an empty filter matches everything; `running` leaves out closed episodes.
select alert_id, step, state, rule, rule_version, severity, subject_kind, subject_value, account, score, cost_micro, reason,
    evidence::text as evidence, ringfence.ms(opened_at) as opened_ms, ringfence.ms(changed_at) as changed_ms,
    ringfence.ms(closed_at) as closed_ms, ringfence.ms(acknowledged_at) as acknowledged_ms,
    coalesce(acknowledged_by, '') as acknowledged_by, coalesce(feedback, '') as feedback, ringfence.ms(feedback_at) as feedback_ms,
    coalesce(feedback_by, '') as feedback_by, feedback_note
from detection.alerts
where (%(state)s = '' or state = %(state)s)
  and (not %(running)s or state <> 'close')
  and (not %(unacknowledged)s or acknowledged_at is null)
  and (%(rule)s = '' or rule = %(rule)s)
  and (%(severity)s = '' or severity = %(severity)s)
  and (%(account)s = '' or account = %(account)s)
  and (%(since_ms)s::bigint = 0 or opened_at >= ringfence.at(%(since_ms)s))
  and (%(before_ms)s::bigint = 0 or (opened_at, alert_id) < (ringfence.at(%(before_ms)s), %(before_id)s))
order by opened_at desc, alert_id desc limit %(limit)s;

-- list_steps --
select step, state, severity, score, cost_micro, reason, evidence::text as evidence, ringfence.ms(occurred_at) as at_ms
from detection.alert_steps where alert_id = %(alert_id)s order by step limit 1000;

-- acknowledge --
-- The first person counts.
update detection.alerts set acknowledged_at = ringfence.at(%(now_ms)s), acknowledged_by = %(by)s
where alert_id = %(alert_id)s and acknowledged_at is null returning alert_id;

-- give_feedback --
update detection.alerts set feedback = %(feedback)s, feedback_at = ringfence.at(%(now_ms)s), feedback_by = %(by)s, feedback_note = %(note)s
where alert_id = %(alert_id)s returning alert_id;

-- lock_versions --
select pg_advisory_xact_lock(hashtext('detection.versions'));

-- add_rule_set --
insert into detection.rule_sets (version, toml, note, author, saved_at)
select coalesce(max(version), 0) + 1, %(toml)s, %(note)s, %(by)s, ringfence.at(%(now_ms)s) from detection.rule_sets returning version;

-- activate_rule_set --
update detection.rule_sets set activated_at = ringfence.at(%(now_ms)s), activated_by = %(by)s where version = %(version)s returning version;

-- list_rule_sets --
select version, note, author, ringfence.ms(saved_at) as saved_ms, ringfence.ms(activated_at) as activated_ms,
    coalesce(activated_by, '') as activated_by, activated_at is not null and activated_at = max(activated_at) over () as active
from detection.rule_sets order by version desc limit 200;

-- find_rule_set --
select version, toml, note, author, ringfence.ms(saved_at) as saved_ms, ringfence.ms(activated_at) as activated_ms,
    coalesce(activated_by, '') as activated_by
from detection.rule_sets where version = %(version)s;

-- active_rule_set --
select version, toml from detection.rule_sets where activated_at is not null order by activated_at desc, version desc limit 1;

-- add_rate_deck --
insert into detection.rate_decks (version, csv, prefixes, author, saved_at)
select coalesce(max(version), 0) + 1, %(csv)s, %(prefixes)s, %(by)s, ringfence.at(%(now_ms)s) from detection.rate_decks returning version;

-- list_rate_decks --
select version, prefixes, author, ringfence.ms(saved_at) as saved_ms from detection.rate_decks order by version desc limit 200;

-- newest_rate_deck --
select version, csv, prefixes, author, ringfence.ms(saved_at) as saved_ms from detection.rate_decks order by version desc limit 1;

-- put_holidays --
-- Nothing comes back when these were the holidays already.
insert into detection.holidays as h (days, time_zone) values (%(days)s::date[], %(time_zone)s)
on conflict (only_row) do update set days = excluded.days, time_zone = excluded.time_zone
where (h.days, h.time_zone) is distinct from (excluded.days, excluded.time_zone) returning only_row;

-- read_holidays --
select array(select to_char(day, 'YYYY-MM-DD') from unnest(days) day) as days, time_zone from detection.holidays;

-- add_to_outbox --
insert into detection.outbox (kind, version, written_at, subject)
values (%(kind)s, %(version)s, ringfence.at(%(now_ms)s), %(subject)s);

-- read_outbox --
select entry_id, kind, version, subject from detection.outbox order by entry_id limit %(limit)s;

-- settle_outbox --
delete from detection.outbox where entry_id = any(%(entries)s::bigint[]);

-- put_attack --
-- Steps come in order; one that was taken already changes nothing, and nothing comes back for it.
insert into detection.attacks as a (attack_id, step, state, accounts, facets, reason, opened_at, changed_at, closed_at, merged_into)
values (%(attack_id)s, %(step)s, %(state)s, %(accounts)s, %(facets)s::jsonb, %(reason)s, ringfence.at(%(at_ms)s), ringfence.at(%(at_ms)s),
    case when %(state)s in ('close', 'merge') then ringfence.at(%(at_ms)s) end, nullif(%(merged_into)s, ''))
on conflict (attack_id) do update set step = excluded.step, state = excluded.state, accounts = excluded.accounts, facets = excluded.facets,
    reason = excluded.reason, changed_at = excluded.changed_at, closed_at = excluded.closed_at, merged_into = excluded.merged_into
where excluded.step > a.step returning attack_id;

-- add_attack_alerts --
insert into detection.attack_alerts (alert_id, attack_id) select distinct unnest(%(alerts)s::text[]), %(attack_id)s
on conflict (alert_id) do update set attack_id = excluded.attack_id;

-- move_attack_alerts --
update detection.attack_alerts set attack_id = %(merged_into)s where attack_id = %(attack_id)s;

-- list_attacks --
-- Newest first, with what its alerts say now; those that became part of another one are left out. An account's alerts count the same
-- calls, so the dearest of them stands for the account.
with chosen as (
    select * from detection.attacks
    where (%(attack_id)s = '' and merged_into is null or attack_id = %(attack_id)s) and (not %(running)s or closed_at is null)
    order by opened_at desc, attack_id desc limit %(limit)s
), by_account as (
    select m.attack_id, t.account, count(*) as alerts, count(*) filter (where t.severity = 'critical') as critical,
        max(t.cost_micro) as cost_micro,
        max((t.evidence -> 'observed' ->> 'eur_per_minute')::numeric) filter (where t.state <> 'close') as eur_per_minute
    from chosen join detection.attack_alerts m using (attack_id) join detection.alerts t using (alert_id)
    group by m.attack_id, t.account
)
select a.attack_id, a.state, a.accounts, a.facets::text as facets, a.reason, ringfence.ms(a.opened_at) as opened_ms,
    ringfence.ms(a.changed_at) as changed_ms, ringfence.ms(a.closed_at) as closed_ms, coalesce(a.merged_into, '') as merged_into,
    coalesce(sum(b.alerts), 0)::bigint as alerts, coalesce(sum(b.critical), 0)::bigint as critical,
    coalesce(sum(b.cost_micro), 0)::bigint as cost_micro, coalesce(sum(b.eur_per_minute), 0)::float8 as eur_per_minute
from chosen a left join by_account b using (attack_id)
group by a.attack_id, a.state, a.accounts, a.facets, a.reason, a.opened_at, a.changed_at, a.closed_at, a.merged_into
order by a.opened_at desc, a.attack_id desc;

-- list_attack_alerts --
-- The dearest first.
select t.alert_id, t.step, t.state, t.rule, t.rule_version, t.severity, t.subject_kind, t.subject_value, t.account, t.score, t.cost_micro,
    t.reason, t.evidence::text as evidence, ringfence.ms(t.opened_at) as opened_ms, ringfence.ms(t.changed_at) as changed_ms,
    ringfence.ms(t.closed_at) as closed_ms, ringfence.ms(t.acknowledged_at) as acknowledged_ms,
    coalesce(t.acknowledged_by, '') as acknowledged_by, coalesce(t.feedback, '') as feedback, ringfence.ms(t.feedback_at) as feedback_ms,
    coalesce(t.feedback_by, '') as feedback_by, t.feedback_note
from detection.attack_alerts m join detection.alerts t using (alert_id)
where m.attack_id = %(attack_id)s order by t.cost_micro desc, t.alert_id limit %(limit)s;

-- attack_of_alert --
select attack_id from detection.attack_alerts where alert_id = %(alert_id)s;

-- add_composed_rule --
insert into detection.composed_rules (rule_id, state, version, changed_at, changed_by)
values (%(rule_id)s, 'draft', 0, ringfence.at(%(now_ms)s), %(by)s) on conflict (rule_id) do nothing;

-- add_composed_version --
insert into detection.composed_versions (rule_id, version, toml, title, note, author, saved_at)
select %(rule_id)s, coalesce(max(version), 0) + 1, %(toml)s, %(title)s, %(note)s, %(by)s, ringfence.at(%(now_ms)s)
from detection.composed_versions where rule_id = %(rule_id)s returning version;

-- count_composed_in_force --
select count(*) as rules from detection.composed_rules where state in ('probation', 'active');

-- list_composed --
-- Precision is of people's answers to the rule's alerts; an alert of built-in rules never counts here.
select r.rule_id, r.state, r.version, ringfence.ms(r.changed_at) as changed_ms, r.changed_by, v.version as newest, v.toml, v.title, v.note,
    v.author, ringfence.ms(v.saved_at) as saved_ms, a.alerts, a.fraud, a.not_fraud, a.unsure
from detection.composed_rules r
join lateral (select * from detection.composed_versions v where v.rule_id = r.rule_id order by v.version desc limit 1) v on true
cross join lateral (
    select count(*) as alerts, count(*) filter (where feedback = 'fraud') as fraud,
        count(*) filter (where feedback = 'not_fraud') as not_fraud, count(*) filter (where feedback = 'unsure') as unsure
    from detection.alerts where rule = r.rule_id
) a
where %(rule_id)s = '' or r.rule_id = %(rule_id)s
order by array_position(array['active', 'probation', 'draft', 'retired'], r.state), r.rule_id limit 1000;

-- list_composed_versions --
select v.version, v.toml, v.title, v.note, v.author, ringfence.ms(v.saved_at) as saved_ms, a.alerts, a.fraud, a.not_fraud
from detection.composed_versions v
cross join lateral (
    select count(*) as alerts, count(*) filter (where feedback = 'fraud') as fraud, count(*) filter (where feedback = 'not_fraud') as not_fraud
    from detection.alerts where rule = v.rule_id and rule_version = v.version
) a
where v.rule_id = %(rule_id)s order by v.version desc limit 200;

-- list_composed_changes --
select version, state, ringfence.ms(changed_at) as changed_ms, changed_by, note
from detection.composed_changes where rule_id = %(rule_id)s order by changed_at desc limit 200;

-- find_composed_version --
select toml from detection.composed_versions where rule_id = %(rule_id)s and version = %(version)s;

-- set_composed_state --
update detection.composed_rules set state = %(state)s, version = %(version)s, changed_at = ringfence.at(%(now_ms)s), changed_by = %(by)s
where rule_id = %(rule_id)s returning rule_id;

-- add_composed_change --
insert into detection.composed_changes (rule_id, version, state, changed_at, changed_by, note)
values (%(rule_id)s, %(version)s, %(state)s, ringfence.at(%(now_ms)s), %(by)s, %(note)s)
on conflict (rule_id, changed_at) do update set version = excluded.version, state = excluded.state, note = excluded.note;

-- told_composed --
-- What the log has to say of rules that ever were in force.
select r.rule_id, r.version, r.state, v.toml from detection.composed_rules r
join detection.composed_versions v using (rule_id, version)
where r.state <> 'draft' and (%(rule_id)s = '' or r.rule_id = %(rule_id)s) order by r.rule_id;

-- account_labels --
-- What is known of accounts: by people, and by built-in rules whose alerts nobody called wrong.
select account, bool_or(feedback = 'fraud') is true as fraud, bool_or(feedback = 'not_fraud') is true as not_fraud,
    bool_or(rule not like 'X-%%' and feedback is distinct from 'not_fraud') as alerted
from detection.alerts where account <> '' and (%(since_ms)s::bigint = 0 or opened_at >= ringfence.at(%(since_ms)s))
group by account order by account limit 200000;

-- list_labels --
select alert_id, rule, rule_version, subject_kind, subject_value, account, severity, score, cost_micro, ringfence.ms(opened_at) as opened_ms,
    feedback, ringfence.ms(feedback_at) as feedback_ms, feedback_by, feedback_note
from detection.alerts where feedback is not null and (%(since_ms)s::bigint = 0 or feedback_at >= ringfence.at(%(since_ms)s))
order by feedback_at desc, alert_id limit %(limit)s;
