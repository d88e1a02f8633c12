"""Where in Slack a question is shown."""

from typing import NamedTuple


class SlackMessage(NamedTuple):
    """`ts`: Slack's id of the message, in its channel."""

    channel: str
    ts: str
