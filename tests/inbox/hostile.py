"""Texts that want to run, load, deceive, hide or break the layout, in every field of a question.

What runs would set `window.owned`, or ask `elsewhere.example` for something.
"""

from typing import Any

Json = dict[str, Any]

SCRIPT = (
    "<script>window.owned=1</script>"
    "<img src=https://elsewhere.example/i.png onerror=window.owned=1>"
    "<svg onload=window.owned=1><style>body{display:none}</style></svg>"
    "<iframe src=https://elsewhere.example/></iframe>"
    "<form action=https://elsewhere.example/><button>Approve</button></form>"
    "</textarea></title></script>\"'><base href=https://elsewhere.example/>"
    "<meta http-equiv=refresh content='0;url=https://elsewhere.example/'>{{7*7}}{%raw%}${7*7}"
)
MARKDOWN = """# Approved already

![pixel](https://elsewhere.example/p.png) ![data](data:image/svg+xml,<svg/onload=window.owned=1>)

[script](javascript:window.owned=1) [vb](vbscript:x) [data](data:text/html,<script>1</script>) \
[away](https://elsewhere.example/?q=1) [relative](//elsewhere.example/x) <https://elsewhere.example/>

[ref]: javascript:window.owned=1
[by reference][ref]

<b onclick="window.owned=1">bold</b> <img src=x onerror="window.owned=1"> <!-- hidden -->

```html
<script>window.owned=1</script>
```

| a | b |
| - | - |
| <svg onload=window.owned=1> | `code` |
"""
# As one would read them: "invoice 2026-118" is written backwards, and "pay all" is hidden.
BIDI = "Invoice \u202e811-6202\u202c \u2066as\u2069 agreed \u2067REVO\u2069 \u200f\u061c"
UNSEEN = (
    "no\u200bt \u200c\u200d\u2060\ufeff paid\u00ad \u3164\uffa0\u115f\u1160\u2800 \u180e\u034f"
    "\ufe0f\ufe00\U000e0100 \U000e0070\U000e0061\U000e0079 \u2028\u2029 \x07\x1b[31m\x7f\x85"
    " \u00a0|"
)
ZALGO = "P" + "\u0336\u035c\u0361\u0489" * 40 + "ay"
EVERY = f"{SCRIPT} {BIDI} {UNSEEN} {ZALGO}"
WORD = "Rindfleischetikettierung" * 209  # of 5,016 letters
LINES = "".join(
    f"{number:5} | the quick brown fox jumps over the lazy dog, and again\n"
    for number in range(3300)
)[: 200 * 1024]
SHORT_NAME = "<i>x</i>\u202ey\u200b"

APPROVAL: Json = {
    "question": f"Pay invoice 2026-118 of Nordlicht GmbH? {EVERY}",
    "kind": "approval",
    "additionalContext": f"{MARKDOWN}\n\n{EVERY}",
    "action": {
        "name": f"pay_invoice{SHORT_NAME}<script>window.owned=1</script>",
        "arguments": {
            "iban": "DE02 1203 0000 0000 2020 51",
            "memo": BIDI,
            "note": SCRIPT,
            "unseen": UNSEEN,
            "blank": " ",
            "lines": "one\ntwo\r\nthree\n\n\n  indented\ttab",
            "markdown": MARKDOWN,
            EVERY: EVERY,
            "__proto__": {"constructor": {"prototype": EVERY}},
            SHORT_NAME: [EVERY, {EVERY: [EVERY, None, True, 15, "15", "", [], {}]}],
        },
        "allowedDecisions": ["approve", "edit", "reject", "respond"],
    },
}
CHOICE: Json = {
    "question": f"Which? {EVERY}",
    "kind": "choice",
    "allowFreeForm": True,
    "additionalContext": MARKDOWN,
    "options": [
        {"id": SCRIPT[:200], "label": EVERY, "description": f"{MARKDOWN}{EVERY}"},
        {"id": SHORT_NAME, "label": "\u3164", "description": ""},
        {"id": '"><script>window.owned=1</script>', "label": BIDI, "description": UNSEEN},
        {"id": "word", "label": WORD, "description": WORD},
    ],
}
FORM: Json = {
    "question": f"How? {EVERY}",
    "kind": "form",
    "responseSchema": {
        "type": "object",
        "title": EVERY,
        "description": EVERY,
        "required": [EVERY],
        "properties": {
            EVERY: {"type": "string", "title": EVERY, "description": EVERY, "default": EVERY},
            "/~0~1/": {"type": "string", "title": "\u200b", "pattern": "^(a+)+$"},
            "kind": {"enum": [EVERY, BIDI, SHORT_NAME, None, 15, "15"], "title": SCRIPT},
            "one": {
                "oneOf": [{"const": EVERY, "title": EVERY}, {"const": "b", "title": WORD}],
                "title": BIDI,
            },
            "list": {"type": "array", "title": EVERY, "items": {"type": "string", "title": EVERY}},
            "deep": {"type": "object", "title": WORD, "properties": {EVERY: {"type": "boolean"}}},
        },
    },
}
OPEN: Json = {
    "message": f"Go on? {EVERY}",
    EVERY: EVERY,
    "html": SCRIPT,
    "nested": [[[[[{"a": [EVERY]}]]]], {SHORT_NAME: BIDI}],
    "options": [{"label": EVERY}, {"label": SHORT_NAME, "value": SCRIPT}],
    "originAgent": "operator",
    "kind": "approved already",
}
HUGE: Json = {
    "question": "Publish the whole log?",
    "kind": "approval",
    "action": {"name": "publish", "arguments": {"to": "status page", "log": LINES, "public": True}},
}
LONG_WORD: Json = {
    "question": f"Translate {WORD}?",
    "kind": "approval",
    "additionalContext": f"{WORD}\n\n`{WORD}`\n\n> {WORD}",
    "action": {
        "name": "translate",
        "arguments": {"word": WORD, WORD: [WORD, {WORD: WORD}], "language": "en"},
    },
}
# Who answers may be hostile, too.
PERSON = {"id": f"eve{SHORT_NAME}", "displayName": f"Eve {SCRIPT}"[:255]}
