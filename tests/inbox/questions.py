"""What the office of the story asks; each is the payload of one `interrupt()`."""

from typing import Any

Json = dict[str, Any]

LETTER = """Dear Mrs Varga,

we are sorry that the espresso machine from order 4711 arrived with a cracked drip tray. A new tray \
left our warehouse today by express and will be with you by Friday; you need not send the old one back.

As a small thank you for your patience we have added a voucher of €15 to your account. It is valid \
for any order until 31 March.

    Voucher   ESPR-4711-DANKE
    Value     €15.00

Kind regards
Your customer care"""  # noqa: E501
SEND: Json = {
    "question": "Send this apology to Mrs Varga?",
    "kind": "approval",
    "additionalContext": "She wrote **twice** and gave two stars. Her order of 12 November arrived "
    "damaged ([photo](https://example.com/4711.jpg)).\n\n- Customer for 6 years, 31 orders\n"
    "- The voucher is within the limit of €20 that I may give",
    "action": {
        "name": "send_email",
        "arguments": {
            "to": "m.varga@example.com",
            "subject": "Your order 4711: a new drip tray is on its way",
            "body": LETTER,
            "voucher_eur": 15,
            "reference": "15",
            "cc": [],
            "reply_to": None,
            "signature": "",
            "track_opening": False,
        },
    },
}
DEPLOY: Json = {
    "question": "Deploy the hotfix to production now, in office hours?",
    "kind": "approval",
    "urgency": "high",
    "expiresInSeconds": 2400,
    "additionalContext": "All 412 tests passed. Rollback takes about 4 minutes.",
    "action": {
        "name": "deploy",
        "arguments": {
            "service": "image-api",
            "version": "2.3.9+hotfix.1",
            "environment": "production",
            "canary": False,
            "command": "kubectl rollout restart deployment/image-api --namespace=production && "
            "kubectl set image deployment/image-api api=registry.example.com/image-api@sha256:"
            "9f2b7c1d4e5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e",
        },
    },
}
REFUND: Json = {
    "question": "Refund €184.90 to Mr Okafor although the 30 days are over?",
    "kind": "approval",
    "urgency": "low",
    "action": {
        "name": "refund",
        "arguments": {
            "order": "A-20417",
            "amount_eur": 184.9,
            "to": "original card",
            "reason": "Parcel was lost; the carrier confirmed it on day 34",
        },
    },
}
QUOTE: Json = {
    "question": "May I quote the internal report on delivery times in the reply to the regulator?",
    "kind": "approval",
    "urgency": "low",
}
ROLLOUT: Json = {
    "question": "Which customers get version 2.4 first?",
    "kind": "choice",
    "allowFreeForm": True,
    "options": [
        {
            "id": "internal",
            "label": "Our own staff",
            "description": "140 people; errors cost nothing, but they rarely use exports.",
        },
        {
            "id": "beta",
            "label": "Beta customers",
            "description": "52 companies that asked for it. Three use the export every day.",
        },
        {
            "id": "five",
            "label": "5 % of everybody",
            "description": "About 2,300 accounts, chosen at random.",
        },
        {"id": "wait", "label": "Nobody yet; wait for the fix of the export"},
    ],
    "additionalContext": "Error rate of the last nightly build: `0.4 %`, all of it in the CSV "
    "export.\n\n| build | errors |\n| --- | ---: |\n| 2.4.0-rc1 | 1.9 % |\n| 2.4.0-rc2 | 0.4 % |",
}
PRESS: Json = {
    "question": "What may I tell the Evening Post about the outage of 21 November?",
    "kind": "freeform",
    "additionalContext": "> “How many customers were affected, and will they be compensated?”\n\n"
    "The status page says: 41 minutes, log-in only. Deadline of the paper: 18:00.",
}
PERSON: Json = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {
            "type": "string",
            "title": "Name",
            "minLength": 2,
            "description": "As in the passport.",
        },
        "born": {"type": "string", "format": "date", "title": "Date of birth"},
        "meal": {"type": ["string", "null"], "title": "Special meal"},
    },
}
JOURNEY: Json = {
    "question": "Whom shall I book on the night train to Graz, and how?",
    "kind": "form",
    "additionalContext": "The auditors need to be in Graz on **2 December, 09:00**.",
    "responseSchema": {
        "type": "object",
        "required": ["traveller", "departure", "class", "seats"],
        "properties": {
            "traveller": {"$ref": "#/$defs/person", "title": "Traveller"},
            "companions": {
                "type": "array",
                "title": "Companions",
                "maxItems": 4,
                "items": {"$ref": "#/$defs/person"},
            },
            "departure": {"type": "string", "format": "date", "title": "Departure"},
            "class": {
                "type": "string",
                "title": "Class",
                "enum": ["Second class", "First class", "Sleeper"],
                "default": "Second class",
            },
            "fare": {
                "title": "Fare",
                "oneOf": [
                    {"const": "flex", "title": "Flexible, full refund"},
                    {"const": "saver", "title": "Saver, no refund"},
                ],
                "default": "flex",
            },
            "seats": {
                "type": "integer",
                "title": "Seats",
                "minimum": 1,
                "maximum": 9,
                "default": 1,
            },
            "limit_eur": {"type": "number", "title": "At most, in euros", "exclusiveMinimum": 0},
            "refundable": {"type": "boolean", "title": "Quiet coach", "default": True},
            "stops": {"type": "array", "title": "Stops on the way", "items": {"type": "string"}},
            "wishes": {
                "type": "string",
                "title": "Wishes",
                "maxLength": 2000,
                "description": "For the conductor: allergies, luggage, a wake-up call.",
            },
            "invoice": {
                "type": "object",
                "title": "Invoice to",
                "required": ["company"],
                "properties": {
                    "company": {"type": "string", "title": "Company"},
                    "costCentre": {
                        "type": "string",
                        "title": "Cost centre",
                        "pattern": "^[0-9]{4}$",
                        "description": "Four digits.",
                    },
                },
            },
        },
        "$defs": {"person": PERSON},
    },
}
BOOKED: Json = {
    "traveller": {"name": "Grace Hopper", "meal": None},
    "departure": "2026-12-01",
    "class": "Sleeper",
    "seats": 1,
    "stops": ["Linz"],
    "invoice": {"company": "Example Ltd", "costCentre": "4711"},
}
_DELETE: Json = {
    "name": "delete_records",
    "args": {
        "table": "customers_staging",
        "where": "imported_at < '2026-10-15' AND merged = true",
        "expected_rows": 18244,
    },
    "description": "Delete 18,244 staging records that are merged already?",
}
_MERGE: Json = {
    "name": "merge_customers",
    "args": {
        "keep": "C-20931",
        "merge": ["C-88120", "C-88121"],
        "fields": {"email": "keep", "phone": "newest", "address": "keep"},
    },
    "description": "Merge three records of Müller & Söhne into C-20931?",
}
_SEND: Json = {"name": "send_report", "args": {"to": "data-office@example.com", "month": "2026-10"}}
_MAY: Json = {
    "delete_records": ["approve", "reject"],
    "merge_customers": ["approve", "edit", "reject"],
    "send_report": ["approve", "edit", "reject", "respond"],
}


