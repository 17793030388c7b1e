/**
 * The orders that are open, kept true while the panel is.
 *
 * Contract: an order shows what the service answered last about it. Events only say which orders to ask for again, so that what comes late, twice
 * or out of order does no harm; answers are asked for one after the other, and never overwrite what a move made in the meantime.
 */
import { computed, reactive, ref, shallowReactive } from 'vue';
import { ask, Problem, type Schema } from '@/api/client';
import { api, merchant, session } from '@/session';
import { Feed, type FeedState, type MerchantEvent } from './feed';

export type Order = Schema<'Order'>;
export type OrderState = Order['state'];

/** The states of the board, in the order of its columns. */
export const OPEN_STATES = [
  'pending_payment',
  'pending_accept',
  'accepted',
  'preparing',
  'ready',
  'delivering',
] as const;

/** As many as the API gives at once. */
const PAGE = 100;
/** How long, in milliseconds, to wait for more events before asking for what they name. */
const GATHER_MS = 40;
/** A look at everything now and then, in milliseconds, should anything ever be missed. */
const SWEEP_MS = 120_000;

const orders = shallowReactive(new Map<string, Order>());
const hooks = new Set<(event: MerchantEvent) => void>();

export const live = reactive({
  state: 'connecting' as FeedState,
  /** Whether the orders have been read at least once. */
  isLoaded: false,
});

/** What the clock says, for ages and deadlines; moves on by itself. */
export const now = ref(Date.now());

/** The open orders of each state, the oldest first. */
export const columns = computed(() => {
  const of = new Map<OrderState, Order[]>(OPEN_STATES.map((state) => [state, []]));
  for (const order of orders.values()) of.get(order.state)?.push(order);
  for (const column of of.values()) column.sort((a, b) => (a.id < b.id ? -1 : 1));
  return of;
});

export function find(id: string): Order | undefined {
  return orders.get(id);
}

/** Calls for every event from now on; returns how to end it. */
export function onEvent(hook: (event: MerchantEvent) => void): () => void {
  hooks.add(hook);
  return () => hooks.delete(hook);
}

const stale = new Set<string>();
/** Which request's answer an order shows: later ones know better. */
const answeredAt = new Map<string, number>();
let requests = 0;
let isAsking = false;
let isResetting = false;
let timers: number[] = [];

const feed = new Feed({
  event(event) {
    if (event.order_id != null) refresh(event.order_id);
    hooks.forEach((hook) => hook(event));
  },
  reset: () => void reload(),
  state: (state) => (live.state = state),
});

/** Begins to follow the merchant whom the session is for. */
export async function follow(): Promise<void> {
  unfollow();
  timers = [
    window.setInterval(() => (now.value = Date.now()), 1000),
    window.setInterval(() => void reload(), SWEEP_MS),
  ];
  const since = session.kept;
  while (session.kept !== undefined && session.kept === since) {
    try {
      // First the number, then the orders: what happens in between is told twice, not never.
      const at = await Feed.now();
      await load();
      if (session.kept === since) feed.start(at);
      return;
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause;
      live.state = 'reconnecting';
      await new Promise((resolve) => window.setTimeout(resolve, 2000));
    }
  }
}

export function unfollow(): void {
  feed.stop();
  timers.forEach((timer) => window.clearInterval(timer));
  orders.clear();
  stale.clear();
  answeredAt.clear();
  Object.assign(live, { state: 'connecting', isLoaded: false });
}

/** A tablet that wakes up, or a network that is back, does not wait for the next try. */
export function wake(): void {
  if (session.kept === undefined) return;
  feed.hurry();
  void reload();
}

/** Takes in what a move answered. */
export function put(order: Order): void {
  take(order, ++requests);
}

/** Asks for an order again, together with others that changed at this moment. */
export function refresh(id: string): void {
  stale.add(id);
  if (!isAsking) {
    isAsking = true;
    window.setTimeout(() => void catchUp(), GATHER_MS);
  }
}

/** Shows what a request was answered, if no later one was answered before. */
function take(order: Order, request: number): void {
  if ((answeredAt.get(order.id) ?? 0) > request) return;
  answeredAt.set(order.id, request);
  const isOpen = (OPEN_STATES as readonly OrderState[]).includes(order.state);
  if (isOpen) orders.set(order.id, Object.freeze(order));
  else orders.delete(order.id);
}

async function catchUp(): Promise<void> {
  try {
    while (stale.size > 0 && session.kept !== undefined) {
      const ids = [...stale].slice(0, PAGE);
      ids.forEach((id) => stale.delete(id));
      const begun = ++requests;
      const m = merchant();
      const query = { ids: ids.join(','), limit: PAGE };
      try {
        const page = await ask(api.GET('/v1/admin/merchants/{m}/orders', { params: { path: { m }, query } }));
        page.items.forEach((order) => take(order, begun));
      } catch {
        ids.forEach((id) => stale.add(id));
        if (session.kept === undefined) return;
        await new Promise((resolve) => window.setTimeout(resolve, 1000));
      }
    }
  } finally {
    isAsking = false;
  }
}

/** Reads everything anew, as long as nobody is at it. */
async function reload(): Promise<void> {
  if (isResetting || !live.isLoaded) return;
  isResetting = true;
  try {
    await load();
  } catch {
    // The sweep, or the next reset, tries again.
  } finally {
    isResetting = false;
  }
}

/** @throws Problem */
async function load(): Promise<void> {
  const begun = ++requests;
  const m = merchant();
  const found = new Map<string, Order>();
  let cursor: string | undefined;
  do {
    const query = { state: OPEN_STATES.join(','), limit: PAGE, cursor };
    const page = await ask(api.GET('/v1/admin/merchants/{m}/orders', { params: { path: { m }, query } }));
    page.items.forEach((order) => found.set(order.id, order));
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  for (const id of orders.keys()) if (!found.has(id)) refresh(id);
  found.forEach((order) => take(order, begun));
  for (const [id, request] of answeredAt) if (request < begun && !found.has(id)) answeredAt.delete(id);
  live.isLoaded = true;
}
