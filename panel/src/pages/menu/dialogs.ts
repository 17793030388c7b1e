/** What is open on top of the menu: one thing of a kind at a time. */
import { reactive } from 'vue';
import { tell } from '@/components/doing';
import type { Category, Goods, Product } from '@/live/menu';
import { readAccounts } from './accounts';

/** Things that are put into an order. */
export interface Arrangement {
  title: string;
  items: readonly { id: number; name: string }[];
  /** @throws Problem */
  save(ids: number[]): Promise<void>;
}

interface Dialogs {
  /** Its category is absent where one is added; likewise below. */
  category?: { category?: Category };
  product?: { categoryId: number; product?: Product };
  goods?: { product: Product; goods?: Goods };
  /** The goods whose stock is changed. */
  stock?: number;
  /** The goods whose history is read. */
  history?: number;
  arrangement?: Arrangement;
  importing?: boolean;
}

export const dialogs = reactive<Dialogs>({});

export function closeAll(): void {
  Object.keys(dialogs).forEach((name) => delete dialogs[name as keyof Dialogs]);
}

/** Adds goods to a dish, or changes them. The accounts that they may credit are read first: what an amount means depends on them. */
export async function openGoods(product: Product, goods?: Goods): Promise<void> {
  await withAccounts(() => (dialogs.goods = { product, goods }));
}

/** Adds a dish to a category, or changes it. */
export async function openProduct(categoryId: number, product?: Product): Promise<void> {
  await withAccounts(() => (dialogs.product = { categoryId, product }));
}

async function withAccounts(open: () => void): Promise<void> {
  try {
    await readAccounts();
    open();
  } catch (cause) {
    tell(cause);
  }
}
