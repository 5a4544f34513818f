-- count_users --
-- How many people there are; 0 before the first administrator.
select count(*) as users from access.users;

-- find_user_by_name --
select user_id, name, password_hash, must_change_password, totp_secret, totp_step, disabled
from access.users where name = %(name)s;

-- find_credentials --
select user_id, name, password_hash, must_change_password, totp_secret, totp_pending, totp_step, disabled
from access.users where user_id = %(user_id)s for update;

-- list_users --
select u.user_id, u.name, u.disabled, u.must_change_password, u.totp_secret is not null as totp_enrolled,
    ringfence.ms(u.created_at) as created_ms, ringfence.ms(u.signed_in_at) as signed_in_ms,
    coalesce(array_agg(r.role order by r.role) filter (where r.role is not null), '{}') as roles
from access.users u left join access.user_roles r using (user_id)
group by u.user_id order by u.name limit 1000;

-- add_user --
-- Nothing comes back when the name is taken.
insert into access.users (user_id, name, password_hash, must_change_password, created_at)
values (%(user_id)s, %(name)s, %(password_hash)s, true, ringfence.at(%(now_ms)s))
on conflict (name) do nothing returning user_id;

-- lock_users --
-- One at a time: the first administrator is made once, and the last one is never lost between two requests.
select pg_advisory_xact_lock(hashtext('access.users'));

-- clear_roles --
delete from access.user_roles where user_id = %(user_id)s;

-- add_roles --
insert into access.user_roles (user_id, role) select %(user_id)s, unnest(%(roles)s::text[]);

-- count_administrators --
select count(*) as administrators
from access.users u join access.user_roles r using (user_id) where r.role = 'administrator' and not u.disabled;

-- count_holders --
-- People who can sign in and hold one of these roles.
select count(distinct u.user_id) as holders
from access.users u join access.user_roles r using (user_id)
where r.role = any(%(roles)s::text[]) and not u.disabled and not u.must_change_password;

-- set_password --
update access.users set password_hash = %(password_hash)s, must_change_password = %(must_change)s where user_id = %(user_id)s;

-- set_disabled --
update access.users set disabled = %(disabled)s where user_id = %(user_id)s;

-- set_signed_in --
update access.users set signed_in_at = ringfence.at(%(now_ms)s) where user_id = %(user_id)s;

-- set_totp_pending --
update access.users set totp_pending = %(secret)s where user_id = %(user_id)s;

-- confirm_totp --
update access.users set totp_secret = totp_pending, totp_pending = null, totp_step = %(step)s where user_id = %(user_id)s;

-- remove_totp --
update access.users set totp_secret = null, totp_pending = null, totp_step = 0 where user_id = %(user_id)s;

-- use_totp_step --
-- Each step once, whoever is first: a replayed code finds no row.
update access.users set totp_step = %(step)s where user_id = %(user_id)s and totp_step < %(step)s returning user_id;

-- add_session --
insert into access.sessions (token_hash, user_id, network, created_at, expires_at)
values (%(token_hash)s, %(user_id)s, %(network)s, ringfence.at(%(now_ms)s), ringfence.at(%(expires_ms)s));

-- find_session --
select u.user_id, u.name, u.must_change_password, ringfence.ms(s.expires_at) as expires_ms,
    array(select r.role from access.user_roles r where r.user_id = u.user_id) as roles
from access.sessions s join access.users u using (user_id)
where s.token_hash = %(token_hash)s and s.expires_at > ringfence.at(%(now_ms)s) and not u.disabled;

-- end_session --
delete from access.sessions where token_hash = %(token_hash)s returning user_id;

-- end_sessions --
delete from access.sessions where user_id = %(user_id)s;

-- sweep_sessions --
delete from access.sessions where token_hash in (
    select token_hash from access.sessions where expires_at <= ringfence.at(%(now_ms)s) limit 100 for update skip locked);

-- add_token --
insert into access.tokens (token_id, token_hash, user_id, label, created_at, expires_at)
values (%(token_id)s, %(token_hash)s, %(user_id)s, %(label)s, ringfence.at(%(now_ms)s), ringfence.at(%(expires_ms)s));

-- find_token --
select t.token_id, u.user_id, u.name, u.must_change_password, ringfence.ms(t.expires_at) as expires_ms,
    ringfence.ms(t.used_at) as used_ms, array(select r.role from access.user_roles r where r.user_id = u.user_id) as roles
from access.tokens t join access.users u using (user_id)
where t.token_hash = %(token_hash)s and t.revoked_at is null and t.expires_at > ringfence.at(%(now_ms)s) and not u.disabled;

-- set_token_used --
update access.tokens set used_at = ringfence.at(%(now_ms)s) where token_id = %(token_id)s;

-- list_tokens --
select token_id, user_id, label, ringfence.ms(created_at) as created_ms, ringfence.ms(expires_at) as expires_ms,
    ringfence.ms(used_at) as used_ms
from access.tokens where user_id = %(user_id)s and revoked_at is null order by created_at desc limit 200;

-- revoke_token --
update access.tokens set revoked_at = ringfence.at(%(now_ms)s)
where token_id = %(token_id)s and revoked_at is null returning user_id, label;

