/** Finding dishes by what people type and by what is the matter with them. */
import type { Goods, Product } from '@/live/menu';

/** So many units, or fewer, are few. */
export const LOW_STOCK = 5;

export type Matter = 'all' | 'sold_out' | 'off_sale' | 'low';

/** Whether customers can order few more of it, or no more. */
export function isLow({ on_sale, sold_out, stock }: Goods): boolean {
  return on_sale && !sold_out && stock <= LOW_STOCK;
}

export function is(goods: Goods, matter: Matter): boolean {
  switch (matter) {
    case 'all':
      return true;
    case 'sold_out':
      return goods.sold_out;
    case 'off_sale':
      return !goods.on_sale;
    case 'low':
      return isLow(goods);
  }
}

/** Whether each word that was typed stands in one of the dish's names or specs, in either language. */
export function reads(product: Product, typed: string): boolean {
  const names = [product.name, ...product.goods.map((goods) => goods.spec)];
  const text = names
    .map(({ zh, en }) => `${zh} ${en}`)
    .join(' ')
    .toLowerCase();
  return typed
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
