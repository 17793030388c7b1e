/**
 * The menu as the staff see it, kept true while somebody looks at it.
 *
 * Contract: it shows what the service answered last. Events only say that it is to be asked for again, so that many at once cost one request.
 * What a change of one's own answered shows at once; an answer that was asked for before the change is thrown away.
 */
import { computed, onMounted, onUnmounted, reactive, shallowRef, watch } from 'vue';
import { ask, Problem, type Schema } from '@/api/client';
import { tell } from '@/components/doing';
import { TAP_MS } from '@/once';
import { api, merchant, session } from '@/session';
import type { MerchantEvent } from './feed';
import { live, onEvent } from './orders';

export type Goods = Schema<'StaffGoods'>;
export type Product = Omit<Schema<'StaffProduct'>, 'goods'> & { goods: Goods[] };
export type Category = Omit<Schema<'StaffCategory'>, 'products'> & { products: Product[] };

/** How long, in milliseconds, to wait for more changes of the menu before asking for it. */
const GATHER_MS = 150;
/** Orders take stock all the time: this long, in milliseconds, the numbers may lag behind them. */
const ORDERS_GATHER_MS = 3_000;
/** Names, pictures and places have no events: a look at everything now and then, in milliseconds. */
const SWEEP_MS = 60_000;

const categories = shallowRef<Category[]>([]);
const state = reactive({
  /** Whether it has been read at least once. */
  isLoaded: false,
  /** Why it could not be read the last time. */
  trouble: '',
});

/** The goods whom a tap has just been for. */
const busy = reactive(new Set<number>());

let watchers = 0;
let changes = 0;
let isAsking = false;
let isStale = false;
let due = Infinity;
let timer: number | undefined;
let sweep: number | undefined;
let unhook = () => {};

/** The menu, from when the component is there until it goes. */
export function useMenu() {
  onMounted(watchMenu);
  onUnmounted(leaveMenu);
  const all = computed(() => categories.value.flatMap((category) => category.products));
  return { categories, products: all, state };
}

function watchMenu(): void {
  watchers += 1;
  if (watchers === 1) {
    unhook = onEvent(heard);
    sweep = window.setInterval(() => void reload(), SWEEP_MS);
    document.addEventListener('visibilitychange', shown);
  }
  void reload();
}

function leaveMenu(): void {
  watchers -= 1;
  if (watchers > 0) return;
  unhook();
  window.clearInterval(sweep);
  window.clearTimeout(timer);
  due = Infinity;
  document.removeEventListener('visibilitychange', shown);
}

function shown(): void {
  if (document.visibilityState === 'visible') void reload();
}

function heard(event: MerchantEvent): void {
  if (event.kind === 'goods_changed') reloadIn(GATHER_MS);
  else if (movesStock(event)) reloadIn(ORDERS_GATHER_MS);
}

function movesStock({ kind, state }: MerchantEvent): boolean {
  const isOff = state === 'cancelled' || state === 'rejected';
  return kind === 'order_placed' || kind === 'order_refunded' || (kind === 'order_moved' && isOff);
}

/** Asks again within so many milliseconds. What is due sooner stays due sooner, and is not put off by what happens meanwhile. */
function reloadIn(ms: number): void {
  const at = Date.now() + ms;
  if (at >= due) return;
  due = at;
  window.clearTimeout(timer);
  timer = window.setTimeout(() => void reload(), ms);
}

// A connection that is back may have missed events.
watch(
  () => live.state,
  (now) => {
    if (now === 'live' && watchers > 0) void reload();
  },
);

// The next to log in on this device may belong to another merchant.
watch(
  () => session.kept,
  (kept) => {
    if (kept !== undefined) return;
    changes += 1;
    categories.value = [];
    Object.assign(state, { isLoaded: false, trouble: '' });
  },
);

