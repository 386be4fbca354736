"""Roles: who may publish and run the base, and who may audit. Separate persons, by the accounts of the operating system.

Where a home's settings name neither operators nor auditors, everybody who reaches the home may do everything. Where they
do, operators publish, project and rebuild, auditors audit and look into the access log, and both and all others may ask.
"""

import os
import pwd
from collections.abc import Mapping

from connectors.home.settings import SettingError, Settings

OPERATOR, AUDITOR = "operator", "auditor"
NEEDED: Mapping[str, str] = {
    "publish": OPERATOR,
    "project": OPERATOR,
    "rebuild": OPERATOR,
    "quarantine_retry": OPERATOR,
    "quarantine_skip": OPERATOR,
    "gap_skip": OPERATOR,
}
"""The role that an operation needs where roles are set up; those in AUDITING need an auditor, others none."""
AUDITING = ("audit_", "access_")
"""How the names of operations begin that need an auditor."""


class NotPermitted(ValueError):
    """An account that may not do what it asked for; the message names both and what it takes."""


def account_name(uid: int) -> str:
    """The name of an account, or its number where the system has no name for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def role_of(settings: Settings, account: str) -> str | None:
    """The role of an account; None where it has none. Raises SettingError for one that is named in both."""
    operators, auditors = _accounts(settings.operators), _accounts(settings.auditors)
    if both := operators & auditors:
        raise SettingError(f"{min(both)} is named in operators and in auditors; the roles are separate, so name it in one.")
    return OPERATOR if account in operators else AUDITOR if account in auditors else None


def require(settings: Settings, operation: str, account: str | None = None) -> None:
    """Raise NotPermitted where roles are set up and the account (default: this process's) lacks the one it takes."""
    needed = NEEDED.get(operation, AUDITOR if operation.startswith(AUDITING) else None)
    if needed is None or not (settings.operators or settings.auditors):
        return
    who = account_name(os.getuid()) if account is None else account
    if role_of(settings, who) != needed:
        doing = operation.replace("_", " ")
        raise NotPermitted(f"{who} is no {needed} of this home and may not {doing}; the setting {needed}s names those who may.")


def _accounts(listed: str) -> set[str]:
    return {name.strip() for name in listed.split(",")} - {""}
