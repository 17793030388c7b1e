import { alerts } from './office/alerts';
import { points } from './office/points';
import { settings } from './office/settings';
import { staff } from './office/staff';
import { trail } from './office/trail';
import { webhooks } from './office/webhooks';
import type { Words } from './words';

export const office = {
  order: ['订单 {name}', 'Order {name}'],
  copy: ['复制', 'Copy'],
  copied: ['已复制', 'Copied'],
  copyByHand: ['请按 Ctrl+C 复制', 'Press Ctrl+C to copy'],
  alerts,
  points,
  settings,
  staff,
  trail,
  webhooks,
} as const satisfies Words;
