/** Days of business as `2026-11-21`: they begin at the merchant's own hour, by the merchant's clock, wherever the panel is opened. */
import { business } from '@/session';

const DAY_MS = 86_400_000;

/** The day of business that a moment belongs to. */
export function dayOf(time: number): string {
  const { time_zone: timeZone, day_starts_at: startsAt } = business.value ?? {
    time_zone: 'Asia/Shanghai',
    day_starts_at: '00:00',
  };
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(time);
  const part = (name: string) => parts.find(({ type }) => type === name)?.value ?? '';
  const day = `${part('year')}-${part('month')}-${part('day')}`;
  return `${part('hour')}:${part('minute')}` < startsAt ? plusDays(day, -1) : day;
}

/** So many days later, or, below zero, earlier. */
export function plusDays(day: string, days: number): string {
  return new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
}

/** Whether it is a day at all. */
export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));
}
