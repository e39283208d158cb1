"""Chance: one counter hash, from which every random number here comes.

There is no generator and so no state: number `place` of the stream named by `key` is a function of the two,
the same in every order, on every device, in PyTorch and in C++. A stream's key is hashed from what it belongs
to, for example (seed, "batch", step).

The mixing function has the shape and the constants that Chris Wellons's hash-prospector found (by TheIronBorn, 2022).
"""

from typing import Any

WORD, _GOLDEN, _M1, _M2 = 0xFFFFFFFF, 0x9E3779B9, 0x21F0AAAD, 0xD35A2D97


def mix(x: int) -> int:
    """Map 32 bits onto 32 bits, one to one, so that each bit of the result depends on all of `x`."""
    x = (x ^ x >> 16) * _M1 & WORD
    x = (x ^ x >> 15) * _M2 & WORD
    return x ^ x >> 15


def key(*parts: int | str) -> int:
    """Hash what a stream of chance belongs to into its 32-bit key.

    A whole number from 0 to 2**64 - 1 is three words: 1, and its low and high half. A string is 2, its length, and its
    UTF-8 bytes, four a word.
    """
    result = _GOLDEN
    for word in (word for part in parts for word in _words(part)):
        result = mix((result ^ word) + _GOLDEN & WORD)
    return result


def _words(part: int | str) -> list[int]:
    if isinstance(part, int):
        if not 0 <= part < 1 << 64:
            raise ValueError(f"{part} is not from 0 to 2**64 - 1")
        return [1, part & WORD, part >> 32]
    data = part.encode("utf-8")
    return [2, len(data), *(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))]


def bits(key: int, place: int) -> int:
    """Return random number `place` (0 to 2**32 - 1) of the stream `key`: 32 bits."""
    return mix(mix(place) ^ key)


def long_bits(key: int, place: int) -> int:
    """Return number `place` (0 to 2**31 - 1) of the stream `key` as 64 bits."""
    return bits(key, 2 * place) << 32 | bits(key, 2 * place + 1)


def uniform(key: int, place: int) -> float:
    """Return number `place` (0 to 2**31 - 1) of the stream `key` as a float in [0, 1), from 53 random bits."""
    return (long_bits(key, place) >> 11) / (1 << 53)


def below(n: int, key: int, place: int) -> int:
    """Return number `place` (0 to 2**31 - 1) of the stream `key` as a whole number from 0 to n - 1, n below 2**48."""
    return long_bits(key, place) * n >> 64


def signed(x: int) -> int:
    """Return the 32 bits of `x` as an int32 holds them."""
    return x - (1 << 32) if x >> 31 else x


def mix_array(x: Any) -> Any:
    """Do what `mix` does to each element of a numpy or torch array of int32: products wrap, shifts keep the sign."""
    x = (x ^ (x >> 16 & 0xFFFF)) * signed(_M1)
    x = (x ^ (x >> 15 & 0x1FFFF)) * signed(_M2)
    return x ^ (x >> 15 & 0x1FFFF)


def bits_array(key: Any, places: Any) -> Any:
    """Do what `bits` does for arrays of int32 that fit one another: keys as an int32 holds them, and places."""
    return mix_array(mix_array(places) ^ key)
