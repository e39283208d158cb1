"""Chance: one to one, the same in plain Python, numpy and torch, frozen, and as even as it has to be."""

import itertools
import math
import random
import statistics

import numpy as np
import pytest
import torch

from hornbook import chance


def inverse_mix(x):
    """Undo `mix` step by step: multiply by the inverses, shift what was shifted in out again."""

    def unshift(x, by):
        result = x
        for _ in range(32 // by):
            result = x ^ result >> by
        return result

    x = unshift(x, 15)
    x = x * pow(0xD35A2D97, -1, 2**32) % 2**32
    x = unshift(x, 15)
    x = x * pow(0x21F0AAAD, -1, 2**32) % 2**32
    return unshift(x, 16)


EDGES = [0, 1, 2, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1]
SAMPLES = EDGES + [random.Random(0).randrange(2**32) for _ in range(5000)]


def test_mix_is_one_to_one():
    """It has an inverse, so no two places of a stream hold the same 32 bits by collision."""
    for x in SAMPLES:
        assert 0 <= chance.mix(x) < 2**32
        assert inverse_mix(chance.mix(x)) == x
        assert chance.mix(inverse_mix(x)) == x


def test_a_million_neighbours_stay_apart():
    assert len(torch.unique(chance.mix_array(torch.arange(-500_000, 500_000, dtype=torch.int32)))) == 1_000_000


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_array_form_is_the_plain_one(library):
    expected = [chance.mix(x) for x in SAMPLES]
    numbers = np.array(SAMPLES, dtype=np.uint32).view(np.int32)
    given = numbers.copy()
    found = chance.mix_array(torch.from_numpy(numbers)).numpy() if library == "torch" else chance.mix_array(numbers)
    assert found.dtype == np.int32
    assert found.view(np.uint32).tolist() == expected
    assert (numbers == given).all()  # what was given is left as it was


def test_signed_is_how_an_int32_holds_the_bits():
    for x in SAMPLES:
        assert chance.signed(x) % 2**32 == x
        assert -(2**31) <= chance.signed(x) < 2**31


# Frozen: a change to any of these changes every run that was ever made.
KNOWN_MIX = {0: 0, 1: 0x06D3FA73, 2: 0x0DA7F4E7, 0x12345678: 0xF6E6B6BD, 0xFFFFFFFF: 0xD9B56683}


def test_known_values():
    assert {x: chance.mix(x) for x in KNOWN_MIX} == KNOWN_MIX
    assert chance.key() == 0x9E3779B9
    assert chance.key(0) == 0x93DF787A
    assert chance.key(1, "dropout", 2) == 0x66CF838B
    assert chance.key(2**64 - 1) == 0xC16141FD
    assert chance.key("ŋanasan ክልስ 🪶") == 0x77A35595
    assert [chance.bits(chance.key(7), place) for place in range(3)] == [0xC8DDA2FF, 0x6D071625, 0xD6391794]
    assert chance.uniform(chance.key(7), 5) == 0.5883238152035049
    assert [chance.below(100, chance.key(7), place) for place in range(6)] == [78, 83, 71, 53, 76, 58]


def test_keys_tell_apart_what_they_are_made_of():
    different = [
        (1, 2),
        (2, 1),
        (12,),
        (1, 2, 0),
        (0, 1, 2),
        (),
        (0,),
        (0, 0),
        (1,),
        (2**32,),
        (2**32 + 1,),
        (1 << 63,),
        ("1", "2"),
        ("12",),
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        ("abcd", "e"),
        ("abcde",),
        ("",),
        ("", ""),
        ("", "a"),
        ("a", ""),
        ("a",),
        ("a\0",),
        ("é",),
        ("e\u0301",),
        (5, "batch", 7),
        (7, "batch", 5),
        (5, "dropout", 7),
    ]
    keys = {}
    for parts in different:
        keys.setdefault(chance.key(*parts), []).append(parts)
    collisions = [parts for parts in keys.values() if len(parts) > 1]
    assert collisions in ([], [[(0,), ("", "")]])  # see the next test
    assert len({chance.key(seed, "batch", step) for seed in range(100) for step in range(100)}) == 10_000


def test_keys_tell_numbers_from_strings():
    assert chance.key(0) != chance.key("", "")
    assert chance.key(1 | ord("a") << 32) != chance.key("a")


@pytest.mark.parametrize("part", [-1, 2**64])
def test_a_number_that_no_key_can_hold_is_refused(part):
    with pytest.raises(ValueError, match=rf"^{part} is not from 0 to 2\*\*64 - 1$"):
        chance.key("seed", part)


def chi_square(counts):
    """Return how many standard deviations the counts' chi-square is from that of an even draw."""
    expected = sum(counts) / len(counts)
    free = len(counts) - 1
    return (sum((count - expected) ** 2 / expected for count in counts) - free) / math.sqrt(2 * free)


def test_the_draws_are_in_range_and_even():
    key = chance.key(3, "test")
    uniform = [chance.uniform(key, place) for place in range(20_000)]
    assert all(0 <= u < 1 for u in uniform)
    assert abs(statistics.fmean(uniform) - 0.5) < 4 / math.sqrt(12 * 20_000)
    assert abs(chi_square([sum(i / 50 <= u < (i + 1) / 50 for u in uniform) for i in range(50)])) < 4
    for n in (1, 2, 7, 10, 65):
        drawn = [chance.below(n, key, place) for place in range(20_000)]
        assert set(drawn) == set(range(n))
        if n > 1:
            assert abs(chi_square([drawn.count(i) for i in range(n)])) < 4
    assert all(0 <= chance.below(10**9 + 7, key, place) < 10**9 + 7 for place in range(1000))


@pytest.mark.parametrize("n", [3, 10**6, 2**32, 2**40])
def test_below_and_uniform_are_the_same_draw(n):
    """Both read the same 64 bits, so where rounding doesn't matter one is n times the other."""
    for place in range(200):
        assert abs(chance.below(n, 17, place) - n * chance.uniform(17, place)) <= 1


def test_every_bit_of_the_place_and_of_the_key_turns_half_of_the_result():
    """The avalanche: turn one bit of what goes in, and each bit that comes out turns in half of the cases."""
    rng = random.Random(1)
    n = 1000
    for name in ("place", "key"):
        for bit in range(32):
            turned = [0] * 32
            for _ in range(n):
                key, place = rng.randrange(2**32), rng.randrange(2**32)
                other = chance.bits(key, place ^ 1 << bit) if name == "place" else chance.bits(key ^ 1 << bit, place)
                difference = chance.bits(key, place) ^ other
                for i in range(32):
                    turned[i] += difference >> i & 1
            # 2 * 1024 bounds at 5.5 standard deviations: passed by a fair hash all but once in ten thousand draws
            assert all(abs(count - n / 2) < 5.5 * math.sqrt(n) / 2 for count in turned), (name, bit)


def test_neighbouring_places_and_keys_are_independent():
    """Count the 16 pairs of top two bits: of places next to each other, and of the same place under keys in a row."""
    size = 1 << 16

    def top(key, start=0):
        places = chance.mix_array(torch.arange(start, start + size, dtype=torch.int32))
        return (chance.mix_array(places ^ chance.signed(key)) >> 30 & 3).long()

    def pairs(a, b):
        return chi_square(torch.bincount(a * 4 + b, minlength=16).tolist())

    for seed in range(4):
        key = chance.key(seed, "weights")
        for distance in (1, 2, 64, 256, 1 << 16):
            assert abs(pairs(top(key), top(key, distance))) < 4.5
        for other in (chance.key(seed + 1, "weights"), chance.key(seed, "weight"), key ^ 1, chance.mix(key)):
            assert abs(pairs(top(key), top(other))) < 4.5


def test_two_streams_don_t_share_their_numbers():
    """Streams permute one set of numbers, so a few do recur: as many as chance lets, and never in the same places."""
    size = 1 << 18
    streams = [chance.mix_array(torch.arange(size, dtype=torch.int32))]
    streams = [chance.mix_array(streams[0] ^ chance.signed(chance.key(0, name))) for name in ("a", "b", "c", "d")]
    for a, b in itertools.combinations(streams, 2):
        shared = int(torch.isin(a, b).sum())
        assert shared < 60  # expected: 2**36 / 2**32 = 16
        assert not (a == b).any()
