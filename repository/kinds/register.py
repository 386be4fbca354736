"""The kinds of facts that there are, each with its rules. With FACT_KINDS of the contracts the one place that lists them."""

from repository.kinds import service_object, standard, supply
from repository.kinds.rules import Person, Rules

RULES: dict[str, Rules] = {kind.KIND: kind.RULES for kind in (service_object, supply, standard)}
PERSONS: dict[str, Person] = {kind: rules.person for kind, rules in RULES.items() if rules.person is not None}
"""What leads to a person, for each kind that can be about one."""
LINKED: str = supply.KIND
"""The kind whose keys are linked where none is named."""
