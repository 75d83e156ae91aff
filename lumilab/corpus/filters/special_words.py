"""Words of English whose splitting follows no rule: contractions, abbreviations, clock times, emoticons.

The list is that of spaCy 3.8's blank English tokenizer (spacy/lang/en and spacy/lang/tokenizer_exceptions.py, MIT
licence), composed from its parts; a test compares the two. A straight apostrophe may also be a curly one.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

Pieces = tuple[str, ...]

_SUBJECTS = "i you he she it we they"
_QUESTION_WORDS = "who what when where why how there"
# Words with the endings they take; each also with a capital, each also without the apostrophe.
_CONTRACTIONS: tuple[tuple[str, tuple[Pieces, ...]], ...] = (
    ("i", (("'m",), ("'m", "a"))),
    (_SUBJECTS, (("'ll",), ("'ll", "'ve"), ("'d",), ("'d", "'ve"))),
    ("i you we they", (("'ve",),)),
    ("you we they", (("'re",),)),
    ("he she it", (("'s",),)),
    (_QUESTION_WORDS + " that this", (("'s",),)),
    (_QUESTION_WORDS + " that this these those", (("'ll",), ("'ll", "'ve"), ("'d",), ("'d", "'ve"))),
    (_QUESTION_WORDS + " these those", (("'re",), ("'ve",))),
    (
        "ca could do does did had may might must need ought sha should wo would",
        (("n't",), ("n't", "'ve")),
    ),
    ("could might must should would", (("'ve",),)),
    ("ai are is was were have has dare", (("n't",),)),
    ("not", (("'ve",),)),
)
_NOT_CONTRACTIONS = "ill its hell shell shed were well whore"
# As they are, with | where they are split.
_OTHERS = """how|'d|'y How|'d|'y y'|all y|all can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s c'm|on C'm|on
'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock 'd
lovin lovin' Lovin Lovin' havin havin' Havin Havin' doin doin' Doin Doin' goin goin' Goin Goin' nothin nothin'
Nothin Nothin' nuthin nuthin' Nuthin Nuthin' ol ol' Ol Ol' somethin somethin' Somethin Somethin' em 'em ll 'll nuff
'nuff
Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan. Kans.
Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep.
Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd.
Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s.
\\t \\n — ' \\") <space> '' C++ ä. ö. ü. °|c|. °|f|. °|k|. °|C|. °|F|. °|K|."""
_EMOTICONS = r""":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-;
:( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0
:-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._.
;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-)
(._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>"""


@lru_cache(maxsize=1)
def special_words() -> dict[str, Pieces]:
    """Each special word with the pieces it is split into."""
    words = _contractions()
    for text in _OTHERS.split():
        words[text.replace("|", "")] = tuple(text.split("|"))
    for hour, period in product(range(1, 13), ("a.m.", "am", "p.m.", "pm")):
        words[f"{hour}{period}"] = (str(hour), period)
    for text in [*_EMOTICONS.split(), *(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz")]:
        words[text] = (text,)
    curly = {
        text.replace("'", "’"): tuple(piece.replace("'", "’") for piece in pieces) for text, pieces in words.items()
    }
    return words | curly


def _contractions() -> dict[str, Pieces]:
    words: dict[str, Pieces] = {}
    for stems, all_endings in _CONTRACTIONS:
        for stem, endings in product(stems.split(), all_endings):
            for start, apostrophe in product((stem, stem.title()), ("'", "")):
                pieces = (start, *(ending.replace("'", apostrophe) for ending in endings))
                words["".join(pieces)] = pieces
    for word in _NOT_CONTRACTIONS.split():
        words.pop(word, None)
        words.pop(word.title(), None)
    return words
