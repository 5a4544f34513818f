-- A running call can be ended: a block of scope `call` that every edge carries out once.
alter table enforcement.blocks drop constraint blocks_scope_check;
alter table enforcement.blocks add constraint blocks_scope_check
    check (scope in ('number', 'range', 'class', 'account', 'source', 'call'));