/** Asks for all of it. Where an answer is awaited, one more request follows it, however often this is called meanwhile. */
export async function reload(): Promise<void> {
  due = Infinity;
  window.clearTimeout(timer);
  if (session.kept === undefined) return;
  isStale = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isStale && session.kept !== undefined) {
      isStale = false;
      const begun = changes;
      const menu = await ask(api.GET('/v1/admin/merchants/{m}/menu', { params: { path: { m: merchant() } } }));
      if (begun === changes) take(menu);
      else isStale = true;
    }
    state.trouble = '';
  } catch (cause) {
    if (!(cause instanceof Problem)) throw cause;
    state.trouble = cause.message;
    if (watchers > 0) reloadIn(ORDERS_GATHER_MS);
  } finally {
    isAsking = false;
  }
}

function take(menu: Schema<'StaffMenu'>): void {
  categories.value = menu.categories.map((category) => ({
    ...category,
    products: (category.products ?? []).map((product) => ({ ...product, goods: product.goods ?? [] })),
  }));
  state.isLoaded = true;
}

/** Changes the menu as it is shown, before the service is asked again. */
export function show(change: (categories: Category[]) => Category[]): void {
  changes += 1;
  categories.value = change(categories.value);
}

/** Shows goods as a change answered them. */
export function put(goods: Goods): void {
  const inProduct = (product: Product) =>
    product.id === goods.product_id
      ? { ...product, goods: product.goods.map((one) => (one.id === goods.id ? goods : one)) }
      : product;
  show((all) => all.map((category) => ({ ...category, products: category.products.map(inProduct) })));
}

/** The goods that one looks at, as they are now. */
export function findGoods(id: number): { product: Product; goods: Goods } | undefined {
  for (const category of categories.value)
    for (const product of category.products)
      for (const goods of product.goods) if (goods.id === id) return { product, goods };
  return undefined;
}

/** Whether a tap for these goods would be a second one. */
export function isTapped(goods: number): boolean {
  return busy.has(goods);
}

/**
 * Makes a change that answers goods, once however often it is tapped: a second tap would undo it. Whether it was made; what kept it from being made
 * has been told.
 */
async function tap(goods: number, change: () => Promise<Goods>): Promise<boolean> {
  if (busy.has(goods)) return false;
  busy.add(goods);
  const pause = new Promise((resolve) => window.setTimeout(resolve, TAP_MS));
  try {
    put(await change());
    return true;
  } catch (cause) {
    void reload();
    tell(cause);
    return false;
  } finally {
    void pause.then(() => busy.delete(goods));
  }
}

/** Says that there is none left. */
export function declareSoldOut(id: number): Promise<boolean> {
  const path = { m: merchant(), id };
  return tap(id, () => ask(api.PUT('/v1/admin/merchants/{m}/goods/{id}/sold-out', { params: { path } })));
}

/** Says that there are some again: those set aside, or as many as were counted. */
export function liftSoldOut(id: number, stock?: number): Promise<boolean> {
  return tap(id, () => lift(id, stock));
}

/** As many as were counted, for forms: what keeps it from being done is theirs to tell. @throws Problem */
export async function countSoldOut(id: number, stock: number): Promise<void> {
  put(await lift(id, stock));
}

function lift(id: number, stock: number | undefined): Promise<Goods> {
  const params = { path: { m: merchant(), id }, query: { stock } };
  return ask(api.DELETE('/v1/admin/merchants/{m}/goods/{id}/sold-out', { params }));
}

/** Puts goods on sale, or takes them off it. */
export function setOnSale(id: number, on_sale: boolean): Promise<boolean> {
  const path = { m: merchant(), id };
  return tap(id, () => ask(api.PATCH('/v1/admin/merchants/{m}/goods/{id}', { params: { path }, body: { on_sale } })));
}

/** The units that come back when it is lifted: those set aside, and what orders have given back since. */
export function unitsBack({ stock, sold_out_units }: Goods): number {
  return stock + (sold_out_units ?? 0);
}
