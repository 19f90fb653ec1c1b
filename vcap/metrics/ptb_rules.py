"""The rules of the PTB tokenizer, one regular expression a kind of token.

At each place the rule that reaches furthest wins, the earlier one where two reach equally far. The
group `then` is context: it counts for how far a rule reaches, but is not part of the token.
"""

import re
from dataclasses import dataclass

from vcap.metrics.ptb_characters import DIGITS, LETTERS, MARKS, SYMBOLS

ANY, LETTER, DIGIT, OTHER = "any", "letter", "digit", "other"

_L = rf"(?:[{LETTERS}{MARKS}\u00ad]|&[aeiouAEIOU](?:acute|grave|uml);)"
_LD = rf"(?:[{LETTERS}{MARKS}{DIGITS}\u00ad]|&[aeiouAEIOU](?:acute|grave|uml);)"
_A = f"[{LETTERS}]"
_AD = f"[{LETTERS}{DIGITS}]"
_D = f"[{DIGITS}]"
_Q = r"(?:['\x92\u2019]|&apos;)"
_QQ = r"(?:['\x92\u2019`\x91\u2018\u201b]|&apos;)"
_S = r"[ \t\u00a0\u2000-\u200a\u3000]"
_NL = r"[\n\r\u2028\u2029\x0b\x0c\x85]"
_CLITIC = "(?:[msdMSD]|(?i:re|ve|ll))"
_AMP = "(?:&|&amp;)"

_WORD = rf"{_L}{_LD}*(?:[.!?]{_L}{_LD}*)*"
_NUMBER = rf"(?:{_D}*(?:[.:,\u00ad\u066b\u066c]{_D}+)+|{_D}+)"
_THING = rf"(?:[dDoOlL]{_QQ}{_AD})?{_AD}+"
_COMPOUND = rf"{_THING}(?:[-_\u058a\u2010\u2011]{_THING})*"
_HYPHENED = r"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*(?:-(?:[A-Za-z](?:\.[A-Za-z])+\.|[A-Za-z0-9\u00ad]+))+"
_JOINED = f"[A-Z]+(?:(?:[+]|{_AMP})[A-Z]+)+"
_STARTERS = (
    "a about according additionally after an as at but cannot earlier gonna gotta he her here "
    "however if in it last many more mr\\. ms\\. now once one other our she since so some such "
    "that the their then there these they this wanna we what when while yet you"
)
_CLOSED = (
    "al ala apr ariz assn aug bancorp bhd bldg blvd bros calif cos? colo conn corp ct dak dec esq "
    "est etc ext feb fla fri ga inc ind intl jan jr jul jun kans? ky ltd mar md mich minn mo mont? "
    "neb nev nov oct okla penn plc rd rt sept? seq sq sr sys tel tenn thu(?:rs)? tues? univ va vt "
    "wed wisc? wyo ed\\.d ph\\.d"
)
_CLOSED_CAPITAL = "az ark del ill la mass miss ore pa tex wash"
_TITLE = (
    "adj adm adv alex assoc asst atty ave brig capt cf cie cmdr comdr col cpl dept det drs? elec "
    "ens ft gen govs? hon insp invt jos lieut lt maj messrs mlle mme mrs? ms msgr mt natl pfc "
    "ph pres profs? pvt reps? rev sens? sfc sgt spc ste? supt treas vs wm"
)
_COUNTED = "art ca figs? nos? op pp prop"


def _choice(words: str) -> str:
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


def _capital(words: str) -> str:
    return _choice(" ".join(f"{word[0].upper()}(?i:{word[1:]})" for word in words.split()))


_CLOSING = rf"(?:(?i:{_choice(_CLOSED)})|{_capital(_CLOSED_CAPITAL)}|[Pp]p?t[ye]s?)"
_STARTER = _capital(_STARTERS)
_EXTENSION = _choice(
    "bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg "
    "mov mp3 pdf php pl png ppt ps py sql tar txt wav x xml zip"
)
_URL_WORD = r"[^ \t\n\f\r\"<>|.!?(){},]"
_HOST_WORD = r"[^ \t\n\f\r\"`'<>|.!?(){},-_$]"
_URL_PATH = r"(?:/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},-])"
_SGML_NAME = r"[A-Za-z][A-Za-z0-9_:.-]*"
_SGML_VALUE = r"[ ]*=[ ]*(?:'[^'\r\n]*'|\"[^\"\r\n]*\")"
_TAG = (
    rf"(?:</?{_SGML_NAME}(?:[ ]+{_SGML_NAME}(?:{_SGML_VALUE})?)*[ ]*/?>|<[!?][A-Za-z-][^>\r\n]*>)"
)
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"


_SHOWN = str.maketrans({" ": "\u00a0", "(": "-lrb-", ")": "-rrb-", "\u00ad": None})
_QUOTES = str.maketrans(
    dict.fromkeys("\x91\u2018\u201b\u2039", "`")
    | dict.fromkeys("\x92\u2019\u203a", "'")
    | dict.fromkeys("\x93\u201c\xab", "``")
    | dict.fromkeys("\x94\u201d\xbb", "''")
)


