from __future__ import annotations

from mongarsd.inference.cache.ram import Ram


def test_the_ram_tier_gives_bytes_back_and_fills_up_again() -> None:
    ram = Ram(1000)
    chain = [bytes([i]) for i in range(8)]
    for position, key in enumerate(chain):
        assert ram.put(key, chain[position - 1] if position else b"", position, b"x" * 100, float(position))
    ram.shrink(300, 10.0)
    assert (ram.used, len(ram), ram.evictions) == (500, 5, 3)
    assert ram.get(chain[4], 11.0)
    assert chain[7] not in ram
    ram.shrink(10_000, 12.0)
    assert (ram.used, len(ram)) == (0, 0)
    assert ram.put(chain[0], b"", 0, b"x" * 900, 13.0)
