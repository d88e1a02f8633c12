"""Every setting, from the environment and from `.env` in the working directory.

The environment wins, and empty is unset.
"""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from hitl_orchestrator.domain.capability import FacetName
from hitl_orchestrator.domain.errors import ConfigurationError
from hitl_orchestrator.domain.hitl import Name
from hitl_orchestrator.domain.notices import Receiver, read_receivers
from hitl_orchestrator.domain.webhooks import is_secret
from hitl_orchestrator.server.environment import UnreadableEnvironment, read_environment

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SECRETS = {
    *("API_KEY", "OPENAI_API_KEY", "HITL_NOTIFY"),
    *("HITL_SLACK_TOKEN", "HITL_SLACK_SIGNING_SECRET"),
}
_LONGEST_SHOWN = 200
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # IPv4 as sockets of IPv6 see it
# Headers that say something else: one of them as a person's name would be a mistake, or a key.
_NO_NAMES = {
    "authorization",
    "cookie",
    "forwarded",
    "host",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
}


def _postgres(value: str) -> str:
    if not re.match(r"postgres(ql)?://|\w+\s*=", value):
        raise ValueError("not an address of Postgres")
    return value


def _bearer(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise ValueError("not a bearer token")
    return value


def _items(value: object) -> object:
    return (
        [item.strip() for item in value.split(",") if item.strip()]
        if isinstance(value, str)
        else value
    )


def _root_path(value: str) -> str:
    segments = value.split("/")[1:]
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value) or {".", ".."} & {*segments}:
        raise ValueError("not a path")
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value) or value.lower() in _NO_NAMES:
        raise ValueError("not a header that can name a person")
    return value


def _network(value: object) -> Network:
    """Read an address or a network; one of IPv4 in IPv6's clothes is one of IPv4.

    Raise ValueError, also where bits of a host are set: somebody meant another network.
    """
    network = ipaddress.ip_network(str(value))
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        packed = network.network_address.packed[-4:]
        return ipaddress.IPv4Network((packed, network.prefixlen - _MAPPED.prefixlen))
    return network


Seconds = Annotated[float, Field(gt=0, le=366 * 86400, allow_inf_nan=False)]
Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]

HostName = Annotated[str, Field(pattern=r"^[\w.-]+$|^\[[\da-fA-F:.]+\]$", max_length=253)]


_PUBLIC = r"^https?://[\w.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*$"

Origin = Annotated[str, Field(pattern=r"^https?://[\w.-]+(:\d{1,5})?$", max_length=255)]


def _webhook_secret(given: SecretStr) -> SecretStr:
    if not is_secret(given.get_secret_value()):
        raise ValueError("whsec_ and 24 to 64 bytes in base64")
    return given


def _receivers(given: SecretStr) -> SecretStr:
    read_receivers(given.get_secret_value())
    return given


def _people(value: object) -> object:
    """Read `U123=ada, …`. Raise ValueError for a user who would be two people."""
    if not isinstance(value, str):
        return value
    entries = [entry.split("=", 1) for entry in value.split(",") if entry.strip()]
    people = {user.strip(): "".join(name).strip() for user, *name in entries}
    if len(people) < len(entries):
        raise ValueError("a user twice")
    return people


SlackId = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]+$", max_length=30)]


