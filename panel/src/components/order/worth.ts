/**
 * What is left of an order's money, and what units of its lines are worth after points, as the service reckons it: in whole fen, so that all
 * units together are the total less freight.
 */
import type { Schema } from '@/api/client';
import { fen, fromFen } from '@/format';
import type { Order } from '@/live/orders';

/** What came in for the order and has neither gone back nor is on its way, in fen. */
export function left({ payments, refunds }: Schema<'WholeOrder'>): number {
  const paid = payments.find((payment) => payment.state === 'paid');
  if (paid === undefined) return 0;
  const back = refunds.filter((refund) => refund.payment_id === paid.id);
  return back.reduce((sum, refund) => sum - fen(refund.amount), fen(paid.amount));
}

/** What units of a line are worth that were not paid back yet, in fen. */
export function worth(order: Order, index: number, units: number): number {
  const line = order.lines[index];
  if (line === undefined) return 0;
  const whole = shares(order)[index] ?? 0;
  const upto = (count: number) => Number((BigInt(whole) * BigInt(count)) / BigInt(line.count));
  return upto(line.refunded_count + units) - upto(line.refunded_count);
}

/** What is left to pay of each line after points took off their part of each. The freight has a part, too. */
function shares(order: Order): number[] {
  return split(fen(order.total), [...order.lines.map((line) => fen(line.amount)), fen(order.freight)]);
}

/** Divides by weights, rounded down; the fen that remain go to those who lost most, the first ones among equals. */
function split(whole: number, weights: number[]): number[] {
  const given = weights.map(BigInt);
  const parts = given.some((weight) => weight > 0n) ? given : given.map(() => 1n);
  const sum = parts.reduce((all, part) => all + part, 0n);
  const shares = parts.map((part) => Number((BigInt(whole) * part) / sum));
  const remains = whole - shares.reduce((all, share) => all + share, 0);
  const lost = (index: number) => (BigInt(whole) * (parts[index] ?? 0n)) % sum;
  const byLoss = shares.map((_, index) => index).sort((a, b) => Number(lost(b) - lost(a)));
  byLoss.slice(0, remains).forEach((index) => (shares[index] = (shares[index] ?? 0) + 1));
  return shares;
}

/** A typed amount as the API takes it; undefined where it is none. */
export function amountOf(typed: string): string | undefined {
  const text = typed.trim();
  return /^\d{1,9}(\.\d{1,2})?$/.test(text) ? fromFen(fen(text)) : undefined;
}
