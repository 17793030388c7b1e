/** Amounts and times as people read them, by the merchant's clock. Amounts stay decimal strings: no arithmetic on floats. */
import { ref } from 'vue';
import { i18n } from './i18n';

/** The merchant's time zone, as soon as it is known. */
export const zone = ref('Asia/Shanghai');

function format(options: Intl.DateTimeFormatOptions, time: string): string {
  const locale = i18n.global.locale.value === 'zh' ? 'zh-CN' : 'en-GB';
  return new Intl.DateTimeFormat(locale, { timeZone: zone.value, ...options }).format(new Date(time));
}

/** `12:05` */
export function clock(time: string): string {
  return format({ hour: '2-digit', minute: '2-digit', hour12: false }, time);
}

/** `2026/11/21 12:05` */
export function moment(time: string): string {
  return format(
    { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hour12: false },
    time,
  );
}

/** `¥19.80` */
export function yuan(amount: string): string {
  return amount.startsWith('-') ? `-¥${amount.slice(1)}` : `¥${amount}`;
}

/** An amount in fen, for sums: `19.80` is 1980. */
export function fen(amount: string): number {
  const [, sign, whole, part] = /^(-?)(\d+)(?:\.(\d{1,2}))?$/.exec(amount) ?? [];
  if (whole === undefined) throw new Error(`${amount} is no amount`);
  const value = Number(whole) * 100 + Number((part ?? '').padEnd(2, '0'));
  return sign === '-' ? -value : value;
}

/** The amount of so many fen. */
export function fromFen(value: number): string {
  const sign = value < 0 ? '-' : '';
  const digits = String(Math.abs(value)).padStart(3, '0');
  return `${sign}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** What people call an order: its pickup number, or, before it has one, the end of its id, which differs from its neighbours'. */
export function orderName(order: { id: string; pickup_no?: number | null }): string {
  return order.pickup_no == null ? `…${order.id.slice(-4)}` : `#${order.pickup_no}`;
}