class Settings(BaseModel):
    """An alias is a variable's name, a description what is allowed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

    database_url: Annotated[str, AfterValidator(_postgres)] | None = Field(
        default=None,
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host:port/name, or libpq's key=value form",
        repr=False,
    )
    listen_url: Annotated[str, AfterValidator(_postgres)] | None = Field(
        default=None,
        validation_alias="HITL_LISTEN_URL",
        description="postgresql://user:password@host:port/name, or libpq's key=value form",
        repr=False,
    )
    data_dir: Path | None = Field(
        default=None, validation_alias="HITL_DATA_DIR", description="a folder"
    )
    outbox_dir: Path = Field(
        default=Path("outbox"), validation_alias="HITL_OUTBOX_DIR", description="a folder"
    )
    api_key: Annotated[SecretStr, AfterValidator(_bearer)] | None = Field(
        default=None, validation_alias="API_KEY", description="printable ASCII without blanks"
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="a key"
    )
    openai_model: str | None = Field(
        default=None, validation_alias="OPENAI_MODEL", description="the name of a model"
    )
    openai_base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = Field(
        default=None,
        validation_alias="OPENAI_BASE_URL",
        description="an http:// or https:// address",
    )
    hitl_enabled: bool = Field(
        default=True, validation_alias="HITL_ENABLED", description="true or false"
    )
    max_requests: int = Field(
        default=3,
        ge=0,
        le=1000,
        validation_alias="HITL_MAX_REQUESTS",
        description="a whole number from 0 to 1000",
    )
    request_ttl_seconds: Seconds | None = Field(
        default=None,
        validation_alias="HITL_REQUEST_TTL_SECONDS",
        description="seconds, more than 0, at most a year",
    )
    dispatch: Literal["inline", "queue"] = Field(
        default="inline", validation_alias="HITL_DISPATCH", description="inline or queue"
    )
    claim_seconds: Seconds = Field(
        default=30,
        validation_alias="HITL_CLAIM_SECONDS",
        description="seconds, more than 0, at most a year",
    )
    drain_seconds: Seconds = Field(
        default=30,
        validation_alias="HITL_DRAIN_SECONDS",
        description="seconds, more than 0, at most a year",
    )
    max_driven: int = Field(
        default=200,
        ge=1,
        le=100_000,
        validation_alias="HITL_MAX_DRIVEN",
        description="a whole number from 1 to 100000",
    )
    max_attempts: int = Field(
        default=5,
        ge=1,
        le=1000,
        validation_alias="HITL_MAX_ATTEMPTS",
        description="a whole number from 1 to 1000",
    )
    auto_migrate: bool = Field(
        default=True, validation_alias="HITL_AUTO_MIGRATE", description="true or false"
    )
    retention_days: Days | None = Field(
        default=None,
        validation_alias="HITL_RETENTION_DAYS",
        description="days, more than 0, at most 36500",
    )
    keep_history_days: Days | None = Field(
        default=None,
        validation_alias="HITL_KEEP_HISTORY_DAYS",
        description="days, more than 0, at most 36500",
    )
    history: Literal["newest", "all"] = Field(
        default="newest", validation_alias="HITL_HISTORY", description="newest or all"
    )
    agents: Annotated[tuple[str, ...], BeforeValidator(_items)] = Field(
        default=("hitl_orchestrator.desk:agents",),
        min_length=1,
        validation_alias="HITL_AGENTS",
        description="package.module:name, file.py:name or langgraph.json:name, comma-separated",
    )
    default_outputs: (
        Annotated[tuple[FacetName, ...], BeforeValidator(_items), Field(min_length=1)] | None
    ) = Field(
        default=None,
        validation_alias="HITL_DEFAULT_OUTPUTS",
        description="names of facets, comma-separated",
    )
    host: str = Field(
        default="127.0.0.1",
        validation_alias="HOST",
        description="a name or an address of this machine",
    )
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        validation_alias="PORT",
        description="a whole number from 0 to 65535",
    )
    allowed_hosts: Annotated[tuple[HostName, ...], BeforeValidator(_items)] = Field(
        default=(),
        validation_alias="HITL_ALLOWED_HOSTS",
        description="names of hosts without ports, comma-separated",
    )
    cors_origins: Annotated[tuple[Origin, ...], BeforeValidator(_items)] = Field(
        default=(),
        validation_alias="HITL_CORS_ORIGINS",
        description="origins such as https://inbox.example.com, without a path, comma-separated",
    )
    root_path: Annotated[str, Field(max_length=255), AfterValidator(_root_path)] = Field(
        default="",
        validation_alias="HITL_ROOT_PATH",
        description="a path such as /hitl: a slash before each segment and none at the end, "
        "segments of letters, digits and ._~-",
    )
    trusted_proxies: Annotated[
        tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(_items)
    ] = Field(
        default=(),
        validation_alias="HITL_TRUSTED_PROXIES",
        description="addresses and networks (10.0.0.0/8, fd00::/8), comma-separated",
    )
    trusted_user_header: Annotated[str, Field(max_length=100), AfterValidator(_header)] | None = (
        Field(
            default=None,
            validation_alias="HITL_TRUSTED_USER_HEADER",
            description="the name of a header such as X-Forwarded-User, in letters, digits and "
            "hyphens, that says nothing else",
        )
    )
    webhooks_private: bool = Field(
        default=False, validation_alias="HITL_WEBHOOKS_PRIVATE", description="true or false"
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secret)] | None = Field(
        default=None,
        validation_alias="HITL_WEBHOOK_SECRET",
        description="whsec_ and 24 to 64 bytes in base64",
    )
    public_url: Annotated[str, Field(max_length=1000, pattern=_PUBLIC)] | None = Field(
        default=None,
        validation_alias="HITL_PUBLIC_URL",
        description="the server's address for people, as https://ops.example.com/hitl, without a "
        "slash at its end",
    )
    notify: Annotated[SecretStr, AfterValidator(_receivers)] | None = Field(
        default=None,
        validation_alias="HITL_NOTIFY",
        description="addresses of apprise, comma-separated, before each the person who reads "
        "there, if it is one: ada=mailto://…",
    )
    slack_token: Annotated[SecretStr, AfterValidator(_bearer)] | None = Field(
        default=None,
        validation_alias="HITL_SLACK_TOKEN",
        description="the token of a bot, xoxb-…",
    )
    slack_signing_secret: Annotated[SecretStr, AfterValidator(_bearer)] | None = Field(
        default=None,
        validation_alias="HITL_SLACK_SIGNING_SECRET",
        description="the signing secret of a Slack app",
    )
    slack_channel: SlackId | None = Field(
        default=None,
        validation_alias="HITL_SLACK_CHANNEL",
        description="the id of a channel, as C0123456789",
    )
    slack_operators: (
        Annotated[dict[SlackId, Name], BeforeValidator(_people), Field(min_length=1)] | None
    ) = Field(
        default=None,
        validation_alias="HITL_SLACK_OPERATORS",
        description="ids of Slack's users with the operators that they are, comma-separated: "
        "U0123456789=ada, each user once",
    )
    slack_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] = Field(
        default="https://slack.com/api/",
        validation_alias="HITL_SLACK_URL",
        description="an http:// or https:// address",
    )
    allow_generated_key: bool = Field(
        default=False, validation_alias="HITL_ALLOW_GENERATED_KEY", description="true or false"
    )

    @property
    def receivers(self) -> Sequence[Receiver]:
        """Return who is told of each question."""
        return read_receivers(self.notify.get_secret_value()) if self.notify else []

    @property
    def session_url(self) -> str:
        """Return the address where a connection is a session of Postgres."""
        return self.listen_url or self.database_url or ""

    @property
    def is_lent(self) -> bool:
        """Tell whether DATABASE_URL is a pooler's that lends sessions by transaction."""
        return self.session_url != (self.database_url or "")


