/** What stands on the menu and in the books, by the ids that the trail names it by. */
import { reactive } from 'vue';
import { ask } from '@/api/client';
import { said } from '@/i18n';
import { api, merchant } from '@/session';

type Kind = 'category' | 'product' | 'goods' | 'account';
type Text = { zh: string; en: string };

const names = reactive(new Map<string, readonly Text[]>());

/** A dish with its spec, or an account, if it has a name. */
export function nameIn(kind: Kind, id: number | string): string | undefined {
  return names.get(`${kind} ${id}`)?.map(said).filter(Boolean).join(' · ');
}

/** Reads the names. Without them the trail calls things by their ids. */
export async function readNames(): Promise<void> {
  const path = { m: merchant() };
  try {
    const [menu, accounts] = await Promise.all([
      ask(api.GET('/v1/admin/merchants/{m}/menu', { params: { path } })),
      ask(api.GET('/v1/admin/merchants/{m}/accounts', { params: { path } })),
    ]);
    for (const { id, name } of accounts.items) {
      if (name != null) names.set(`account ${id}`, [{ zh: name, en: name }]);
    }
    for (const category of menu.categories) {
      names.set(`category ${category.id}`, [category.name]);
      for (const product of category.products ?? []) {
        names.set(`product ${product.id}`, [product.name]);
        for (const goods of product.goods ?? []) names.set(`goods ${goods.id}`, [product.name, goods.spec]);
      }
    }
  } catch {
    // Read again when the page is opened again.
  }
}
