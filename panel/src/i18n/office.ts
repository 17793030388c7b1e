import { alerts } from './office/alerts';
import { settings } from './office/settings';
import { staff } from './office/staff';
import type { Words } from './words';

export const office = {
  order: ['订单 {name}', 'Order {name}'],
  people: {
    colleague: ['同事', 'A colleague'],
    customer: ['顾客', 'The customer'],
    timer: ['系统', 'The system'],
    gateway: ['支付平台', 'The gateway'],
  },
  copy: ['复制', 'Copy'],
  copied: ['已复制', 'Copied'],
  copyByHand: ['请按 Ctrl+C 复制', 'Press Ctrl+C to copy'],
  alerts,
  settings,
  staff,
} as const satisfies Words;
