/**
 * What staff do with an order: one request at a time for each, and what it answers is shown at once.
 */
import { ElMessage } from 'element-plus';
import { reactive } from 'vue';
import { ask, Problem, type Schema } from '@/api/client';
import { tell } from '@/components/doing';
import { t } from '@/i18n';
import { TAP_MS } from '@/once';
import { api, merchant } from '@/session';
import { find, put, refresh, type Order, type OrderState } from './orders';

/** The orders that a request is out for. */
const busy = reactive(new Set<string>());

export function isBusy(id: string): boolean {
  return busy.has(id);
}

/** The order that a move was begun for last, from which state, and when. */
let last: { id: string; state: OrderState | undefined; at: number } | undefined;

/** Whether a tap on this order may be the second of a double tap on one that stood in its place, and has gone from there since. */
export function isSecondTap({ id, state }: Order): boolean {
  return last !== undefined && last.id !== id && last.state === state && performance.now() - last.at < TAP_MS;
}

/** Makes a move. Whether it was made; what kept it from being made has been told. */
export async function make(id: string, move: (path: { m: number; id: string }) => Promise<Order>): Promise<boolean> {
  if (busy.has(id)) return false;
  busy.add(id);
  last = { id, state: find(id)?.state, at: performance.now() };
  try {
    put(await move({ m: merchant(), id }));
    return true;
  } catch (cause) {
    refresh(id);
    if (cause instanceof Problem && cause.code === 'illegal_move') tellOfOthers(cause);
    else tell(cause);
    return false;
  } finally {
    busy.delete(id);
  }
}

/** Somebody else, the customer or a deadline moved the order first. */
function tellOfOthers({ more }: Problem): void {
  const state = t(`common.states.${more['state'] as OrderState}`);
  ElMessage({ type: 'warning', message: t('common.faster', { state }), duration: 6000, showClose: true });
}

export const accept = (id: string, minutes: number) =>
  make(id, (path) =>
    ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/accept', { params: { path }, body: { minutes } })),
  );

export const reject = (id: string, body: Schema<'RejectOrder'>) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/reject', { params: { path }, body })));

export const prepare = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/prepare', { params: { path } })));

export const ready = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/ready', { params: { path } })));

export const recall = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/recall', { params: { path } })));

export const deliver = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/deliver', { params: { path } })));

export const collect = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/collect', { params: { path } })));

export const complete = (id: string) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/complete', { params: { path } })));

export const delay = (id: string, minutes: number) =>
  make(id, (path) =>
    ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/delay', { params: { path }, body: { minutes } })),
  );

export const cancel = (id: string, body: Schema<'CancelOrder'>) =>
  make(id, (path) => ask(api.POST('/v1/admin/merchants/{m}/orders/{id}/cancel', { params: { path }, body })));
