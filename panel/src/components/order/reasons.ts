/** Why orders are rejected, cancelled or paid back. */
import type { Schema } from '@/api/client';
import { t } from '@/i18n';

/** What people may give as a reason. */
export type Reason = Schema<'Reason'>['reason'];

const OF_PEOPLE: readonly string[] = [
  'changed_mind',
  'ordered_by_mistake',
  'took_too_long',
  'sold_out',
  'too_busy',
  'closing',
  'out_of_reach',
  'bad_quality',
  'no_show',
  'other',
] satisfies Reason[];

/** Those that deadlines and gateways give. */
const BY_THEMSELVES = ['pay_timeout', 'accept_timeout', 'payment_not_wanted'] as const;

/** A reason's code in words. A code that is newer than this panel stands for itself. */
export function reasonWord(code: string): string {
  if (OF_PEOPLE.includes(code)) return t(`common.reasons.${code as Reason}`);
  const own = BY_THEMSELVES.find((known) => known === code);
  return own === undefined ? code : t(`orders.reasons.${own}`);
}
