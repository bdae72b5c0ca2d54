"""Who starts in the place of a killed member takes it out of the group, and waits for no session.

What Kafka's static membership is for (KIP-345), which aiokafka speaks too old a protocol for. A
place is a client id; members tell theirs when they join. That a member was taken out which lives,
against the promise, costs it a rejoining and nothing else: what it applied is fenced by its epoch.
"""

import asyncio

import structlog
from aiokafka.protocol.group import LeaveGroupRequest

from waybill_runtime.adapters.kafka import clients

log = structlog.get_logger(__name__)

_SUCCEED_S = 5.0


async def succeed(bootstrap: str, group: str, place: str) -> bool:
    """Take all members of this place out of the group, before one of ours has joined.

    False when no broker answers, which is not waited for: who is not taken out leaves when its
    session ends.
    """
    admin = clients.new_admin(bootstrap)
    try:
        async with asyncio.timeout(_SUCCEED_S):
            await admin.start()
            coordinator = await admin.find_coordinator(group)
            (answer,) = await admin.describe_consumer_groups([group], coordinator)
            members = [member for told in answer.groups for member in told[-1]]
            for member_id in [one for one, client_id, *_ in members if client_id == place]:
                # There is no public way to say this in another's name.
                await admin._send_request(LeaveGroupRequest(group, member_id), coordinator)
                log.info("bus.succeeded", group=group, member=member_id)
    except clients.FAILURES as error:
        log.debug("bus.not_succeeded", group=group, error=repr(error))
        return False
    finally:
        await asyncio.shield(clients.discard(admin))
    return True
