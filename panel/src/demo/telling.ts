/** What is told at the foot of the page for a moment. */
import { ref } from 'vue';
import { Problem } from '@/api/client';
import { once } from '@/once';

const SHOWN_MS = 5_000;

export const told = ref<string>();
let timer: number | undefined;

export function say(words: string): void {
  told.value = words;
  window.clearTimeout(timer);
  timer = window.setTimeout(() => (told.value = undefined), SHOWN_MS);
}

/** Tells what went wrong, and goes on. What is no problem of the API's is a fault of ours. */
export function tell(cause: unknown): void {
  if (!(cause instanceof Problem)) throw cause;
  say(cause.message);
}

/** Wraps work that must not be begun again before it is done. */
export function doing() {
  return once(tell);
}
