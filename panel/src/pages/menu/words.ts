/** What the menu's things are called. */
import { fromFen, yuan } from '@/format';
import { said, t } from '@/i18n';
import type { Goods, Product } from '@/live/menu';
import { accounts } from './accounts';
import { isTip } from './goods';

/** The most units of goods there may be. */
export const STOCK_MAX = 10_000_000;

/** A dish in one spec, as staff call it. */
export function goodsName(product: Product, goods: Goods): string {
  return `${said(product.name)} · ${said(goods.spec)}`;
}

/** The other language of a text, where it says something else. */
export function alsoSaid(text: { zh: string; en: string }): string {
  const other = said(text) === text.zh ? text.en : text.zh;
  return other === said(text) ? '' : other;
}

const BY_HAND = ['order', 'delivery', 'count', 'waste', 'correction', 'other'] as const;
const BY_ITSELF = ['opening', 'sold_out', 'sold_out_lifted', 'daily_reset'] as const;

/** Why stock was moved. */
export function reasonName(reason: string): string {
  const byHand = BY_HAND.find((name) => name === reason);
  if (byHand !== undefined) return t(`common.stockReasons.${byHand}`);
  const byItself = BY_ITSELF.find((name) => name === reason);
  return byItself === undefined ? reason : t(`menu.reasons.${byItself}`);
}

/** What paying for a unit credits, and to whom. */
export function grantName({ grant }: Goods): string {
  if (grant == null) return '';
  const to = grant.account_id ?? grant.kind ?? '';
  const account = accounts.value.find((one) => one.id === to);
  const kind = account?.kind ?? (grant.kind as 'points' | 'votes' | 'tips' | null | undefined);
  const amount = isTip(to, accounts.value) ? yuan(fromFen(grant.per_unit)) : String(grant.per_unit);
  const what = kind == null ? amount : `${amount} ${t(`menu.kinds.${kind}`)}`;
  return grant.account_id == null
    ? t('menu.grants', { what })
    : t('menu.grantsTo', { what, name: account?.name ?? '…' });
}
