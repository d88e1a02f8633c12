"""Characters that a person cannot see, or cannot tell from others."""

import re

_CONTROLS = "\0-\x08\x0b-\x1f\x7f-\x9f"
_SPACES = "\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # they look like U+0020
_ZERO_WIDTH = (  # also those that Unicode lets be drawn as nothing: fillers, variation selectors
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U00013455\U00016fe4"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U0010ffff"
_NO_CHARACTERS = "\ufdd0-\ufdef\ufffe\uffff" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xF0000, 0x10000)
)
# What an emoji may begin with: no letter of any script is among them.
_EMOJI = (
    "\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf"
    "\u2934\u2935\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Left alone: U+FE0F after an emoji or in a keycap, U+200D between two emoji.
UNSEEN = re.compile(
    f"[{_CONTROLS}{_SPACES}{_ZERO_WIDTH}{_PRIVATE}{_NO_CHARACTERS}]"
    f"(?<![{_EMOJI}]\ufe0f)"
    f"(?!(?<=[0-9#*]\ufe0f)\u20e3)"
    f"(?!(?<=[{_EMOJI}]\u200d)[{_EMOJI}])"
    f"(?!(?<=[{_EMOJI}]\ufe0f\u200d)[{_EMOJI}])"
)
