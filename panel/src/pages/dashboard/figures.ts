/** Figures of the merchant's days of business, as the API sums them up, and how two of them compare in words. */
import { ask, type Schema } from '@/api/client';
import { fen, fromFen, yuan } from '@/format';
import { i18n, t } from '@/i18n';
import { api, merchant } from '@/session';

export type Sums = Schema<'StatisticsSums'>;

export type Figures = Schema<'Statistics'>;

/** What the days came to; only what was placed before `until`, where that is given. @throws Problem */
export async function figures(query: { from: string; to: string; until?: string }): Promise<Figures> {
  const path = { m: merchant() };
  return ask(api.GET('/v1/admin/merchants/{m}/statistics', { params: { path, query } }));
}

/** A figure as it is shown. */
export interface Shown {
  value: string;
  /** What it was before. */
  before: string | undefined;
  /** How it differs, in words. */
  difference: string;
  /** Whether it is more or less than before. */
  trend: -1 | 0 | 1;
}

export function turnover(now: Sums, before: Sums): Shown {
  return money(now.turnover, before.turnover);
}

export function average(now: Sums, before: Sums): Shown {
  return money(now.average, before.average);
}

export function placed(now: Sums, before: Sums): Shown {
  const by = now.placed - before.placed;
  const words = String(Math.abs(by));
  return shown(String(now.placed), String(before.placed), by, words, 'more', 'less', share(now.placed, before.placed));
}

export function rate(of: 'cancelled' | 'rejected', now: Sums, before: Sums): Shown {
  const part = (sums: Sums) => (sums.placed === 0 ? undefined : sums[of] / sums.placed);
  const [is, was] = [part(now), part(before)];
  // What is shown is rounded; a difference that rounding hides is none.
  const by = Math.round((is ?? 0) * 1000) - Math.round((was ?? 0) * 1000);
  const percents = [is, was].map((value) => (value === undefined ? undefined : percent(value)));
  return shown(percents[0], percents[1], by, String(Math.abs(by) / 10), 'higher', 'lower');
}

export function waits(now: Sums, before: Sums): Shown {
  const [is, was] = [now.mean_accept_seconds, before.mean_accept_seconds];
  const by = (is ?? 0) - (was ?? 0);
  return shown(told(is), told(was), by, told(Math.abs(by)) ?? '', 'slower', 'faster');
}

function money(now: string | null | undefined, before: string | null | undefined): Shown {
  const [is, was] = [now ?? undefined, before ?? undefined];
  const by = is === undefined || was === undefined ? 0 : fen(is) - fen(was);
  const part = is === undefined || was === undefined ? '' : share(fen(is), fen(was));
  return shown(is && yuan(is), was && yuan(was), by, yuan(fromFen(Math.abs(by))), 'more', 'less', part);
}

type Word = 'more' | 'less' | 'higher' | 'lower' | 'slower' | 'faster';

function shown(
  value: string | undefined,
  before: string | undefined,
  by: number,
  words: string,
  up: Word,
  down: Word,
  part = '',
): Shown {
  if (value === undefined || before === undefined) {
    const difference = before === undefined ? t('dashboard.noBefore') : '';
    return { value: value ?? t('dashboard.none'), before, difference, trend: 0 };
  }
  const trend = Math.sign(by) as -1 | 0 | 1;
  const difference = trend === 0 ? t('dashboard.same') : t(`dashboard.${trend > 0 ? up : down}`, { by: words }) + part;
  return { value, before, difference, trend };
}

/** By how much of what it was, in brackets; nothing of nothing is no share. */
function share(now: number, before: number): string {
  if (before === 0) return '';
  const by = (now - before) / before;
  return ` (${by > 0 ? '+' : ''}${percent(by)})`;
}

function percent(value: number): string {
  return new Intl.NumberFormat(i18n.global.locale.value, { style: 'percent', maximumFractionDigits: 1 }).format(value);
}

/** `45 s`, or `3:05`. */
function told(seconds: number | null | undefined): string | undefined {
  if (seconds == null) return undefined;
  if (seconds < 60) return t('common.seconds', { n: seconds });
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
