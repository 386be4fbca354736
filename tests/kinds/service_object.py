"""A person, made up, of a division that does not exist, who moves."""

from tests.kinds.example import Example

EXAMPLE = Example(
    kind="service_object",
    key="",
    stated={"division_code": "310101", "enrolments[NBPS041102].division_code": "310000"},
    changed={"division_code": "310104"},
    corrected={"division_code": "310105"},
    columns={"division_code": "310106"},
    identity={"id_type": "other", "number": "TEST0001"},
    personal={"name": "示例三九"},
)
