/** Pays an order where its way of paying is at home. */
import { ask, type Schema } from '@/api/client';
import { t } from '@/i18n';
import { api, m, mine } from './shop';
import { say } from './telling';

type PayMethod = Schema<'Order'>['pay_method'];

/** Whether a browser can pay so; WeChat Pay is made in the mini-program. */
export function isPayable(method: string): boolean {
  return method !== 'wechat';
}

/** Goes to where the order is paid. Safe to repeat: the service gives the same page while it is good, and a new one afterwards. @throws Problem */
export async function pay(order: { id: string; pay_method: PayMethod }): Promise<void> {
  const params = { path: { m, id: order.id } };
  const body = { channel: 'wap' };
  const started = await mine(() => ask(api.POST('/v1/merchants/{m}/orders/{id}/payments', { params, body })));
  const { checkout } = started;
  if (checkout == null) say(t('demo.order.paidAlready'));
  else if (checkout.kind !== 'redirect') say(t('demo.order.cannotPay'));
  else window.location.assign(order.pay_method === 'sandbox' ? withWayBack(checkout.url, order.id) : checkout.url);
}

/** The address of a page of the sandbox, which links back to the order. Other gateways sign their addresses. */
function withWayBack(page: string, id: string): string {
  const { origin, pathname, search } = window.location;
  const url = new URL(page);
  url.searchParams.set('return_url', `${origin}${pathname}${search}#/orders/${id}`);
  return url.href;
}

/** The attempts to pay an order, and what goes back of them. @throws Problem */
export async function payments(id: string): Promise<Schema<'Payments'>> {
  return await mine(() => ask(api.GET('/v1/merchants/{m}/orders/{id}/payments', { params: { path: { m, id } } })));
}

/** The last attempt to pay an order; where it is open, the gateway is asked about it first. @throws Problem */
export async function lastPayment(id: string): Promise<Schema<'Payment'> | undefined> {
  const last = (await payments(id)).items.at(-1);
  if (last?.state !== 'pending') return last;
  const params = { path: { m, id, payment: last.id } };
  return await mine(() => ask(api.POST('/v1/merchants/{m}/orders/{id}/payments/{payment}/check', { params })));
}
