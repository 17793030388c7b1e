/**
 * How fast the panel is with much to show: 500 open orders on the board, 100,000 in the list, 20 new ones a second.
 *
 * It measures and asserts nothing: the numbers are the machine's as much as the panel's. `ORDERS`, `OPEN` and `SECONDS` change how much.
 */
import type { Page } from '@playwright/test';
import { Service, test, type Guest, type Order } from '../tests/harness';
import { writePast } from './past';

const ORDERS = Number(process.env['ORDERS'] ?? 100_000);
const OPEN = Number(process.env['OPEN'] ?? 500);
const SECONDS = Number(process.env['SECONDS'] ?? 20);
const RATE = 20;

declare global {
  interface Window {
    seen: { first: Record<string, number>; cards: Record<string, number>; tasks: number[] };
  }
}

/** Notes when what is looked for appears, by the clock that Node has, too, and which tasks kept the page from answering. */
function watch(): void {
  window.seen = { first: {}, cards: {}, tasks: [] };
  const { first, cards, tasks } = window.seen;
  const note = (card: Element) => {
    const name = `${card.getAttribute('data-order')} ${card.getAttribute('data-state')}`;
    cards[name] ??= Date.now();
  };
  new MutationObserver((changes) => {
    for (const kind of ['card', 'row-'] as const) {
      if (first[kind] === undefined && document.querySelector(`[data-test^="${kind}"]`))
        first[kind] = performance.now();
    }
    for (const { target, addedNodes, type } of changes) {
      if (type === 'attributes') note(target as Element);
      for (const node of Array.from(addedNodes)) {
        if (!(node instanceof Element)) continue;
        if (node.matches('[data-order]')) note(node);
        node.querySelectorAll('[data-order]').forEach(note);
      }
    }
  }).observe(document, { childList: true, subtree: true, attributeFilter: ['data-state'] });
  new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => tasks.push(duration))).observe({
    type: 'longtask',
    buffered: true,
  });
}

const tell = (what: string, value: string) =>
  process.stdout.write(`${what.padEnd(64)}  ${value}
`);
const ms = (value: number | undefined) => (value === undefined ? '–' : `${Math.round(value)} ms`);

function spread(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return `${ms(at(0.5))} · ${ms(at(0.95))} · ${ms(sorted.at(-1))} (${sorted.length})`;
}

async function tellTasks(page: Page, where: string): Promise<void> {
  const tasks = await page.evaluate(() => window.seen.tasks.splice(0));
  const sum = tasks.reduce((all, each) => all + each, 0);
  tell(
    `${where}: tasks over 50 ms, the longest, all together`,
    `${tasks.length} · ${ms(Math.max(0, ...tasks))} · ${ms(sum)}`,
  );
}

async function tellMemory(page: Page, where: string): Promise<void> {
  const tools = await page.context().newCDPSession(page);
  await tools.send('HeapProfiler.collectGarbage');
  await tools.send('Performance.enable');
  const { metrics } = await tools.send('Performance.getMetrics');
  const value = (name: string) => metrics.find((metric) => metric.name === name)?.value ?? 0;
  tell(`${where}: heap, nodes`, `${(value('JSHeapUsedSize') / 1e6).toFixed(1)} MB · ${value('Nodes')}`);
}

async function place(guests: Guest[], count: number): Promise<Order[]> {
  const orders: Order[] = [];
  for (let number = 0; number < count; number += 1) {
    const guest = guests[number % guests.length];
    if (guest === undefined) throw new Error('there are no guests');
    const dishes = [1, 2, 3].map((more) => [`菜品 ${((number * 7 + more * 31) % 100) + 1}`, more] as const);
    orders.push(await guest.place({ lines: dishes, remark: number % 4 === 0 ? '少辣，打包' : '' }));
  }
  return orders;
}

