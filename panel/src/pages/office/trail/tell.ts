/** What the trail says of an action, in words. */
import type { Schema } from '@/api/client';
import { yuan } from '@/format';
import { said, t } from '@/i18n';
import { word } from '../word';
import { nameIn } from './names';

export type StaffAction = Schema<'StaffAction'>;

/** Every action that the service writes down. */
export const ACTIONS = {
  orders: [
    'accept',
    'reject',
    'prepare',
    'ready',
    'recall',
    'delay',
    'deliver',
    'complete',
    'cancel',
    'print_ticket',
    'export_orders',
  ],
  money: [
    'collect',
    'refund',
    'retry_refund',
    'pay_refund_by_hand',
    'give_up_payment',
    'resolve_alert',
    'correct_account',
    'add_account',
  ],
  menu: [
    'add_category',
    'change_category',
    'remove_category',
    'order_categories',
    'add_product',
    'change_product',
    'remove_product',
    'order_products',
    'add_goods',
    'change_goods',
    'order_goods',
    'import_menu',
  ],
  stock: ['declare_sold_out', 'lift_sold_out', 'move_stock'],
  office: ['add_staff', 'change_staff', 'change_password', 'change_settings', 'renew_webhook_secret', 'retry_delivery'],
} as const;

export function actionName(action: string): string {
  return word('office.trail.actions', action);
}

/** The details one by one. What was not given is left out; where null takes something away, it says so. */
export function details(action: StaffAction): { field: string; words: string }[] {
  const { detail } = action;
  if (typeof detail !== 'object' || detail === null) return [];
  return Object.entries(detail)
    .filter(([field, value]) => isTold(action.action, field, value))
    .map(([field, value]) => ({ field: word('office.trail.fields', field), words: told(action.action, field, value) }));
}

function isTold(action: string, field: string, value: unknown): boolean {
  if (value === null) {
    const takenAway = ['hours', 'free_freight_from', 'daily_stock', 'grant', 'image_url'];
    return action.startsWith('change_') && takenAway.includes(field);
  }
  if (field === 'note') return value !== '';
  if (field === 'password') return value === true;
  return !(Array.isArray(value) && value.length === 0);
}

function told(action: string, field: string, value: unknown): string {
  if (value === null) return field === 'hours' ? t('office.trail.values.alwaysOpen') : t('office.trail.values.none');
  if (typeof value === 'boolean') return value ? t('common.yes') : t('common.no');
  switch (field) {
    case 'refund':
    case 'amount':
    case 'price':
    case 'minimum_amount':
    case 'freight':
    case 'free_freight_from':
      return yuan(String(value));
    case 'delta':
      return Number(value) > 0 ? `+${value}` : String(value);
    case 'reason':
      if (action === 'correct_account') return String(value);
      return word(action === 'move_stock' ? 'common.stockReasons' : 'common.reasons', String(value));
    case 'role':
      return word('common.roles', String(value));
    case 'kind':
      return word('office.points.kinds', String(value));
    case 'fulfilments':
      return (value as string[]).map((kind) => word('common.fulfilments', kind)).join('、');
    case 'points_earned_on':
      return word('office.settings.points.earnedOns', String(value));
    case 'webhook':
      return value === 'off' ? t('office.trail.values.webhookOff') : t('office.trail.values.webhookSet');
    case 'query':
      return value === '' ? t('office.trail.values.allOrders') : asked(String(value));
    case 'hours':
      return (value as string[]).join(' – ');
    case 'category_id':
      return menuName('category', value as number);
    case 'sold_out':
      return (value as number[]).map((id) => menuName('goods', id)).join('、');
    case 'ids':
      return (value as number[]).map((id) => menuName(ORDERED[action] ?? 'goods', id)).join('、');
    case 'returned':
    case 'lines':
      return (value as Schema<'Units'>[]).map((of) => `${menuName('goods', of.goods_id)} × ${of.count}`).join('、');
    case 'rows':
      return (value as ImportedRow[]).map(importedRow).join('; ');
    case 'grant': {
      const { kind, per_unit: n } = value as Schema<'Grant'>;
      const what = kind == null ? t('office.trail.subjects.accounts') : word('office.points.kinds', kind);
      return t('office.trail.values.granted', { n, kind: what });
    }
    default:
      return isText(value) ? said(value) : typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
}

/** A query string as it reads: unlike decodeURIComponent, it takes whatever was sent. */
function asked(query: string): string {
  return [...new URLSearchParams(query)].map(([name, value]) => `${name}=${value}`).join('&');
}

/** What an import did to some goods. */
interface ImportedRow {
  name: string;
  changes: { field: string; from: string; to: string }[];
}

function importedRow({ name, changes }: ImportedRow): string {
  const told = changes.map(({ field, from, to }) => `${field} ${from === '' ? '' : `${from} → `}${to}`);
  return `${name}: ${told.join(', ')}`;
}

/** What the ids of an order of things are of. */
const ORDERED: Readonly<Record<string, 'category' | 'product' | 'goods'>> = {
  order_categories: 'category',
  order_products: 'product',
};

export function menuName(kind: 'category' | 'product' | 'goods', id: number | string): string {
  return nameIn(kind, id) ?? t(`office.trail.subjects.${kind}`, { id });
}

function isText(value: unknown): value is { zh: string; en: string } {
  return typeof value === 'object' && value !== null && 'zh' in value && 'en' in value;
}
