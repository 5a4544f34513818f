-- Who is behind an account: customers, the lines they have, and how to reach them. None of the three refers to another by a key: operators
-- send them as separate files, in any order. Customers and lines that end stay, marked; a contact that ends is deleted.
create table subscribers.customers (
    customer text primary key,
    name text not null default '',
    name_folded text not null default '',
    segment text not null default 'residential' check (segment in ('residential', 'business', 'trunk')),
    since_at timestamptz,
    removed boolean not null default false,
    changed_at timestamptz not null
);
create index customers_beginning on subscribers.customers (customer text_pattern_ops);
create index customers_name on subscribers.customers (name_folded text_pattern_ops) where name_folded <> '' and not removed;

create table subscribers.lines (
    line text primary key,
    customer text not null default '',
    access_node text not null default '',
    region text not null default '',
    removed boolean not null default false,
    changed_at timestamptz not null
);
create index lines_beginning on subscribers.lines (line text_pattern_ops);
create index lines_customer on subscribers.lines (customer, line) where customer <> '';

create table subscribers.contacts (
    customer text not null,
    kind text not null check (kind in ('mail', 'phone', 'post')),
    value text not null,
    changed_at timestamptz not null,
    primary key (customer, kind, value)
);

alter table subscribers.accounts add column line text not null default '';
create index accounts_line on subscribers.accounts (line) where line <> '';

alter table subscribers.imports drop constraint imports_kind_check;
alter table subscribers.imports add constraint imports_kind_check
    check (kind in ('accounts', 'networks', 'customers', 'lines', 'contacts'));
