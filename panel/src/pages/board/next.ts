/** The one step that staff most often take from each state, if they may and the order allows it. */
import { owesCash } from '@/components/order/fits';
import { yuan } from '@/format';
import { t } from '@/i18n';
import { collect, complete, deliver, prepare, ready } from '@/live/moves';
import type { Order } from '@/live/orders';
import { may } from '@/session';

export interface Step {
  word: string;
  take(): Promise<boolean>;
}

/** Accepting is not among them: it wants to know the minutes. */
export function nextStep(order: Order): Step | undefined {
  switch (order.state) {
    case 'accepted':
      return may('cook_orders') ? { word: t('board.prepare'), take: () => prepare(order.id) } : undefined;
    case 'preparing':
      return may('cook_orders') ? { word: t('board.ready'), take: () => ready(order.id) } : undefined;
    case 'ready':
      if (order.fulfilment.kind !== 'delivery') return handingOver(order);
      return may('hand_over_orders') ? { word: t('board.deliver'), take: () => deliver(order.id) } : undefined;
    case 'delivering':
      return handingOver(order);
    case 'pending_payment':
    case 'pending_accept':
    case 'completed':
    case 'cancelled':
    case 'rejected':
      return undefined;
  }
}

function handingOver(order: Order): Step | undefined {
  if (!may('hand_over_orders')) return undefined;
  if (!owesCash(order)) return { word: t('board.complete'), take: () => complete(order.id) };
  if (!may('collect_cash')) return undefined;
  return {
    word: t('board.collectAndComplete', { amount: yuan(order.total) }),
    take: async () => (await collect(order.id)) && complete(order.id),
  };
}
