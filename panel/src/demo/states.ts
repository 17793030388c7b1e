/** Where an order stands, as its customer says it. */
import type { Schema } from '@/api/client';
import { t } from '@/i18n';

export type Order = Schema<'Order'>;
type State = Order['state'];

export function stateWords(order: Order): string {
  const { state, fulfilment } = order;
  return state === 'ready' ? t(`demo.states.ready_${fulfilment.kind}`) : t(`demo.states.${state}`);
}

const OVER: readonly State[] = ['completed', 'cancelled', 'rejected'];

export function isOver(order: Order): boolean {
  return OVER.includes(order.state);
}

/** Whether money may go back: of an order that was called off, perhaps before its money came, or that was refunded since. */
export function mayBePaidBack(order: Schema<'OrderWithHistory'>): boolean {
  return isOver(order) || order.history.some(({ move }) => move === 'refund');
}

/** Whether the restaurant has it in hand, or is about to. */
export function canNudge(order: Order): boolean {
  return !isOver(order) && order.state !== 'pending_payment';
}

export function canCancel(order: Order): boolean {
  return order.state === 'pending_payment' || order.state === 'pending_accept';
}

/** Whether the customer may say that they have it: not while cash is owed. */
export function canReceive({ state, pay_method, total, paid_at }: Order): boolean {
  const owesCash = pay_method === 'cash' && total !== '0.00' && paid_at == null;
  return (state === 'ready' || state === 'delivering') && !owesCash;
}

export type Step = 'placed' | 'paid' | 'accepted' | 'preparing' | 'ready' | 'delivering' | 'completed';

const REACHED: Record<Exclude<State, 'cancelled' | 'rejected'>, Step> = {
  pending_payment: 'placed',
  pending_accept: 'paid',
  accepted: 'accepted',
  preparing: 'preparing',
  ready: 'ready',
  delivering: 'delivering',
  completed: 'completed',
};

/** The steps of an order, each with whether it has been reached; none where it was called off. */
export function steps({ state, pay_method, fulfilment, total }: Order): { name: Step; isReached: boolean }[] {
  if (state === 'cancelled' || state === 'rejected') return [];
  const all: Step[] = ['placed', 'paid', 'accepted', 'preparing', 'ready', 'delivering', 'completed'];
  const reached = all.indexOf(REACHED[state]);
  const isPaidFirst = pay_method !== 'cash' && total !== '0.00';
  return all
    .map((name, place) => ({ name, isReached: place <= reached }))
    .filter(
      ({ name }) => (name !== 'paid' || isPaidFirst) && (name !== 'delivering' || fulfilment.kind === 'delivery'),
    );
}
