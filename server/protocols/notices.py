"""Tells people of each question that waits, by mail, chat or phone: a line and a link.

Apprise knows the ways (https://github.com/caronc/apprise). It is synchronous, so a thread calls it.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from apprise import Apprise, AppriseAsset, NotifyFormat

from hitl_orchestrator.domain.errors import ConfigurationError, NotFound
from hitl_orchestrator.domain.hitl import RequestStatus
from hitl_orchestrator.domain.notices import Notice, Receiver, word_notice
from hitl_orchestrator.domain.records import JsonObject
from hitl_orchestrator.domain.webhooks import CREATED, Untold, find_request_id, find_type
from hitl_orchestrator.server.links import AnswerLinks
from hitl_orchestrator.server.orchestrator import Orchestrator

_SILENT = logging.CRITICAL + 1  # what it logs has parts of addresses, and so of secrets


class Notices:
    def __init__(self, receivers: Sequence[Receiver], links: AnswerLinks) -> None:
        self._receivers = receivers
        self._links = links
        logging.getLogger("apprise").setLevel(_SILENT)

    async def listen(self, hitl: Orchestrator) -> None:
        """Tell all receivers from now on. Raise ConfigurationError for one that cannot be."""
        await asyncio.to_thread(self._check)  # the first look takes a second
        for receiver in self._receivers:
            where = f"HITL_NOTIFY {receiver.person or 'nobody'}={receiver.scheme}"
            tell = partial(self._tell, hitl, receiver)
            await hitl.listen(self._links.name(receiver), where, [CREATED], tell)

    def _check(self) -> None:
        for number, receiver in enumerate(self._receivers, 1):
            if Apprise.instantiate(receiver.url) is None:
                raise ConfigurationError(
                    f"HITL_NOTIFY: apprise can make nothing of entry {number}, {receiver.scheme}://…"
                )

    async def _tell(self, hitl: Orchestrator, receiver: Receiver, frame: JsonObject) -> None:
        if find_type(frame) != CREATED:
            return
        try:
            request = await hitl.request(find_request_id(frame))
        except NotFound:
            return
        if request.status is not RequestStatus.PENDING:
            return
        link = self._links.write(receiver, request, datetime.now(UTC))
        notice = word_notice(request, link)
        if not await asyncio.to_thread(_send, receiver.url, notice):
            raise Untold(f"{receiver.scheme} did not take it")


def _send(url: str, notice: Notice) -> bool:
    sender = Apprise(asset=AppriseAsset(app_id="HITL Orchestrator", app_desc="HITL Orchestrator"))
    sender.add(url)
    return bool(sender.notify(notice.body, notice.title, body_format=NotifyFormat.TEXT))
