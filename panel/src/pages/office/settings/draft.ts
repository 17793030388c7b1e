/** The settings as a form holds them, what is wrong with them, and what of them is to be sent. */
import type { Schema } from '@/api/client';
import { fen, fromFen } from '@/format';
import { t } from '@/i18n';

export type Settings = Schema<'Settings'>;

/** Each setting under its name; what is none is empty here. */
export interface Draft {
  name: { zh: string; en: string };
  time_zone: string;
  hours: { opens_at: string; closes_at: string } | null;
  fulfilments: Settings['fulfilments'];
  takes_cash: boolean;
  minimum_amount: string;
  freight: string;
  free_freight_from: string;
  unpaid_minutes: number | null;
  accept_minutes: number | null;
  day_starts_at: string;
  auto_accept: boolean;
  accept_timeout: Settings['accept_timeout'];
  complete_after_minutes: number | null;
  customer_cancels: boolean;
  points_per_yuan: number | null;
  points_earned_per_yuan: number | null;
  points_earned_on: Settings['points_earned_on'];
  webhook_url: string;
}

/** The fields as the API names them. */
export const FIELDS = [
  'name.zh',
  'name.en',
  'time_zone',
  'hours.opens_at',
  'hours.closes_at',
  'fulfilments',
  'takes_cash',
  'minimum_amount',
  'freight',
  'free_freight_from',
  'unpaid_minutes',
  'accept_minutes',
  'complete_after_minutes',
  'day_starts_at',
  'points_per_yuan',
  'points_earned_per_yuan',
  'webhook_url',
] as const;

export type Field = (typeof FIELDS)[number];

/** The least and the most of what is counted. */
export const RANGES = {
  unpaid_minutes: { min: 5, max: 120 },
  accept_minutes: { min: 1, max: 120 },
  complete_after_minutes: { min: 10, max: 10_080 },
  points_per_yuan: { min: 0, max: 10_000 },
  points_earned_per_yuan: { min: 0, max: 10_000 },
} as const;

/** How orders can be had, in the order that the API names them. */
export const FULFILMENTS = ['dine_in', 'pickup', 'delivery'] as const satisfies Settings['fulfilments'];

const NAME_MAX = 50;
const AMOUNT_MAX_FEN = 100_000_000;

export function draftOf(settings: Settings): Draft {
  const { name, hours, free_freight_from, complete_after_minutes, webhook_url, ...rest } = settings;
  const kept = Object.fromEntries(
    Object.entries(rest).filter(([field]) => !['paused', 'webhook_secret'].includes(field)),
  );
  return {
    ...(kept as Omit<Draft, 'name' | 'hours' | 'free_freight_from' | 'complete_after_minutes' | 'webhook_url'>),
    name: { ...name },
    hours: hours == null ? null : { ...hours },
    free_freight_from: free_freight_from ?? '',
    complete_after_minutes: complete_after_minutes ?? null,
    webhook_url: webhook_url ?? '',
  };
}

/** What is wrong with a draft, field by field. */
export function faults(draft: Draft): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  const refuse = (field: Field, isWrong: boolean, words: string) => {
    if (isWrong) found[field] = words;
  };
  for (const side of ['zh', 'en'] as const) {
    const length = [...draft.name[side].trim()].length;
    refuse(`name.${side}`, length < 1 || length > NAME_MAX, t('office.settings.wrong.name'));
  }
  if (draft.hours !== null) {
    const { opens_at: opens, closes_at: closes } = draft.hours;
    refuse('hours.closes_at', asTime(opens) === asTime(closes), t('office.settings.wrong.sameTime'));
    refuse('hours.opens_at', asTime(opens) === undefined, t('office.settings.wrong.time'));
    refuse('hours.closes_at', asTime(closes) === undefined, t('office.settings.wrong.time'));
  }
  refuse('day_starts_at', asTime(draft.day_starts_at) === undefined, t('office.settings.wrong.time'));
  for (const field of ['minimum_amount', 'freight', 'free_freight_from'] as const) {
    const isNone = field === 'free_freight_from' && draft[field].trim() === '';
    refuse(field, !isNone && !isAmount(draft[field]), t('office.settings.wrong.amount'));
  }
  for (const field of ['unpaid_minutes', 'accept_minutes', 'points_per_yuan', 'points_earned_per_yuan'] as const) {
    refuse(field, draft[field] === null, t('office.settings.wrong.range', RANGES[field]));
  }
  const url = draft.webhook_url.trim();
  refuse('webhook_url', url !== '' && !/^https?:\/\/[^\s/?#@]+([/?#]\S*)?$/i.test(url), t('office.settings.wrong.url'));
  return found;
}

/** What a draft changes of the settings that it was made from: nothing else is sent, so that two people at once change what each means to. */
export function changes(settings: Settings, draft: Draft): Schema<'ChangeSettings'> {
  const [before, after] = [toSend(draftOf(settings)), toSend(draft)];
  const changed = Object.entries(after).filter(
    ([field, value]) => JSON.stringify(value) !== JSON.stringify(before[field as keyof typeof before]),
  );
  return Object.fromEntries(changed);
}

function toSend(draft: Draft): Schema<'ChangeSettings'> {
  const time = (typed: string) => asTime(typed) ?? typed.trim();
  const amount = (typed: string) => (isAmount(typed) ? fromFen(fen(typed.trim())) : typed.trim());
  return {
    ...draft,
    name: { zh: draft.name.zh.trim(), en: draft.name.en.trim() },
    hours:
      draft.hours === null ? null : { opens_at: time(draft.hours.opens_at), closes_at: time(draft.hours.closes_at) },
    day_starts_at: time(draft.day_starts_at),
    // Whichever was ticked last.
    fulfilments: FULFILMENTS.filter((kind) => draft.fulfilments.includes(kind)),
    minimum_amount: amount(draft.minimum_amount),
    freight: amount(draft.freight),
    free_freight_from: draft.free_freight_from.trim() === '' ? null : amount(draft.free_freight_from),
    webhook_url: draft.webhook_url.trim() === '' ? null : draft.webhook_url.trim(),
  };
}

/** A time of day as people type it: `9`, `930`, `9:30` or `9：30`. */
export function asTime(typed: string): string | undefined {
  const [, hour, minute = '00'] = /^([01]?\d|2[0-3])(?:[:：.]?([0-5]\d))?$/.exec(typed.trim()) ?? [];
  return hour === undefined ? undefined : `${hour.padStart(2, '0')}:${minute}`;
}

function isAmount(text: string): boolean {
  return /^\d{1,9}(\.\d{1,2})?$/.test(text.trim()) && fen(text.trim()) <= AMOUNT_MAX_FEN;
}
