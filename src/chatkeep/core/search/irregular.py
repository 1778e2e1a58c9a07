"""Irregular inflections of English: a search for `buy` finds `bought`, as one for `walk` finds `walked`.

Left out are forms that are more often another word (`left`, `saw`, `ground`, `lay`), and forms that a stemmer joins.
`people` comes before `person`, as a stemmer joins `personal` with that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WORDS: Final = """
arise arose arisen; awake awoke awoken; beat beaten; become became; begin began begun; bend bent; bite bitten;
bleed bled; blow blew blown; break broke broken; breed bred; bring brought; build built; burn burnt; buy bought;
catch caught; choose chose chosen; cling clung; come came; creep crept; deal dealt; dig dug; draw drew drawn;
dream dreamt; drink drank drunk; drive drove driven; eat ate eaten; fall fell fallen; feed fed; feel felt;
fight fought; find found; flee fled; fly flew flown; forbid forbade forbidden; forget forgot forgotten;
forgive forgave forgiven; freeze froze frozen; get got gotten; give gave given; go goes went gone; grow grew grown;
hang hung; hear heard; hide hid hidden; hold held; keep kept; kneel knelt; know knew known; lead led; learn learnt;
leap leapt; lend lent; lose lost; make made; mean meant; meet met; overcome overcame; pay paid; prove proven;
ride rode ridden; ring rang rung; rise risen; run ran; say said; see seen; seek sought; sell sold; send sent;
sew sewn; shake shook shaken; shine shone; shoot shot; show shown; shrink shrank shrunk; sing sang sung;
sink sank sunk; sit sat; sleep slept; slide slid; speak spoke spoken; speed sped; spend spent; spin spun; stand stood;
steal stole stolen; stick stuck; sting stung; strike struck; swear swore sworn; sweep swept; swell swollen;
swim swam swum; swing swung; take took taken; teach taught; tear tore torn; tell told; think thought;
throw threw thrown; understand understood; undergo underwent undergone; undo undid undone; wake woke woken;
wear wore worn; weave wove woven; weep wept; win won; withdraw withdrew withdrawn; write wrote written;
child children; man men; woman women; people person persons; foot feet; tooth teeth; goose geese; mouse mice;
wife wives; knife knives; shelf shelves; wolf wolves; half halves; thief thieves; loaf loaves
"""


def _forms() -> Mapping[str, tuple[str, ...]]:
    found = {}
    for row in _WORDS.split(";"):
        base, *others = row.split()
        found[base] = (base, *others)
    return found


FORMS: Final[Mapping[str, tuple[str, ...]]] = _forms()
"""The irregular forms of words, the word itself first."""
BASES: Final[Mapping[str, str]] = {form: base for base, forms in FORMS.items() for form in forms[1:]}
"""The word of each irregular form."""
