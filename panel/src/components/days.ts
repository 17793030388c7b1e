/** Days of business as `2026-11-21`: they begin at the merchant's own hour, by the merchant's clock, wherever the panel is opened. */
import { business } from '@/session';

const DAY_MS = 86_400_000;

/** The day of business that a moment belongs to. */
export function dayOf(time: number): string {
  const shown = new Date(wall(time)).toISOString();
  const day = shown.slice(0, 10);
  return shown.slice(11, 16) < (business.value?.day_starts_at ?? '00:00') ? plusDays(day, -1) : day;
}

/** What the merchant's clock shows at a moment, as the moment at which a clock of UTC shows it. */
function wall(time: number): number {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: business.value?.time_zone ?? 'Asia/Shanghai',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(time);
  const part = (name: string) => parts.find(({ type }) => type === name)?.value ?? '';
  return Date.parse(
    `${part('year')}-${part('month')}-${part('day')}T${part('hour')}:${part('minute')}:${part('second')}Z`,
  );
}

/** So many days later, or, below zero, earlier. */
export function plusDays(day: string, days: number): string {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Whether it is a day at all. */
export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** The moment at which the merchant's clock showed the same, so many days before: no hour off where clocks were put forward in between. */
export function sameClock(time: number, daysBefore: number): number {
  const wanted = wall(time) - daysBefore * DAY_MS;
  const about = time - daysBefore * DAY_MS;
  return about - (wall(about) - wanted);
}