test('how fast the panel is', async ({ browsers }) => {
  // It makes as many moves a second as it can, which is more than a person may.
  const service = await Service.start({ ROWLOCK_HTTP_STAFF_REQUESTS_PER_SECOND: '10000' });
  try {
    const restaurant = await service.restaurant(100);
    const owner = await restaurant.staff('owner');
    await owner.change({ accept_minutes: 120 });
    await writePast(restaurant, { orders: ORDERS, days: 60 });
    const guests = await Promise.all(Array.from({ length: 40 }, () => restaurant.guest()));
    const open = await place(guests, OPEN);
    for (const [at, order] of open.entries()) {
      if (at % 2 === 0) await owner.accept(order);
      if (at % 4 === 0) await owner.move(order, 'prepare');
      if (at % 8 === 0) await owner.move(order, 'ready');
    }

    const board = await browsers.open('manager', '/board', { of: restaurant, url: service.url, before: watch });
    await board.waitForFunction((count) => document.querySelectorAll('[data-test="card"]').length === count, OPEN);
    tell(`board with ${OPEN} orders: first card`, ms(await board.evaluate(() => window.seen.first['card'])));
    await tellTasks(board, 'opening the board');
    await tellMemory(board, 'board');

    const answered: [order: Order, at: number][] = [];
    for (let second = 0; second < SECONDS; second += 1) {
      const began = Date.now();
      const group = Array.from({ length: RATE }, async (_, at) => {
        await new Promise((resolve) => setTimeout(resolve, (1000 / RATE) * at));
        const [order] = await place([guests[at] as Guest], 1);
        if (order !== undefined) answered.push([order, Date.now()]);
      });
      await Promise.all(group);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + 1000 - Date.now())));
    }
    const last = answered.at(-1)?.[0].id ?? '';
    await board.locator(`[data-order="${last}"]`).waitFor();
    const seen = await board.evaluate(() => window.seen.cards);
    const delays = answered.map(([{ id }, at]) => (seen[`${id} pending_accept`] ?? Infinity) - at);
    tell(`placed, ${RATE} a second: answer to card (p50 · p95 · most)`, spread(delays));
    await tellTasks(board, `${SECONDS} s of ${RATE} orders a second`);

    const moved: [order: Order, at: number][] = [];
    for (const [order] of answered.slice(0, 100)) {
      await owner.accept(order);
      moved.push([order, Date.now()]);
    }
    await board.locator(`[data-order="${moved.at(-1)?.[0].id}"][data-state="accepted"]`).waitFor();
    const changed = await board.evaluate(() => window.seen.cards);
    const waits = moved.map(([{ id }, at]) => (changed[`${id} accepted`] ?? Infinity) - at);
    tell('accepted elsewhere: answer to card (p50 · p95 · most)', spread(waits));
    await tellMemory(board, `board with ${OPEN + answered.length} orders`);
    await board.close();

    const list = await browsers.open('manager', '/orders', { of: restaurant, url: service.url, before: watch });
    await list.locator('[data-test^="row-"]').first().waitFor();
    tell(`list of ${ORDERS + OPEN} orders: first row`, ms(await list.evaluate(() => window.seen.first['row-'])));
    const settle = () => list.locator('[data-test="orders"][data-loading="false"]').waitFor();
    await settle();
    const pages: number[] = [];
    for (let page = 0; page < 10; page += 1) {
      const began = Date.now();
      await Promise.all([
        list.waitForResponse((answer) => answer.url().includes('limit=50')),
        list.getByTestId('page-forth').click(),
      ]);
      await settle();
      pages.push(Date.now() - began);
    }
    tell('list: the next page (p50 · p95 · most)', spread(pages));
    const began = Date.now();
    await list.goto(`${service.url}/admin/orders?q=A5&state=cancelled`);
    await list.locator('[data-test^="row-"]').first().waitFor();
    tell('list: loaded anew with a text and a state', ms(Date.now() - began));
    await tellTasks(list, 'list');
    await tellMemory(list, 'list');
  } finally {
    await browsers.close();
    await service.end();
  }
});
