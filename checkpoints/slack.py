"""The table `slack_messages`: where in Slack a question is shown."""

from hitl_orchestrator.checkpoints.pool import Connection
from hitl_orchestrator.domain.slack import SlackMessage

KEEP = """INSERT INTO slack_messages (request_id, channel, ts)
    VALUES (%(request_id)s, %(channel)s, %(ts)s) ON CONFLICT (request_id) DO NOTHING"""
FIND = "SELECT channel, ts FROM slack_messages WHERE request_id = %s"


async def keep(conn: Connection, request_id: str, message: SlackMessage) -> None:
    await conn.execute(KEEP, {"request_id": request_id, **message._asdict()})


async def find(conn: Connection, request_id: str) -> SlackMessage | None:
    """Return where the question is shown; None: nowhere yet."""
    row = await (await conn.execute(FIND, (request_id,))).fetchone()
    return None if row is None else SlackMessage(**row)
