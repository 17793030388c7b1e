/** Which orders are listed. The address bar holds it, in the API's own names, so that it survives a reload and can be sent to others. */
import type { LocationQuery, LocationQueryRaw } from 'vue-router';
import { isDay } from '@/components/days';
import type { Order, OrderState } from '@/live/orders';

export const STATES = [
  'pending_payment',
  'pending_accept',
  'accepted',
  'preparing',
  'ready',
  'delivering',
  'completed',
  'cancelled',
  'rejected',
] as const satisfies OrderState[];
export const PAY_METHODS = ['cash', 'wechat', 'alipay', 'sandbox'] as const satisfies Order['pay_method'][];
export const FULFILMENTS = ['dine_in', 'pickup', 'delivery'] as const satisfies Order['fulfilment']['kind'][];
/** Letters that the API takes for a text. */
export const TEXT_MAX = 50;

export interface Filter {
  states: OrderState[];
  from: string | undefined;
  to: string | undefined;
  payMethod: Order['pay_method'] | undefined;
  fulfilment: Order['fulfilment']['kind'] | undefined;
  text: string;
}

/** What the address bar says, without what makes no sense. */
export function read(query: LocationQuery): Filter {
  const text = (name: string) => (typeof query[name] === 'string' ? query[name] : '');
  const named = text('state').split(',');
  const day = (name: string) => (isDay(text(name)) ? text(name) : undefined);
  return {
    states: STATES.filter((state) => named.includes(state)),
    from: day('from'),
    to: day('to'),
    payMethod: PAY_METHODS.find((method) => method === text('pay_method')),
    fulfilment: FULFILMENTS.find((kind) => kind === text('fulfilment')),
    text: text('q').slice(0, TEXT_MAX),
  };
}

/** Where the page begins; undefined for the first one. */
export function readCursor({ cursor }: LocationQuery): string | undefined {
  return typeof cursor === 'string' && /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(cursor) ? cursor : undefined;
}

/** The filter as the API, and the address bar, want it; what does not narrow down is absent. */
export function write({ states, from, to, payMethod, fulfilment, text }: Filter) {
  return {
    ...(states.length > 0 && { state: states.join(',') }),
    ...(from !== undefined && { from }),
    ...(to !== undefined && { to }),
    ...(payMethod !== undefined && { pay_method: payMethod }),
    ...(fulfilment !== undefined && { fulfilment }),
    ...(text.trim() !== '' && { q: text.trim() }),
  } satisfies LocationQueryRaw;
}
