"""A dump of a world in memory, place by place: what somebody would read who stole all of it."""

from collections.abc import Mapping

from waybill_runtime.testing.world import World


def everything(world: World) -> Mapping[str, str]:
    """All rows of every table by `<database>.<table>`, and every message by `bus`."""
    found = {
        f"{name}.{table}": repr(rows)
        for name, database in world.databases.items()
        for table, rows in vars(database.rows).items()
    }
    logs = vars(world.broker)["_logs"]
    return found | {"bus": repr(logs)}


def places_of(found: Mapping[str, str], text: str) -> set[str]:
    """Where in a dump this text stands."""
    return {place for place, rows in found.items() if text in rows}
