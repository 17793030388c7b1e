/** What each role may do, as the service has it in `src/domain/staff.rs`: its API tells everybody only of their own role. */
import type { Schema } from '@/api/client';
import type { Permission } from '@/session';

export type Role = Schema<'Member'>['role'];

export const ROLES: readonly Role[] = ['owner', 'manager', 'cashier', 'kitchen'];

const EVERYBODY = ROLES;
const COUNTER: readonly Role[] = ['owner', 'manager', 'cashier'];
const OFFICE: readonly Role[] = ['owner', 'manager'];

export const WHO_MAY: Readonly<Record<Permission, readonly Role[]>> = {
  read_orders: EVERYBODY,
  cook_orders: EVERYBODY,
  read_menu: EVERYBODY,
  mark_sold_out: EVERYBODY,
  accept_orders: COUNTER,
  hand_over_orders: COUNTER,
  collect_cash: COUNTER,
  read_accounts: COUNTER,
  cancel_orders: OFFICE,
  refund_orders: OFFICE,
  export_orders: OFFICE,
  move_stock: OFFICE,
  edit_menu: OFFICE,
  correct_accounts: OFFICE,
  read_statistics: OFFICE,
  edit_settings: OFFICE,
  read_actions: OFFICE,
  manage_staff: ['owner'],
};