-- revoke_tokens --
update access.tokens set revoked_at = ringfence.at(%(now_ms)s) where user_id = %(user_id)s and revoked_at is null;

-- lock_failure --
-- Whether or not the row is there yet, so that two attempts at once count as two.
select pg_advisory_xact_lock(hashtextextended(encode(%(key)s::bytea, 'hex'), 0));

-- read_failures --
select key, failures, ringfence.ms(last_at) as last_ms from access.sign_in_failures where key = any(%(keys)s::bytea[]);

-- book_failure --
-- A counter that rested for a window starts again at one.
insert into access.sign_in_failures as f (key, failures, last_at)
values (%(key)s, 1, ringfence.at(%(now_ms)s))
on conflict (key) do update set
    failures = case when f.last_at <= ringfence.at(%(forgotten_ms)s) then 1 else least(f.failures + 1, 1000000) end,
    last_at = ringfence.at(%(now_ms)s);

-- forgive_failure --
update access.sign_in_failures set failures = greatest(failures - 1, 0) where key = any(%(keys)s::bytea[]);

-- clear_failures --
delete from access.sign_in_failures where key = %(key)s;

-- sweep_failures --
delete from access.sign_in_failures where key in (
    select key from access.sign_in_failures where last_at <= ringfence.at(%(forgotten_ms)s) limit 100 for update skip locked);

-- is_known_network --
select 1 as known from access.known_networks where user_id = %(user_id)s and network = %(network)s;

-- remember_network --
insert into access.known_networks (user_id, network, signed_in_at)
values (%(user_id)s, %(network)s, ringfence.at(%(now_ms)s))
on conflict (user_id, network) do update set signed_in_at = excluded.signed_in_at;

-- forget_networks --
-- The twenty latest networks of a person are enough.
delete from access.known_networks where user_id = %(user_id)s and network not in (
    select network from access.known_networks where user_id = %(user_id)s order by signed_in_at desc limit 20);

-- lock_audit_head --
select entry_id, digest from access.audit_head for update;

-- append_audit --
insert into access.audit (entry_id, occurred_at, actor, action, subject, detail, digest)
values (%(entry_id)s, ringfence.at(%(at_ms)s), %(actor)s, %(action)s, %(subject)s, %(detail)s, %(digest)s);

-- move_audit_head --
update access.audit_head set entry_id = %(entry_id)s, digest = %(digest)s;

-- claim_source --
-- Nothing comes back when the entry was made before.
insert into access.audit_sources (source, recorded_at) values (%(source)s, ringfence.at(%(now_ms)s))
on conflict (source) do nothing returning source;

-- sweep_sources --
delete from access.audit_sources where source in (
    select source from access.audit_sources where recorded_at <= ringfence.at(%(before_ms)s) limit 100 for update skip locked);

-- read_audit_head --
select entry_id, digest from access.audit_head;

-- begin_snapshot --
set transaction isolation level repeatable read, read only;

-- read_chain --
select entry_id, ringfence.ms(occurred_at) as at_ms, actor, action, subject, detail, digest
from access.audit where entry_id > %(after)s order by entry_id limit %(limit)s;

-- list_audit --
-- Newest first; an empty filter matches everything.
select entry_id, ringfence.ms(occurred_at) as at_ms, actor, action, subject, detail, digest
from access.audit
where (%(before)s::bigint = 0 or entry_id < %(before)s)
  and (%(actor)s = '' or actor = %(actor)s)
  and (%(action)s = '' or action = %(action)s)
  and (%(subject)s = '' or subject = %(subject)s)
order by entry_id desc limit %(limit)s;

-- list_on_call --
select o.position, u.name, o.contact from access.on_call o join access.users u using (user_id)
where not u.disabled order by o.position;

-- clear_on_call --
delete from access.on_call;

-- add_on_call --
insert into access.on_call (position, user_id, contact)
select %(position)s, user_id, %(contact)s from access.users where name = %(name)s and not disabled returning position;

-- open_page --
-- Once per alert, however often it is announced.
insert into access.pages (alert_id, message, everyone, opened_at, next_at)
values (%(alert_id)s, %(message)s, %(everyone)s, ringfence.at(%(now_ms)s), ringfence.at(%(now_ms)s))
on conflict (alert_id) do nothing returning alert_id;

-- due_pages --
select alert_id, message, everyone, ringfence.ms(opened_at) as opened_ms, paged from access.pages
where ended_at is null and next_at <= ringfence.at(%(now_ms)s) order by next_at limit 500;

-- move_page --
-- After the message left: a crash in between tells the same person twice, never nobody.
update access.pages set paged = paged + 1, next_at = ringfence.at(%(next_ms)s)
where alert_id = %(alert_id)s and ended_at is null and paged = %(paged)s returning alert_id;

-- end_page --
update access.pages set ended_at = ringfence.at(%(now_ms)s), ended_by = %(by)s
where alert_id = %(alert_id)s and ended_at is null returning paged;

-- end_pages --
-- Every page whose id begins so.
update access.pages set ended_at = ringfence.at(%(now_ms)s), ended_by = %(by)s
where starts_with(alert_id, %(beginning)s) and ended_at is null;

-- sweep_pages --
delete from access.pages where ended_at <= ringfence.at(%(before_ms)s);
