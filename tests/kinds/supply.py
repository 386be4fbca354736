"""A nursing home, invented, whose beds become more."""

from tests.kinds.example import Example

EXAMPLE = Example(
    kind="supply",
    key="三叶草敬老院",
    stated={"provider_name": "三叶草敬老院", "division_code": "320106", "offers[YRD050101].capacity": 120},
    changed={"offers[YRD050101].capacity": 1400},
    corrected={"offers[YRD050101].capacity": 140},
    columns={"provider_name": "枫叶颐养院", "division_code": "320114", "phone": "021-1"},
)
