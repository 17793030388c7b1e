/** What people call the orders that a page names by their ids only. */
import { reactive } from 'vue';
import { ask } from '@/api/client';
import { orderName } from '@/format';
import { find, onEvent } from '@/live/orders';
import { api, merchant } from '@/session';

/** As many as the API gives at once. */
const PAGE = 100;
/** How long, in milliseconds, to wait for more ids of the same page. */
const GATHER_MS = 20;

const names = reactive(new Map<string, string>());
const asked = new Set<string>();
let wanted: string[] = [];

// An order is called otherwise from when it is accepted.
onEvent(({ order_id: id }) => {
  if (id != null && asked.delete(id)) names.delete(id);
});

/** `#12`; before that is known, the end of its id. */
export function calledOrder(id: string): string {
  const open = find(id);
  if (open !== undefined) return orderName(open);
  if (!asked.has(id)) {
    asked.add(id);
    if (wanted.push(id) === 1) window.setTimeout(() => void learn(), GATHER_MS);
  }
  return names.get(id) ?? orderName({ id });
}

async function learn(): Promise<void> {
  const all = wanted;
  wanted = [];
  for (let from = 0; from < all.length; from += PAGE) {
    const ids = all.slice(from, from + PAGE);
    const query = { ids: ids.join(','), limit: PAGE };
    try {
      const page = await ask(api.GET('/v1/admin/merchants/{m}/orders', { params: { path: { m: merchant() }, query } }));
      page.items.forEach((order) => names.set(order.id, orderName(order)));
    } catch {
      // Asked again by whoever shows them next.
      ids.forEach((id) => asked.delete(id));
    }
  }
}
