/**
 * The cart, which the service keeps: another tab, or the same customer's other device, has the same.
 *
 * Contract: what is tapped is shown at once, and sent one change after another; of several for the same goods the last is sent.
 */
import { computed, reactive, ref } from 'vue';
import { ask, Problem, type Schema } from '@/api/client';
import { fen, fromFen } from '@/format';
import { said, t } from '@/i18n';
import { api, m, mine, type Menu } from './shop';
import { tell } from './telling';

export type Cart = Schema<'Cart'>;
export type CartLine = Schema<'CartLine'>;

export const cart = ref<Cart>();

/** Units that were tapped and that the service has not heard of. */
const tapped = reactive(new Map<number, number>());
let isSending = false;

/** @throws Problem */
export async function loadCart(): Promise<void> {
  const loaded = await mine(() => ask(api.GET('/v1/merchants/{m}/cart', { params: { path: { m } } })));
  if (!isSending) cart.value = loaded;
}

const counts = computed(() => {
  const all = new Map((cart.value?.lines ?? []).map((line) => [line.goods_id, line.count]));
  tapped.forEach((count, goods) => all.set(goods, count));
  return all;
});

/** Units of goods in the cart. */
export function countOf(goods: number): number {
  return counts.value.get(goods) ?? 0;
}

/** Units in the cart, of all goods. */
export const units = computed(() => [...counts.value.values()].reduce((sum, count) => sum + count, 0));

/** Whether what is shown is what the service has. */
export const isSettled = computed(() => tapped.size === 0);

/** Puts so many units of goods into the cart, or takes them out with none. */
export function put(goods: number, count: number): void {
  tapped.set(goods, count);
  void send();
}

async function send(): Promise<void> {
  if (isSending) return;
  isSending = true;
  try {
    for (let next = first(); next !== undefined; next = first()) {
      const [goods, count] = next;
      cart.value = await mine(() => change(goods, count));
      if (tapped.get(goods) === count) tapped.delete(goods);
    }
  } catch (cause) {
    // What did not get through is not in the cart, and must not look as if it were.
    tapped.clear();
    tell(cause);
  } finally {
    isSending = false;
  }
}

function first(): [number, number] | undefined {
  return tapped.entries().next().value;
}

function change(goods_id: number, count: number): Promise<Cart> {
  const path = { m, goods_id };
  // Who asks for more of it means to order it, whatever was ticked before.
  const body = { count, selected: true };
  return count > 0
    ? ask(api.PUT('/v1/merchants/{m}/cart/lines/{goods_id}', { params: { path }, body }))
    : ask(api.DELETE('/v1/merchants/{m}/cart/lines/{goods_id}', { params: { path } }));
}

/** Says whether the next order takes goods of the cart. @throws Problem */
export async function select(goods_id: number, selected: boolean): Promise<void> {
  const params = { path: { m, goods_id } };
  const body = { selected };
  cart.value = await mine(() => ask(api.PATCH('/v1/merchants/{m}/cart/lines/{goods_id}', { params, body })));
}

/** @throws Problem */
export async function selectAll(selected: boolean): Promise<void> {
  const params = { path: { m } };
  cart.value = await mine(() => ask(api.PUT('/v1/merchants/{m}/cart/selection', { params, body: { selected } })));
}

/** @throws Problem */
export async function clear(): Promise<void> {
  cart.value = await mine(() => ask(api.DELETE('/v1/merchants/{m}/cart', { params: { path: { m } } })));
}

/** What the next order takes. */
export const chosen = computed(() => cart.value?.lines.filter((line) => line.selected) ?? []);

/** What of it cannot be ordered as it stands. */
export const shortages = computed(() => chosen.value.filter((line) => !line.orderable));

/** Units of a line that could be ordered. */
export function there(line: CartLine): number {
  return line.on_sale ? Math.min(line.left, line.count) : 0;
}

/** Lowers what cannot be had to what is there. What is not there at all stays in the cart, for another day. @throws Problem */
export async function takeWhatIsThere(): Promise<void> {
  for (const line of shortages.value) {
    const count = there(line);
    if (count > 0) cart.value = await mine(() => change(line.goods_id, count));
    else await select(line.goods_id, false);
  }
}

/** What people call the goods of a line. */
export function dish(line: Pick<CartLine, 'goods_id' | 'name' | 'spec'>): string {
  if (line.name == null) return t('demo.cart.unknown', { id: line.goods_id });
  return line.spec == null || said(line.spec) === '' ? said(line.name) : `${said(line.name)} · ${said(line.spec)}`;
}

/** Puts what an order had into the cart. Returns the dishes that have left the menu since. @throws Problem */
export async function orderAgain(lines: readonly Schema<'OrderLine'>[]): Promise<string[]> {
  const left: string[] = [];
  for (const line of lines) {
    try {
      cart.value = await mine(() => change(line.goods_id, line.count));
    } catch (cause) {
      if (!(cause instanceof Problem) || !['not_on_sale', 'unknown_goods'].includes(cause.code)) throw cause;
      left.push(dish(line));
    }
  }
  return left;
}

/** What lines cost that are ordered as far as they are there. */
export function amountOfWhatIsThere(): string {
  return fromFen(chosen.value.reduce((sum, line) => sum + fen(line.price ?? '0') * there(line), 0));
}

/** The least that the dishes of an order must cost, in fen: a delivery has a minimum, other orders have none. */
export function least(of: Menu | undefined, isDelivery: boolean): number {
  return of !== undefined && isDelivery ? fen(of.minimum_amount) : 0;
}

/** What an order costs, as the service reckons it. */
export interface Bill {
  freight: string;
  /** The most points that can be spent on it. */
  pointsMost: number;
  pointsAmount: string;
  total: string;
}

export function bill(of: Menu, goodsAmount: string, isDelivery: boolean, points: number): Bill {
  const goods = fen(goodsAmount);
  const isFree = of.free_freight_from != null && goods >= fen(of.free_freight_from);
  const freight = isDelivery && !isFree ? fen(of.freight) : 0;
  const rate = of.points_per_yuan;
  const gross = goods + freight;
  const off = rate === 0 ? 0 : Math.min(Math.floor((points * 100) / rate), gross);
  return {
    freight: fromFen(freight),
    pointsMost: Math.ceil((gross * rate) / 100),
    pointsAmount: fromFen(off),
    total: fromFen(gross - off),
  };
}
