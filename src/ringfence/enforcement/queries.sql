-- put_block --
-- Newer revisions win, whatever order they arrive in.
insert into enforcement.blocks as b (block_id, revision, scope, value, destination_class, state, account, alert_id, origin, imposed_at,
    until_at, ended_at, entry)
values (%(block_id)s, %(revision)s, %(scope)s, %(value)s, %(destination_class)s, %(state)s, %(account)s, %(alert_id)s, %(origin)s,
    ringfence.at(%(imposed_ms)s), ringfence.at(%(until_ms)s), ringfence.at(%(ended_ms)s), %(entry)s::jsonb)
on conflict (block_id) do update set revision = excluded.revision, state = excluded.state, until_at = excluded.until_at,
    ended_at = excluded.ended_at, entry = excluded.entry
where b.revision < excluded.revision;

-- find_block --
select entry::text as entry from enforcement.blocks where block_id = %(block_id)s;

-- list_blocks --
-- Newest first; an empty filter matches everything. `search` is the beginning of a value.
select entry::text as entry from enforcement.blocks
where (%(state)s = '' or state = %(state)s)
  and (%(scope)s = '' or scope = %(scope)s)
  and (%(account)s = '' or account = %(account)s or (scope in ('account', 'class') and value = %(account)s))
  and (%(alert_id)s = '' or alert_id = %(alert_id)s)
  and (%(search)s = '' or value like %(beginning)s or account = %(search)s)
  and (%(before_ms)s::bigint = 0 or (imposed_at, block_id) < (ringfence.at(%(before_ms)s), %(before_id)s))
order by imposed_at desc, block_id desc limit %(limit)s;

-- count_blocks --
select scope, count(*) as blocks from enforcement.blocks
where state = 'active' and until_at > ringfence.at(%(now_ms)s) group by scope order by scope;

-- blocks_in_force --
select entry::text as entry from enforcement.blocks
where state = 'active' and until_at > ringfence.at(%(now_ms)s) order by imposed_at, block_id;

-- blocks_lifted_since --
select entry::text as entry from enforcement.blocks
where state = 'lifted' and ended_at > ringfence.at(%(since_ms)s) order by ended_at, block_id;

-- expire_blocks --
-- Nobody is left to announce their end.
update enforcement.blocks set state = 'expired', ended_at = until_at,
    entry = entry || jsonb_build_object('state', 'expired', 'ended_ms', ringfence.ms(until_at), 'ended_by', 'time')
where state = 'active' and until_at <= ringfence.at(%(now_ms)s);

-- reset_blocks --
update enforcement.blocks set revision = 0 where revision <> 0;

-- reset_exemptions --
update enforcement.exemptions set revision = 0 where revision <> 0;

-- reset_proposals --
update enforcement.proposals set revision = 0 where revision <> 0;

-- reset_breakers --
update enforcement.breakers set revision = 0 where revision <> 0;

-- put_exemption --
insert into enforcement.exemptions as e (exemption_id, revision, scope, value, owner, created_at, until_at, ended_at, entry)
values (%(exemption_id)s, %(revision)s, %(scope)s, %(value)s, %(owner)s, ringfence.at(%(created_ms)s), ringfence.at(%(until_ms)s),
    ringfence.at(%(ended_ms)s), %(entry)s::jsonb)
on conflict (exemption_id) do update set revision = excluded.revision, until_at = excluded.until_at, ended_at = excluded.ended_at,
    entry = excluded.entry
where e.revision < excluded.revision;

-- list_exemptions --
select entry::text as entry from enforcement.exemptions
where (%(running)s = false or (ended_at is null and until_at > ringfence.at(%(now_ms)s)))
  and (%(value)s = '' or value = %(value)s)
order by created_at desc limit %(limit)s::bigint;

-- put_proposal --
insert into enforcement.proposals as p (proposal_id, revision, state, account, alert_id, created_at, until_at, entry)
values (%(proposal_id)s, %(revision)s, %(state)s, %(account)s, %(alert_id)s, ringfence.at(%(created_ms)s), ringfence.at(%(until_ms)s),
    %(entry)s::jsonb)
on conflict (proposal_id) do update set revision = excluded.revision, state = excluded.state, until_at = excluded.until_at,
    entry = excluded.entry
where p.revision < excluded.revision;

-- find_proposal --
select entry::text as entry from enforcement.proposals where proposal_id = %(proposal_id)s;

-- proposals_open --
select entry::text as entry from enforcement.proposals
where state = 'open' and until_at > ringfence.at(%(now_ms)s) order by created_at, proposal_id;

-- list_proposals --
select entry::text as entry from enforcement.proposals
where (%(state)s = '' or state = %(state)s)
  and (%(state)s <> 'open' or until_at > ringfence.at(%(now_ms)s))
  and (%(account)s = '' or account = %(account)s)
  and (%(before_ms)s::bigint = 0 or (created_at, proposal_id) < (ringfence.at(%(before_ms)s), %(before_id)s))
order by created_at desc, proposal_id desc limit %(limit)s;

-- put_approval --
insert into enforcement.approvals (proposal_id, person, approved_at) values (%(proposal_id)s, %(person)s, ringfence.at(%(at_ms)s))
on conflict (proposal_id, person) do nothing;

-- list_approvals --
select proposal_id, person, ringfence.ms(approved_at) as at_ms from enforcement.approvals
where proposal_id = any(%(proposals)s::text[]) order by approved_at;

-- put_breaker --
insert into enforcement.breakers as b (kind, revision, entry) values (%(kind)s, %(revision)s, %(entry)s::jsonb)
on conflict (kind) do update set revision = excluded.revision, entry = excluded.entry where b.revision < excluded.revision;

-- list_breakers --
select entry::text as entry from enforcement.breakers order by kind;

-- block_revisions --
select block_id as id, revision from enforcement.blocks;

-- exemption_revisions --
select exemption_id as id, revision from enforcement.exemptions;

-- proposal_revisions --
select proposal_id as id, revision from enforcement.proposals;

-- put_edge --
insert into enforcement.edges as e (edge, reported_at, reachable, agrees, entry)
values (%(edge)s, ringfence.at(%(at_ms)s), %(reachable)s, %(agrees)s, %(entry)s::jsonb)
on conflict (edge) do update set reported_at = excluded.reported_at, reachable = excluded.reachable, agrees = excluded.agrees,
    entry = excluded.entry
where e.reported_at <= excluded.reported_at;

-- remove_edge --
delete from enforcement.edges where edge = %(edge)s;

-- list_edges --
select entry::text as entry from enforcement.edges order by edge;

-- add_history --
insert into enforcement.history (name, record_id, revision, occurred_at, account, value, person, reason)
values (%(name)s, %(record_id)s, %(revision)s, ringfence.at(%(at_ms)s), %(account)s, %(value)s, %(person)s, %(reason)s)
on conflict (record_id, revision, name) do nothing returning record_id;

-- list_history --
select name, record_id, ringfence.ms(occurred_at) as at_ms, account, value, person, reason from enforcement.history
where (%(account)s = '' or account = %(account)s)
  and (%(record_id)s = '' or record_id = %(record_id)s)
order by occurred_at desc, revision desc limit %(limit)s;
