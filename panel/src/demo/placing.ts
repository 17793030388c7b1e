/**
 * Places the cart, once.
 *
 * Contract: the key and the request are written down before they are sent, and stay until there is an answer to them: an order or a refusal.
 * Whatever happens in between (a lost connection, a closed page, a second tap), the same request goes out under the same key, which the
 * service places once. Nothing is sent again by itself after the page was left: the customer may have changed their mind.
 */
import { reactive, readonly } from 'vue';
import { ask, newKey, Problem, type Schema } from '@/api/client';
import { api, customer, m, mine } from './shop';

/** How long to wait before each further try, in milliseconds. */
const WAITS_MS = [1_000, 2_000];

interface Pending {
  key: string;
  body: Schema<'PlaceOrder'>;
}

const KEPT_AS = `rowlock.demo.${m}.${customer.name}.placing`;

const state = reactive({
  /** The request that has no answer yet. */
  pending: read(),
  /** Whether all tries at it have failed, or another page made them: then it is for the customer to go on. */
  isDoubtful: read() !== undefined,
  isSending: false,
});

export const placing = readonly(state);

// Another tab has placed it, or begun to.
window.addEventListener('storage', (event) => {
  if (event.key !== KEPT_AS || state.isSending) return;
  state.pending = read();
  state.isDoubtful = state.pending !== undefined;
});

function read(): Pending | undefined {
  try {
    return (JSON.parse(localStorage.getItem(KEPT_AS) ?? 'null') as Pending | null) ?? undefined;
  } catch {
    return undefined;
  }
}

function keep(pending: Pending | undefined): void {
  state.pending = pending;
  state.isDoubtful &&= pending !== undefined;
  if (pending === undefined) localStorage.removeItem(KEPT_AS);
  else localStorage.setItem(KEPT_AS, JSON.stringify(pending));
}

/** Places an order; the one that has no answer yet comes first. @throws Problem */
export async function place(body: Schema<'PlaceOrder'>): Promise<Schema<'Order'>> {
  keep(read() ?? { key: newKey(), body });
  return await resume();
}

/** Sends what has no answer yet. @throws Problem */
export async function resume(): Promise<Schema<'Order'>> {
  const pending = state.pending;
  if (pending === undefined) throw new Error('nothing is pending');
  state.isSending = true;
  try {
    for (const wait of [...WAITS_MS, undefined]) {
      try {
        const order = await mine(() => send(pending));
        keep(undefined);
        return order;
      } catch (cause) {
        if (!(cause instanceof Problem)) throw cause;
        if (isAnswer(cause)) keep(undefined);
        else state.isDoubtful ||= wait === undefined;
        if (isAnswer(cause) || wait === undefined) throw cause;
        await new Promise((resolve) => window.setTimeout(resolve, wait));
      }
    }
    throw new Error('the last try returns or throws');
  } finally {
    state.isSending = false;
  }
}

/** Lets go of a request. Should it have been placed, the customer finds it among their orders. */
export function giveUp(): void {
  keep(undefined);
}

function send({ key, body }: Pending): Promise<Schema<'Order'>> {
  const params = { path: { m }, header: { 'Idempotency-Key': key } };
  return ask(api.POST('/v1/merchants/{m}/orders', { params, body }));
}

/** Whether the service has said no. Anything else leaves open whether an earlier try stands. */
function isAnswer({ code, status }: Problem): boolean {
  return status >= 400 && status < 500 && ![401, 408, 429].includes(status) && code !== 'unknown';
}
