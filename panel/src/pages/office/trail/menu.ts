/** What stands on the menu, by the numbers that the trail names it by. */
import { reactive } from 'vue';
import { ask } from '@/api/client';
import { said } from '@/i18n';
import { api, merchant } from '@/session';

type Kind = 'category' | 'product' | 'goods';
type Text = { zh: string; en: string };

const names = reactive(new Map<string, readonly Text[]>());

/** A dish and its spec by name, if it is on the menu. */
export function onMenu(kind: Kind, id: number | string): string | undefined {
  return names.get(`${kind} ${id}`)?.map(said).filter(Boolean).join(' · ');
}

/** Reads the menu. Without it the trail names things by their numbers. */
export async function readMenu(): Promise<void> {
  try {
    const menu = await ask(api.GET('/v1/admin/merchants/{m}/menu', { params: { path: { m: merchant() } } }));
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
