"""The few words of ours in a post, in the language of its source where that is certain."""

import re
from typing import NamedTuple


class Phrases(NamedTuple):
    """`more` has the number of points that were left out."""

    extract: str
    more: str
    prerelease: str


# In no language, for a source whose language is not certain.
_SIGNS = Phrases("[…]", "[… +{}]", "pre")
_PHRASES = {
    name: Phrases(*said.split(" | "))
    for name, said in {
        "en": "Excerpt from the changelog | Excerpt; {} more in the changelog | pre-release",
        "de": "Auszug aus den Änderungen | Auszug; {} weitere in den Änderungen | Vorabversion",
        "fr": "Extrait du journal des modifications"
        " | Extrait ; {} de plus dans le journal des modifications | préversion",
        "es": "Extracto del registro de cambios"
        " | Extracto; {} más en el registro de cambios | versión preliminar",
        "pt": "Excerto do registo de alterações"
        " | Excerto; mais {} no registo de alterações | pré-lançamento",
        "ru": "Выдержка из списка изменений"
        " | Выдержка; ещё {} в списке изменений | предварительная версия",
        "zh": "摘自更新日志 | 摘录；更新日志中另有 {} 项 | 预发布版本",
        "ja": "変更履歴からの抜粋 | 抜粋（変更履歴にあと {} 件） | プレリリース",
    }.items()
}
# Frequent in one of these languages and rare in the others; a few of changelogs.
_FREQUENT = {
    "en": "the and of is are for with now when from new added fixed changed removed bug add fix",
    "de": "der die das und ist nicht mit für ein eine wird werden neue behoben im bei wenn",
    "fr": "le les et est pas avec pour une des du ajout corrigé dans sur plus qui",
    "es": "el los las y es con para una del se corregido añadido nuevo más por",
    "pt": "o os as e é com para uma do da não corrigido adicionado novo mais",
}


def phrases_of(language: str) -> Phrases:
    return _PHRASES.get(language, _SIGNS)


def language_of(text: str) -> str:
    """Return the language of a text, or "" where it is not certain."""
    letters = len(re.findall(r"[^\W\d_]", text)) or 1
    if len(re.findall("[\u3040-\u30ff]", text)) / letters > 0.05:
        return "ja"
    if len(re.findall("[\u4e00-\u9fff]", text)) / letters > 0.1:
        return "zh"
    if re.search("[ыэЫЭ]", text):
        return "ru"
    if re.search("[\u0400-\u04ff\uac00-\ud7af]", text):
        return ""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    counted = {name: sum(map(known.split().count, words)) for name, known in _FREQUENT.items()}
    second, first = sorted(counted.values())[-2:]
    return max(counted, key=counted.__getitem__) if first >= 2 and first > 1.5 * second else ""
