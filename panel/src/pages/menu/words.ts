/** What the menu's things are called. */
import { said } from '@/i18n';
import type { Goods, Product } from '@/live/menu';

/** The most units of goods there may be. */
export const STOCK_MAX = 10_000_000;

/** A dish in one spec, as staff call it. */
export function goodsName(product: Product, goods: Goods): string {
  return `${said(product.name)} · ${said(goods.spec)}`;
}
