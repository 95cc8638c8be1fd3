const SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_SEED = 2n ** 64n - 1n;

const exact = (value: bigint): number | string => (value <= SAFE ? Number(value) : value.toString());

/** Seeds up to 2**64 - 1 are exact: beyond 2**53 - 1 they are decimal strings. */
export function parseSeed(text: string): number | string | null {
  const plain = text.trim();
  if (!/^\d{1,20}$/.test(plain)) return null;
  const value = BigInt(plain);
  return value > MAX_SEED ? null : exact(value);
}

/** The seed so many further on, round the end of all seeds. */
export function seedAfter(seed: string, by: number): number | string | null {
  const held = parseSeed(seed);
  return held === null ? null : exact((BigInt(held) + BigInt(by) + MAX_SEED + 1n) % (MAX_SEED + 1n));
}
