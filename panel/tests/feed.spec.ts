/** What the panel knows of the orders, whatever happens to its connection. How many are new is told by the number at "Board". */
import { ask, expect, Service, Stream, test, type Restaurant } from './harness';
import type { Page } from '@playwright/test';

/** The number at "Board" in the navigation: the new orders that nobody has acknowledged. */
async function expectNew(page: Page, count: number): Promise<void> {
  if (count === 0) await expect(page).toHaveTitle(/^[^(]/);
  else await expect(page).toHaveTitle(new RegExp(`^\\(${count}\\) `));
}

const expectLive = (page: Page, state: string) => expect(page.getByTestId('live')).toHaveText(state);

/** What happened since, as the service numbers it. */
async function eventsAfter(restaurant: Restaurant, after?: number) {
  const { api } = await restaurant.staff('owner');
  const params = { path: { m: restaurant.id }, query: { after, limit: 500 } };
  const read = () => ask(api.GET('/v1/admin/merchants/{m}/events/page', { params }));
  return read();
}

/** Waits until the service has numbered so many events after that number. */
async function events(restaurant: Restaurant, after: number, count: number) {
  await expect.poll(async () => (await eventsAfter(restaurant, after)).items.length).toBe(count);
  const { items } = await eventsAfter(restaurant, after);
  return items.map(({ seq, kind, order_id, state }) => ({
    seq,
    kind,
    order_id: order_id ?? undefined,
    state: state ?? undefined,
  }));
}

test('an order shows up by itself, and goes when somebody else accepts it', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen');
  await expectLive(page, 'Live');
  const guest = await restaurant.guest();
  const order = await guest.place();
  await expectNew(page, 1);
  await expect(page.getByTestId('nav-board')).toContainText('1');
  await (await restaurant.staff('cashier')).accept(order);
  await expectNew(page, 0);
});

test('orders from before the page was opened are there', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  await Promise.all([guest.place(), guest.place()]);
  await expectNew(await browsers.open('kitchen'), 2);
});

test('events out of order, twice and with gaps lose nothing', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire);
  const { next_after: at } = await eventsAfter(restaurant);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.listeners).toBe(1);
  const guest = await restaurant.guest();
  for (let count = 0; count < 3; count += 1) await guest.place();
  const [first, second, third] = await events(restaurant, at, 3);
  if (first === undefined || second === undefined || third === undefined) throw new Error('three orders were placed');
  await expectNew(page, 0);
  for (const event of [third, first, first, second, third]) stream.tell(event);
  await expectNew(page, 3);
});

test('an event that comes late says nothing that is over', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire, () => ({ items: [], next_after: 0, is_reset: false }));
  const { next_after: at } = await eventsAfter(restaurant);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.listeners).toBe(1);
  const guest = await restaurant.guest();
  const [over, open] = [await guest.place(), await guest.place()];
  await (await restaurant.staff('cashier')).accept(over);
  const [overPlaced, openPlaced] = await events(restaurant, at, 3);
  if (overPlaced === undefined || openPlaced === undefined) throw new Error('two orders were placed');
  expect(overPlaced).toMatchObject({ kind: 'order_placed', order_id: over.id, state: 'pending_accept' });
  expect(openPlaced.order_id).toBe(open.id);
  stream.tell(overPlaced);
  stream.tell(openPlaced);
  await expectNew(page, 1);
});

test('told that events are missing, the panel reads everything anew', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire);
  const { next_after: at } = await eventsAfter(restaurant);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.listeners).toBe(1);
  const order = await (await restaurant.guest()).place();
  await expectNew(page, 0);
  stream.reset(at + 1000);
  await expectNew(page, 1);
  // What follows the reset counts from its number.
  await (await restaurant.staff('cashier')).accept(order);
  stream.tell({ seq: at + 1001, kind: 'order_moved', order_id: order.id, state: 'accepted' });
  await expectNew(page, 0);
});

test('a stream that ends is gone on with where it ended', async ({ browsers, restaurant, wire }) => {
  const { next_after: at } = await eventsAfter(restaurant);
  const stream = new Stream(wire, () => ({ items: [], next_after: at, is_reset: false }));
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.since).toEqual([at]);
  await (await restaurant.guest()).place();
  const [placed] = await events(restaurant, at, 1);
  if (placed === undefined) throw new Error('an order was placed');
  stream.tell(placed);
  await expectNew(page, 1);
  stream.end();
  await expect.poll(() => stream.since).toEqual([at, at + 1]);
  await expectLive(page, 'Live');
});

test('a stream without a sign of life is taken for dead', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire);
  const page = await browsers.open('kitchen', '/board', { url: wire.url, isClockMoved: true });
  await expect.poll(() => stream.since.length).toBe(1);
  await (await restaurant.guest()).place();
  await expectNew(page, 0);
  await page.clock.fastForward(39_000);
  stream.send(': alive\n\n');
  // Nothing shows that it has come.
  await page.waitForTimeout(1_000);
  await page.clock.fastForward(2_000);
  expect(stream.since.length).toBe(1);
  await page.clock.fastForward(40_000);
  await expectNew(page, 1);
  await page.clock.fastForward(1_000);
  await expect.poll(() => stream.since.length).toBe(2);
});

