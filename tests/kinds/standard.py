"""A benefit, invented, that is raised."""

from tests.kinds.example import Example

EXAMPLE = Example(
    kind="standard",
    key="失业保险金",
    stated={"item_code": "NBPS030901", "division_code": "310000", "metric": "amount", "value": "2255", "unit": "CNY"},
    changed={"value": "23050"},
    corrected={"value": "2305"},
    columns={"item_code": "NBPS071701", "division_code": "310000", "value": "1100"},
)
