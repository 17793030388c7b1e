/** Words in Chinese and English, side by side, so that none is without its other. */
export interface Words {
  readonly [name: string]: Pair | Words;
}

type Pair = readonly [zh: string, en: string];

/** One language of such words. */
export type Side<T> = { -readonly [Name in keyof T]: T[Name] extends Pair ? string : Side<T[Name]> };

/** One language of the words. */
export function side<T extends Words>(words: T, index: 0 | 1): Side<T> {
  const entries = Object.entries(words).map(([name, of]) => [name, isPair(of) ? of[index] : side(of, index)]);
  return Object.fromEntries(entries) as Side<T>;
}

function isPair(value: Pair | Words): value is Pair {
  return Array.isArray(value);
}
