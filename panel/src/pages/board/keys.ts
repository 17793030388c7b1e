/** The board by keyboard: which order is chosen, and what a key does with it. */
import { nextTick, onMounted, onUnmounted, type Ref } from 'vue';
import { minutes } from '@/components/order/minutes';
import { accept } from '@/live/moves';
import { find, type Order } from '@/live/orders';
import { acknowledge, pressBell, ringing } from '@/live/ring';
import { may } from '@/session';
import { nextStep } from './next';

export interface Deeds {
  /** What the board shows, column by column. */
  columns: Ref<readonly (readonly Order[])[]>;
  open(id: string): void;
  reject(order: Order): void;
  soldOut(): void;
  help(): void;
}

export function useKeys({ columns, open, reject, soldOut, help }: Deeds): void {
  const card = (id: string) => document.querySelector<HTMLElement>(`[data-order="${id}"] .face`);

  /** The order whose card, or one of its buttons, has the focus. */
  function chosen(): Order | undefined {
    const within = document.activeElement?.closest<HTMLElement>('[data-order]');
    return within?.dataset['order'] === undefined ? undefined : find(within.dataset['order']);
  }

  function place(order: Order): { column: number; row: number } {
    const column = columns.value.findIndex((orders) => orders.some(({ id }) => id === order.id));
    return { column, row: columns.value[column]?.findIndex(({ id }) => id === order.id) ?? -1 };
  }

  function choose(column: number, row: number): void {
    const orders = columns.value[column] ?? [];
    const order = orders[Math.max(0, Math.min(row, orders.length - 1))];
    if (order !== undefined) card(order.id)?.focus();
  }

  /** Goes up or down in a column, or to the next column that has orders. */
  function go(down: number, right: number): void {
    const order = chosen();
    const from = order === undefined ? { column: right < 0 ? columns.value.length : -1, row: 0 } : place(order);
    if (order !== undefined && right === 0) return choose(from.column, from.row + down);
    const step = right < 0 ? -1 : 1;
    for (let column = from.column + step; columns.value[column] !== undefined; column += step) {
      if (columns.value[column]?.length !== 0) return choose(column, from.row);
    }
  }

  /** Makes a move and goes on to the order that takes the place of the one that went. */
  async function make(order: Order, move: () => Promise<boolean>): Promise<void> {
    const { column, row } = place(order);
    if (!(await move())) return;
    await nextTick();
    choose(column, row);
  }

  function withChosen(key: string, order: Order): boolean {
    const isNew = order.state === 'pending_accept' && may('accept_orders');
    const step = nextStep(order);
    if (key === 'a' && isNew) void make(order, () => accept(order.id, minutes.value));
    else if (key === 'r' && isNew) reject(order);
    else if (key === 'n' && step !== undefined) void make(order, step.take);
    else if (key === 'o') open(order.id);
    else return false;
    return true;
  }

  function pressed(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    const isElsewhere = target.closest('input, textarea, select, [contenteditable], [role="dialog"], [role="menu"]');
    if (isElsewhere !== null || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const order = chosen();
    if (key === 'ArrowDown') go(1, 0);
    else if (key === 'ArrowUp') go(-1, 0);
    else if (key === 'ArrowRight') go(0, 1);
    else if (key === 'ArrowLeft') go(0, -1);
    else if (key === 'k') acknowledge(...ringing.value);
    else if (key === 'm') pressBell();
    else if (key === 's' && may('mark_sold_out')) soldOut();
    else if (key === '?') help();
    else if (order === undefined || !withChosen(key, order)) return;
    event.preventDefault();
  }

  onMounted(() => document.addEventListener('keydown', pressed));
  onUnmounted(() => document.removeEventListener('keydown', pressed));
}
