-- Where a device behind NAT was last seen by our STUN server, from requests that it signed (TR-069 Annex G).
create table fleet.udp_bindings (
    device_id bigint primary key references fleet.devices on delete cascade,
    address text not null,
    seen_at timestamptz not null
);