test('a connection that swallows everything is not called live', async ({ browsers, wire }) => {
  const stream = new Stream(wire);
  const page = await browsers.open('kitchen', '/board', { url: wire.url, isClockMoved: true });
  await expect.poll(() => stream.since.length).toBe(1);
  await expectLive(page, 'Live');
  wire.answerer = () => true;
  await page.clock.fastForward(41_000);
  await expectLive(page, 'Reconnecting');
});

test('what no event told of is found by the look at everything', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire, () => ({ items: [], next_after: 0, is_reset: false }));
  const page = await browsers.open('kitchen', '/board', { url: wire.url, isClockMoved: true });
  await expect.poll(() => stream.since.length).toBe(1);
  await (await restaurant.guest()).place();
  await page.clock.fastForward(115_000);
  await expectNew(page, 0);
  await page.clock.fastForward(6_000);
  await expectNew(page, 1);
});

test('a tablet that wakes up looks at once', async ({ browsers, restaurant, wire }) => {
  const stream = new Stream(wire);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.listeners).toBe(1);
  await (await restaurant.guest()).place();
  await expectNew(page, 0);
  await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
  await expectNew(page, 1);
});

test('a connection that breaks is shown, and nothing is missing afterwards', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer GET /);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expectLive(page, 'Live');
  const guest = await restaurant.guest();
  const gone = await guest.place();
  await expectNew(page, 1);
  wire.cut();
  await expectLive(page, 'Reconnecting');
  await guest.cancel(gone);
  await Promise.all([guest.place(), guest.place(), guest.place()]);
  await expectNew(page, 1);
  wire.mend();
  await expectLive(page, 'Live');
  await expectNew(page, 3);
});

test('a network that is back is used at once', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer GET /);
  const page = await browsers.open('kitchen', '/board', { url: wire.url, isClockMoved: true });
  await expectLive(page, 'Live');
  wire.cut();
  await expectLive(page, 'Reconnecting');
  await page.clock.pauseAt(new Date(Date.now() + 60_000));
  wire.mend();
  await (await restaurant.guest()).place();
  // The clock stands still, and with it every wait.
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await expectLive(page, 'Live');
  await expectNew(page, 1);
});

test('without a stream the panel polls', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^503 GET .*\/events$/);
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').endsWith('/events')) return false;
    answer.writeHead(503, { 'Content-Type': 'application/problem+json' });
    answer.end('{"code":"too_many_streams","detail":"Too many streams."}');
    return true;
  };
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expectLive(page, 'Polling');
  const order = await (await restaurant.guest()).place();
  await expectNew(page, 1);
  await (await restaurant.staff('cashier')).accept(order);
  await expect(page).toHaveTitle(/^[^(]/);
  wire.answerer = () => false;
  await expect(page.getByTestId('live')).toHaveText('Live');
});

test('an answer that comes late does not hide a later one', async ({ browsers, restaurant, wire }) => {
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expectLive(page, 'Live');
  let letGo = (): void => {};
  const held = new Promise<void>((resolve) => (letGo = resolve));
  // The look at everything is answered with what was true when it was asked, long after it.
  const before = await (await fetchOpen(restaurant)).text();
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').includes('state=')) return false;
    void held.then(() => {
      answer.writeHead(200, { 'Content-Type': 'application/json' });
      answer.end(before);
    });
    return true;
  };
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await (await restaurant.guest()).place();
  await expectNew(page, 1);
  const asked = page.waitForResponse((answer) => answer.url().includes('ids='));
  letGo();
  // What is not in the late answer is asked for once more, and stays.
  await asked;
  await expectNew(page, 1);
});

async function fetchOpen(restaurant: Restaurant): Promise<Response> {
  const { token } = await restaurant.staff('owner');
  const url = `${restaurant.service.url}/v1/admin/merchants/${restaurant.id}/orders?state=pending_accept`;
  return fetch(url, { headers: { Authorization: `Bearer ${token}` } });
}

test('the service is killed under the open board, and comes back', async ({ browsers }) => {
  browsers.announce(/^no answer GET /);
  const service = await Service.start();
  try {
    const restaurant = await service.restaurant();
    const page = await browsers.open('kitchen', '/board', { url: service.url, of: restaurant });
    await expectLive(page, 'Live');
    const guest = await restaurant.guest();
    const [kept] = await Promise.all([guest.place(), guest.place()]);
    await expectNew(page, 2);
    await service.kill();
    await expectLive(page, 'Reconnecting');
    await expectNew(page, 2);
    await service.begin();
    await guest.cancel(kept);
    await Promise.all([guest.place(), guest.place()]);
    await expect(page.getByTestId('live')).toHaveText('Live');
    await expectNew(page, 3);
  } finally {
    await browsers.close();
    await service.end();
  }
});
