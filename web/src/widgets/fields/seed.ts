const SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MAX_SEED = 2n ** 64n - 1n;

/** Seeds up to 2**64 - 1 are exact: beyond 2**53 - 1 they are decimal strings. */
export function parseSeed(text: string): number | string | null {
  if (!/^\d{1,20}$/.test(text.trim())) return null;
  const value = BigInt(text.trim());
  if (value > MAX_SEED) return null;
  return value <= SAFE ? Number(value) : value.toString();
}
