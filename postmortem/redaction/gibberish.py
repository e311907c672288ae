"""Letters that no word has beside each other: what a machine drew, whatever its alphabet."""

from __future__ import annotations

import itertools

_A = ord("a")
_LEVELS = """
    74337647495232949232556657
    47774888569478579557599969
    38573773594467269463589979
    46662678388577479556577979
    35324456596332646122655357
    59775489399578489566599979
    59783866599565579457589999
    39973999499777489576699979
    44344449886341348433849695
    69996999799999699989799999
    58774878599687679757797989
    37652679297377369745579949
    35762889498757449856599979
    37333527385675469732557978
    55446558696342449244454778
    38673776497487449354598969
    99999999999999999999599999
    26441658295545359434567958
    47472774394567448632467958
    37562683297557359334476847
    55565669598443759444899898
    49893979599979699889999999
    49875897599796699669999999
    79676798699889869975999889
    78786889799766759756899988
    69995999699999899999999999
""".split()
"""How rare the second letter (column) is behind the first (row), a to z, in English and in names of code: 0 where more than
one pair of letters in 32 is this one, one more for each time that it is half as frequent, 9 where it hardly occurs."""
_RARE = 4.9
"""On average: of strings of ten random letters 95 in 100 are above, of words of eight letters and more 3."""
_LEAST, _MOST = 8, 64


def is_gibberish(value: str) -> bool:
    """Letters alone, eight or more, that make no word."""
    if not _LEAST <= len(value) <= _MOST or not (value.isascii() and value.isalpha()):
        return False
    letters = [ord(letter) - _A for letter in value.lower()]
    total = sum(int(_LEVELS[one][other]) for one, other in itertools.pairwise(letters))
    return total > _RARE * (len(letters) - 1)
