/** Balances as people read them. Points and votes count in whole ones, tips in fen. */
import type { Schema } from '@/api/client';
import { fromFen, yuan } from '@/format';
import { t } from '@/i18n';

export type Account = Schema<'Account'>;
export type Kind = Account['kind'];

export const KINDS: readonly Kind[] = ['points', 'votes', 'tips'];

/** An account of a customer's that may not have been made yet, or one with a name. */
export interface Purse {
  kind: Kind;
  balance: number;
  account?: Account;
  customer?: string;
}

export function worth(kind: Kind, units: number): string {
  return kind === 'tips' ? yuan(fromFen(units)) : String(units);
}

/** `+5`, `-¥3.00` */
export function change(kind: Kind, delta: number): string {
  return delta > 0 ? `+${worth(kind, delta)}` : worth(kind, delta);
}

export function purseName({ kind, account, customer }: Purse): string {
  const whose = account?.name ?? t('office.points.customer', { id: (customer ?? '').slice(-4) });
  return `${whose} · ${t(`office.points.kinds.${kind}`)}`;
}

/** Why a balance changed, by the cause that made it happen once. */
export function causeName(cause: string): string {
  const [, of, what] =
    /^(order|refund) \S+ (spent|spent back|earned|earned back|granted|granted back)$/.exec(cause) ?? [];
  if (of === 'refund') {
    return t(what === 'earned back' ? 'office.points.causes.refundEarned' : 'office.points.causes.refundGranted');
  }
  if (what !== undefined) return t(`office.points.causes.${what.replace(' ', '_') as 'spent'}`);
  return cause.startsWith('correction ') ? t('office.points.causes.correction') : cause;
}
