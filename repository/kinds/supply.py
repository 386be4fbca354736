"""Supply 服务供给: a service point, what it offers, and how that changes.

Facts, the first applicable naming the event. Where nothing was known at or before the interval, the point is registered.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from repository.kinds.rules import Entry, Rules, Violation

KIND = "supply"
REGISTERED = "ServicePointRegistered"
FACTS = (
    REGISTERED,
    "ServicePointClosed",
    "ServicePointReopened",
    "ServicePointSuspended",
    "ServicePointResumed",
    "OfferOpened",
    "OfferClosed",
    "DirectSettlementOpened",
    "CapacityChanged",
    "PriceChanged",
    "OfferChanged",
    "DetailsChanged",
)
STATUS = {
    ("active", "closed"): "ServicePointClosed",
    ("suspended", "closed"): "ServicePointClosed",
    ("closed", "active"): "ServicePointReopened",
    ("closed", "suspended"): "ServicePointReopened",
    ("active", "suspended"): "ServicePointSuspended",
    ("suspended", "active"): "ServicePointResumed",
}
CELLS = (("capacity", "CapacityChanged"), ("available", "CapacityChanged"), ("price", "PriceChanged"))


def name(before: Mapping[str, Any], after: Mapping[str, Any], changed: Sequence[str]) -> str:
    """The fact that leads from one state to another."""
    moved = STATUS.get((before["status"], after["status"]))
    if moved is not None:
        return moved
    return _offer_fact(_offers(before), _offers(after), changed) or "DetailsChanged"


def _offers(state: Mapping[str, Any]) -> dict[str, Entry]:
    return {offer["item_code"]: offer for offer in state["offers"]}


def _offer_fact(old: dict[str, Entry], new: dict[str, Entry], changed: Sequence[str]) -> str | None:
    if new.keys() - old.keys():
        return "OfferOpened"
    if old.keys() - new.keys():
        return "OfferClosed"
    if any(new[i]["direct_settlement"] and not old[i]["direct_settlement"] for i in new):
        return "DirectSettlementOpened"
    cells = {path.rpartition(".")[2] for path in changed if path.startswith("offers[")}
    named = next((fact for cell, fact in CELLS if cell in cells), None)
    return named or ("OfferChanged" if cells else None)


def check(state: Mapping[str, Any]) -> None:
    """Raise Violation where the state can't be: a negative capacity, more free than there is, half a coordinate."""
    for offer in state["offers"]:
        capacity, available, price = offer["capacity"], offer["available"], offer["price"]
        for cell, value in (("capacity", capacity), ("available", available), ("price", price)):
            if value is not None and value < 0:
                raise Violation(f"{cell} of {offer['item_code']} is {value}; it can't be below 0.")
        if capacity is not None and available is not None and available > capacity:
            raise Violation(f"{offer['item_code']} has {available} free of {capacity}; free can't exceed capacity.")
    _check_place(state["longitude"], state["latitude"])


def _check_place(longitude: float | None, latitude: float | None) -> None:
    if (longitude is None) != (latitude is None):
        raise Violation("Longitude and latitude go together; give both or neither.")
    if longitude is not None and latitude is not None and not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise Violation(f"({longitude}, {latitude}) is no place on earth; longitude comes first, in degrees.")


RULES = Rules(
    KIND,
    lambda state: REGISTERED,
    FACTS,
    name,
    check,
    ended={"status": "closed"},
    still=("status", "active"),
    status_key="supplies",
    reads=("offers", "longitude", "latitude"),
)
