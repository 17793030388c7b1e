/**
 * Which moves are offered for an order: those that its state, the way it reaches the customer, its payment and the role allow.
 *
 * Contract: this decides what is shown. Whether a move is made, the service decides, from the order as it then is.
 */
import type { Order, OrderState } from '@/live/orders';
import { may, type Permission } from '@/session';
import { fen } from '@/format';

export type Move =
  | 'accept'
  | 'reject'
  | 'prepare'
  | 'ready'
  | 'recall'
  | 'delay'
  | 'deliver'
  | 'collect'
  | 'complete'
  | 'cancel'
  | 'print';

const MOVES: Record<Move, { needs: Permission; from: readonly OrderState[] }> = {
  accept: { needs: 'accept_orders', from: ['pending_accept'] },
  reject: { needs: 'accept_orders', from: ['pending_accept'] },
  prepare: { needs: 'cook_orders', from: ['accepted'] },
  ready: { needs: 'cook_orders', from: ['accepted', 'preparing'] },
  recall: { needs: 'cook_orders', from: ['preparing', 'ready'] },
  delay: { needs: 'accept_orders', from: ['accepted', 'preparing', 'ready'] },
  deliver: { needs: 'hand_over_orders', from: ['ready'] },
  collect: { needs: 'collect_cash', from: ['accepted', 'preparing', 'ready', 'delivering'] },
  complete: { needs: 'hand_over_orders', from: ['ready', 'delivering'] },
  cancel: {
    needs: 'cancel_orders',
    from: ['pending_payment', 'pending_accept', 'accepted', 'preparing', 'ready', 'delivering'],
  },
  print: {
    needs: 'read_orders',
    from: ['pending_accept', 'accepted', 'preparing', 'ready', 'delivering', 'completed', 'cancelled', 'rejected'],
  },
};

export function fits(order: Order, move: Move): boolean {
  const { needs, from } = MOVES[move];
  if (!may(needs) || !from.includes(order.state)) return false;
  const isDelivery = order.fulfilment.kind === 'delivery';
  if (move === 'deliver') return isDelivery;
  if (move === 'collect') return owesCash(order);
  if (move === 'complete') return !owesCash(order) && (!isDelivery || order.state === 'delivering');
  return true;
}

/** Whether cash is to be taken in for it: nothing is for what points have paid whole, or for what is called off. */
export function owesCash({ pay_method, paid_at, total, state }: Order): boolean {
  const isOff = state === 'cancelled' || state === 'rejected';
  return pay_method === 'cash' && paid_at == null && fen(total) > 0 && !isOff;
}

/** Whether the restaurant has taken it on and the customer does not have it yet. */
export function isInHand({ state }: Order): boolean {
  return state === 'accepted' || state === 'preparing' || state === 'ready' || state === 'delivering';
}
