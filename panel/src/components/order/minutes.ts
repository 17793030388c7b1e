/** In how many minutes an accepted order is to be ready: what was said last on this device is said again. */
import { ref } from 'vue';

const KEPT_AS = 'rowlock.minutes';

/** What is offered. */
export const MINUTES = [5, 10, 15, 20, 25, 30, 45, 60] as const;

export const minutes = ref(Number(localStorage.getItem(KEPT_AS)) || 20);

export function keepMinutes(chosen: number): void {
  minutes.value = chosen;
  localStorage.setItem(KEPT_AS, String(chosen));
}