@dataclass(frozen=True)
class Rule:
    """One kind of token.

    Attributes:
        starts: what the first character is: a letter, a digit, another one, or any.
        pattern: the token, with context in the group `then`.
        shown: what stands for the token, or None where that is its own text.
        cut: how many characters at the end belong to the next token after all.
        plain_quotes: show every quotation mark as one of ASCII.
    """

    starts: str
    pattern: re.Pattern[str]
    shown: str | None = None
    cut: int = 0
    plain_quotes: bool = False

    def show(self, token: str) -> str:
        """What the tokenizer gives out for the text of such a token."""
        shown = token.translate(_SHOWN) if self.shown is None else self.shown
        if "&" in shown:
            shown = shown.replace("&amp;", "&")
        return shown.replace("&apos;", "'").translate(_QUOTES) if self.plain_quotes else shown


def _rule(starts: str, pattern: str, shown: str | None = None, cut: int = 0) -> Rule:
    return Rule(starts, re.compile(pattern), shown, cut)


def _said(starts: str, pattern: str, cut: int = 0) -> Rule:
    return Rule(starts, re.compile(pattern), cut=cut, plain_quotes=True)


_WORDS = [
    _rule(LETTER, "(?i:cannot)", cut=3),
    _rule(LETTER, "(?i:gonna|gotta|lemme|gimme|wanna)", cut=2),
    _rule(OTHER, "(?i:'tis)", cut=2),
    _rule(OTHER, "(?i:'twas)", cut=3),
    _rule(LETTER, rf"{_WORD}(?P<then>{_Q}{_CLITIC})"),
    _rule(LETTER, rf"[A-Za-z]*?[A-MO-Za-mo-z](?P<then>[nN]{_QQ}[tT])"),
    _rule(ANY, _WORD),
    _rule(
        OTHER,
        f"{_Q}[nN]{_Q}?|{_Q}(?i:em|till?|cause)|{_Q}[2-9]0s|{_Q}[0-9][0-9](?P<then>{_S}|{_NL})",
    ),
    _rule(LETTER, f"[lLdDjJ]{_Q}|[yY]{_Q}(?P<then>{_L})"),
    _rule(LETTER, f"(?i:dunkin|somethin|ol){_Q}|[A-HJ-XZn]{_QQ}{_A}{{2,}}"),
    _rule(LETTER, f"{_A}+[aeiouyAEIOUY]{_QQ}[aeiouA-Z]{_A}*"),
    _rule(LETTER, r"(?i:cont'd\.|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)"),
    _rule(LETTER, f"(?i:o{_QQ}o|cap{_Q}n|c{_Q}est)"),
]
_ADDRESSES = [
    _rule(ANY, r"(?i:https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-]"),
    _rule(ANY, rf"(?i:www)\.(?:{_URL_WORD}+\.)+[a-zA-Z]{{2,4}}"),
    _rule(ANY, rf"(?i:www)\.(?:{_URL_WORD}+\.)+?[a-zA-Z]{{2,4}}{_URL_PATH}"),
    _rule(ANY, rf"(?:{_HOST_WORD}+\.)+(?i:com|net|org|edu)"),
    _rule(ANY, rf"(?:{_HOST_WORD}+\.)+?(?i:com|net|org|edu){_URL_PATH}"),
    _rule(
        ANY,
        r"(?:&lt;|<)?[a-zA-Z0-9][^ \t\n\f\r\"<>|(){}\u00a0]*@"
        r"(?:[^ \t\n\f\r\"<>|(){}.\u00a0]+\.)*[^ \t\n\f\r\"<>|(){}.\u00a0]+(?:&gt;|>)?",
    ),
    _rule(OTHER, rf"@[A-Za-z_][A-Za-z_0-9]*|#{_L}+"),
]
_CLITICS = [
    _said(OTHER, f"{_Q}{_CLITIC}(?P<then>[^A-Za-z])"),
    _said(LETTER, f"[nN]{_QQ}[tT]"),
]
_NUMBERS = [
    _rule(DIGIT, rf"{_D}{{1,2}}[-/]{_D}{{1,2}}[-/]{_D}{{2,4}}"),
    _rule(ANY, rf"[-+]?{_NUMBER}"),
    _rule(
        ANY,
        r"[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)",
    ),
    _rule(DIGIT, rf"(?:{_D}{{1,4}}[- \u00a0])?{_D}{{1,4}}(?:\\?/|\u2044){_D}{{1,4}}"),
    _rule(
        ANY,
        r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
        r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}",
    ),
    _rule(ANY, r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"),
]
_COMPOUNDS = [
    _rule(OTHER, "-(?:[LR][RCS]B|[lr][rcs]b)-"),
    _rule(ANY, rf"{_LD}+(?:\.{_LD}+)*\.(?i:{_EXTENSION})(?P<then>{_S}|{_NL}|[.?!,])"),
    _rule(ANY, _COMPOUND),
    _rule(LETTER, _JOINED),
    _rule(LETTER, _SLASHED),
    _rule(DIGIT, _SLASHED),
    _rule(ANY, _HYPHENED),
    _rule(LETTER, rf"(?i:pro-|anti-|C\.D\.s|S{_AMP}P-500|S{_AMP}Ls)"),
    _rule(LETTER, "[cC]\\+\\+|[CcFf]#"),
]
_ABBREVIATIONS = [
    _rule(
        LETTER,
        rf"(?:(?:Canada|Sino|Korean|EU|Japan|non)-U\.S|(?i:U\.S\.-U\.K))(?P<then>{_S}|{_NL})",
    ),
    _rule(LETTER, rf"{_CLOSING}\.(?P<then>[\s\S]{{2}})"),
    _rule(
        LETTER,
        rf"[A-Za-z](?P<then>\.(?:{_S}|{_NL})+(?:{_STARTER}|{_TAG})(?:{_S}|{_NL}))",
    ),
    _rule(
        LETTER,
        rf"(?:(?i:{_choice(_TITLE)})|[Mm][ft]g|[A-Za-z](?:\.[A-Za-z])*|(?:Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-U\.K)\.",
    ),
    _rule(LETTER, rf"{_CLOSING}\."),
    _rule(ANY, rf"{_WORD}\.(?P<then>[,;:])"),
    _rule(ANY, rf"{_COMPOUND}\.(?P<then>[,;:])"),
    _rule(ANY, rf"{_HYPHENED}\.(?P<then>[,;:])"),
    _rule(LETTER, rf"{_JOINED}\.(?P<then>[,;:])"),
    _rule(LETTER, rf"(?i:{_choice(_COUNTED)})\.(?P<then>(?:{_S}|{_NL})?{_D})"),
]
_MARKUP = [
    _rule(OTHER, _TAG),
    _rule(OTHER, r"&(?:MD|mdash|ndash);|[\u0096\u0097\u2013-\u2015]", "--"),
    _rule(OTHER, "&(?i:amp);", "&"),
    _rule(OTHER, "&(?i:lt);", "<"),
    _rule(OTHER, "&(?i:gt);", ">"),
    _rule(OTHER, "&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);"),
    _rule(OTHER, "&(?i:nbsp);", ""),
]
_FACES = [
    _rule(OTHER, r"[<>]?[:;=][-o*']?[()DPpdO\\@|\[\]{](?P<then>[^A-Za-z0-9])"),
    _rule(ANY, r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)"),
]
_PUNCTUATION = [
    _rule(OTHER, r"'(?P<then>[A-Za-z][^ \t\n\r\u00a0])", ""),
    _rule(OTHER, r"\.{3,5}|\.(?:[ \u00a0]\.){2,}|\u2026|\x85", ""),
    _rule(OTHER, r"[?!]+"),
    _rule(OTHER, r"[.,;:]|-{1,4}", ""),
    _rule(OTHER, "-{5,}"),
    _rule(OTHER, "&quot;|&apos;|'", ""),
    _rule(OTHER, '"', ""),
    _rule(OTHER, r"\\\*"),
    _rule(OTHER, "''"),
    _said(OTHER, r"[`\x91-\x94\u2018\u2019\u201b-\u201d\u2039\u203a\u00ab\u00bb]{1,2}"),
    _said(OTHER, f"{_Q}{_CLITIC}"),
    _rule(OTHER, r"\(", "-lrb-"),
    _rule(OTHER, r"\)", "-rrb-"),
    _rule(OTHER, r"\[", "-lsb-"),
    _rule(OTHER, r"\]", "-rsb-"),
    _rule(OTHER, r"\{", "-lcb-"),
    _rule(OTHER, r"\}", "-rcb-"),
    _rule(ANY, r"[A-Z]*\$"),
    _rule(OTHER, r"#+|_+|\*+|@+"),
    _rule(OTHER, r"[\x80\xa4\u20a0\u20ac]", "$"),
    _rule(OTHER, r"\xa2", "cents"),
    _rule(OTHER, r"\xa3", "#"),
    _rule(OTHER, r"\xad", ""),
    _rule(OTHER, r"\xbc", "1/4"),
    _rule(OTHER, r"\xbd", "1/2"),
    _rule(OTHER, r"\xbe", "3/4"),
    _rule(OTHER, r"\u2153", "1/3"),
    _rule(OTHER, r"\u2154", "2/3"),
    _rule(OTHER, rf">>|<<|[%&+=<>|~^\\/\u2044{SYMBOLS}]"),
]

RULES = [
    *_MARKUP,
    *_WORDS,
    *_ADDRESSES,
    *_CLITICS,
    *_NUMBERS,
    *_ABBREVIATIONS,
    *_COMPOUNDS,
    *_FACES,
    *_PUNCTUATION,
]

SHORTENED = f"(?i:{_choice(f'{_CLOSED} {_CLOSED_CAPITAL} {_TITLE} {_COUNTED} m[ft]g')}|p?pt[ye]s?)"
