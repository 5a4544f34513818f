"""Permissions, roles and actors; and that the page about permissions is complete."""

import re
from pathlib import Path

import pytest

from ringfence.access.model import ROLE_PERMISSIONS, Actor, Permission, Role, permissions_of
from ringfence.base.errors import ForbiddenError

PAGE = Path(__file__).parents[3] / "docs" / "permissions.md"


def test_every_role_has_permissions_and_every_permission_a_role_besides_the_administrator() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    held = permissions_of(frozenset(Role) - {Role.ADMINISTRATOR})
    assert set(Permission) - held == {Permission.USER_MANAGE}
    assert ROLE_PERMISSIONS[Role.ADMINISTRATOR] == set(Permission)


def test_hotline_reads_no_call_no_alert_and_no_block_and_changes_nothing() -> None:
    assert ROLE_PERMISSIONS[Role.HOTLINE] == {
        Permission.ACCOUNT_READ,
        Permission.CUSTOMER_READ,
        Permission.DEVICE_READ,
        Permission.DEVICE_WAKE,
    }


def test_auditor_reads_everything_and_changes_nothing() -> None:
    assert ROLE_PERMISSIONS[Role.AUDITOR] == {permission for permission in Permission if permission.endswith(".read")}
    assert Permission.AUDIT_READ in ROLE_PERMISSIONS[Role.AUDITOR]


def test_an_actor_with_a_one_time_password_is_refused_everything() -> None:
    fresh = Actor(user_id="u", name="anna", permissions=frozenset(), must_change_password=True)
    for permission in Permission:
        with pytest.raises(ForbiddenError) as refused:
            fresh.require(permission)
        assert refused.value.reason == "must_change_password"


def test_a_missing_permission_is_named() -> None:
    anna = Actor(user_id="u", name="anna", permissions=permissions_of(frozenset({Role.ANALYST})))
    anna.require(Permission.BLOCK_LIFT)
    with pytest.raises(ForbiddenError, match=r"anna lacks the permission rule\.write"):
        anna.require(Permission.RULE_WRITE)


def test_the_page_lists_every_permission_with_its_roles() -> None:
    rows = re.findall(r"^\| `([a-z_.]+)` \| [^|]+ \| ([a-z, ]+) \|$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert [name for name, _ in rows] == [permission.value for permission in Permission]
    for name, roles in rows:
        holders = [role.value for role in Role if Permission(name) in ROLE_PERMISSIONS[role]]
        assert roles.split(", ") == holders, name
