import { alerts } from './office/alerts';
import type { Words } from './words';

export const office = {
  order: ['订单 {name}', 'Order {name}'],
  people: {
    colleague: ['同事', 'A colleague'],
    customer: ['顾客', 'The customer'],
    timer: ['系统', 'The system'],
    gateway: ['支付平台', 'The gateway'],
  },
  alerts,
} as const satisfies Words;