def load_settings() -> Settings:
    """Return the settings that the environment gives.

    Raises ConfigurationError: one line that names each bad variable, its value (never a secret's)
    and what is allowed.
    """
    try:
        variables = read_environment()
    except UnreadableEnvironment as error:
        raise ConfigurationError(error.detail) from error
    allowed = _allowed()
    given = {name: value for name, value in variables.items() if name in allowed}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        wrong = dict.fromkeys(str(one["loc"][0]) for one in error.errors())
        raise ConfigurationError(" ".join(_complain(name, given[name]) for name in wrong)) from None


def check_serving(settings: Settings) -> None:
    """Raise ConfigurationError if settings that are fine one by one are not enough for a server."""
    if settings.trusted_user_header and not settings.trusted_proxies:
        raise ConfigurationError(
            f"HITL_TRUSTED_USER_HEADER is {settings.trusted_user_header!r}, and no proxy is "
            "trusted to send it: set HITL_TRUSTED_PROXIES to the addresses of yours."
        )
    if settings.api_key is not None:
        return
    if settings.database_url is not None:
        raise ConfigurationError(
            "API_KEY is not set: with DATABASE_URL none is made up, "
            "since other servers and clients have to know it."
        )
    if not is_loopback(settings.host) and not settings.allow_generated_key:
        raise ConfigurationError(
            f"HOST is {settings.host!r}, which other machines can reach: set API_KEY, "
            "or HITL_ALLOW_GENERATED_KEY=true to let the generated key do."
        )


def _complain(name: str, value: str) -> str:
    """Return a sentence or two: the variable, its value unless it is a secret, what is allowed."""
    shown = repr(redacted(value)[:_LONGEST_SHOWN])
    given = "a secret whose value" if name in SECRETS else f"{shown}, which"
    return f"{name} is {given} is not allowed. Allowed: {_allowed()[name]}."


def _allowed() -> dict[str, str]:
    """Return what each variable may be, in words."""
    return {
        str(field.validation_alias): field.description or ""
        for field in Settings.model_fields.values()
    }


def redacted(address: str) -> str:
    """Return a URL or a libpq connection string without its password, also if slightly wrong."""
    without = re.sub(
        r"(password\s*=\s*)('(?:[^'\\]|\\.)*'?|[^\s&]*)", r"\1***", address, flags=re.IGNORECASE
    )
    return re.sub(r":(?!//).*@", ":***@", without)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
