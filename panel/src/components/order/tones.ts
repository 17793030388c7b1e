/** How a state looks beside its word. */
import type { OrderState } from '@/live/orders';

export type Tone = 'success' | 'warning' | 'danger' | 'info' | 'primary';

export const STATE_TONES: Record<OrderState, Tone> = {
  pending_payment: 'warning',
  pending_accept: 'danger',
  accepted: 'primary',
  preparing: 'primary',
  ready: 'primary',
  delivering: 'primary',
  completed: 'success',
  cancelled: 'info',
  rejected: 'info',
};