def _review(*actions: Json) -> Json:
    """Return LangChain's HITLRequest: each of its actions is a question of the same run."""
    names = [action["name"] for action in actions]
    return {
        "action_requests": [*actions],
        "review_configs": [
            {"action_name": name, "allowed_decisions": _MAY[name]} for name in names
        ],
    }


CLEANUP = _review(_DELETE, _MERGE, _SEND)
REPORT = _review(_SEND)
# Payloads of agents that know nothing of ours: open questions.
TRANSFER: Json = {
    "message": "Transfer €4,200.00 to ACME Tools GmbH?",
    "transfer": {
        "iban": "DE02 1203 0000 0000 2020 51",
        "amount": {"value": 4200, "currency": "EUR"},
        "invoices": [
            {"number": "2026-118", "amount": 4000, "due": "2026-11-30"},
            {"number": "2026-121", "amount": 200, "due": None},
        ],
        "memo": "Invoices 118 and 121\nOrder of 3 October",
    },
    "confidence": 0.93,
    "dry_run": False,
}
IBAN = "The invoice of Nordlicht GmbH has no IBAN. Which account shall I pay to?"
SCHEDULE: Json = {
    "query": "When shall the payment of the rent go out?",
    "options": [
        {"label": "Today", "value": {"date": "2026-11-27"}},
        {"label": "On the first, as always", "value": {"date": "2026-12-01"}},
        {"label": "Not at all", "value": None},
    ],
    "rent_eur": 3150,
}
CLAUSE: Json = {
    "question": "Accept clause 7.2 as the supplier words it?",
    "kind": "approval",
    "additionalContext": "> 7.2 The supplier's liability is limited to the price of the order.",
    "action": {
        "name": "accept_clause",
        "arguments": {"clause": "7.2", "wording": "limited to the price of the order"},
    },
}
FAX: Json = {
    "question": "Fax the signed order to the notary?",
    "kind": "approval",
    "action": {"name": "send_fax", "arguments": {"to": "+43 316 000000", "pages": 4}},
}
# Of the desk, which plans and writes by it.
CHANGELOG = """
# Lumen changelog

## [2.4.0] - 2026-11-20

Lumen 2.4.0 makes large exports fast and dependable.

### Added

- **Parallel exports.** `lumen export` writes up to 8 files at once; 12,000 took 40 % less time.
- A dark theme for the dashboard, thanks @jo
- `lumen login --device` for machines without a browser

### Changed

- The configuration file moved to `~/.config/lumen/config.toml`.

### Removed

- **Breaking:** Python 3.9 is no longer supported.

### Fixed

- A crash when a folder was deleted during an export, closes #377
"""
