/** The bell: what rings, until when, and what is shown where browsers keep it silent. */
import { ask, expect, Stream, test } from './harness';
import type { Page } from '@playwright/test';

declare global {
  interface Window {
    /** How many tones the page has really sounded. */
    tones: number;
  }
}

function countTones(): void {
  window.tones = 0;
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...times) {
    window.tones += 1;
    start.apply(this, times);
  };
}

/**
 * As browsers at a counter do it: whoever steers this one counts as touching it, so that it never keeps a page silent itself. What counts as a touch
 * stands in the HTML standard: keys, a mouse as it goes down, a finger only as it goes up. What was asked for before is not granted later.
 */
function keepSilent(): void {
  window.tones = 0;
  let isTouched = false;
  let isAllowed = false;
  const touched = (event: Event) => {
    const isMouse = event instanceof PointerEvent && event.pointerType === 'mouse';
    if (event.type === 'keydown' || isMouse === (event.type === 'pointerdown')) isTouched = true;
  };
  for (const touch of ['keydown', 'pointerdown', 'pointerup']) document.addEventListener(touch, touched, true);
  Object.defineProperty(BaseAudioContext.prototype, 'state', { get: () => (isAllowed ? 'running' : 'suspended') });
  AudioContext.prototype.resume = () => {
    if (!isTouched) return new Promise(() => {});
    isAllowed = true;
    return Promise.resolve();
  };
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...times) {
    window.tones += 1;
    start.apply(this, times);
  };
}

const rings = async (page: Page) => Number(await page.getByTestId('sound').getAttribute('data-rings'));
const tones = (page: Page) => page.evaluate(() => window.tones);

/** The first tap is what browsers wait for before they let a page sound. */
async function touch(page: Page): Promise<void> {
  await page.getByRole('heading', { level: 1 }).click();
}

test('a new order rings until it is acknowledged', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier', '/board', { before: countTones, isClockMoved: true });
  await touch(page);
  await (await restaurant.guest()).place();
  await expect.poll(() => rings(page)).toBeGreaterThan(0);
  await expect.poll(() => tones(page)).toBeGreaterThan(0);
  const before = [await rings(page), await tones(page)] as const;
  await page.clock.runFor(10_000);
  expect(await rings(page)).toBeGreaterThanOrEqual(before[0] + 2);
  expect(await tones(page)).toBeGreaterThan(before[1]);
  await page.getByTestId('acknowledge').click();
  await expect(page.getByTestId('acknowledge')).toBeHidden();
  await expect(page).toHaveTitle(/^[^(]/);
  const after = [await rings(page), await tones(page)];
  await page.clock.runFor(30_000);
  expect([await rings(page), await tones(page)]).toEqual(after);
  await expect(page.getByTestId('card')).toHaveCount(1);
});

test('it stops when somebody else accepts the order, or the customer calls it off', async ({
  browsers,
  restaurant,
}) => {
  const page = await browsers.open('kitchen', '/board', { isClockMoved: true });
  await touch(page);
  const guest = await restaurant.guest();
  const [first, second] = [await guest.place(), await guest.place()];
  await expect(page).toHaveTitle(/^\(2\)/);
  await (await restaurant.staff('cashier')).accept(first);
  await expect(page).toHaveTitle(/^\(1\)/);
  const ringing = await rings(page);
  await page.clock.runFor(6_000);
  expect(await rings(page)).toBeGreaterThan(ringing);
  await guest.cancel(second);
  await expect(page).toHaveTitle(/^[^(]/);
  const after = await rings(page);
  await page.clock.runFor(30_000);
  expect(await rings(page)).toBe(after);
});

test('another order rings at once, whatever rings already or was acknowledged', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier', '/board', { isClockMoved: true });
  await touch(page);
  const guest = await restaurant.guest();
  await guest.place();
  await expect(page).toHaveTitle(/^\(1\)/);
  // The clock stands still: what rings now does so because of the order.
  await page.clock.pauseAt(new Date(Date.now() + 60_000));
  const last = await rings(page);
  while ((await rings(page)) === last) await page.clock.runFor(200);
  const before = await rings(page);
  const order = await guest.place();
  await expect(async () => {
    await page.clock.runFor(50);
    await expect(page).toHaveTitle(/^\(2\)/, { timeout: 100 });
  }).toPass();
  expect(await rings(page)).toBe(before + 1);
  // One that goes leaves the others to their time.
  await (await restaurant.staff('cashier')).accept(order);
  await expect(async () => {
    await page.clock.runFor(50);
    await expect(page).toHaveTitle(/^\(1\)/, { timeout: 100 });
  }).toPass();
  expect(await rings(page)).toBe(before + 1);
});

test('says when the browser keeps it silent, and sounds after a tap', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier', '/board', { before: keepSilent });
  await (await restaurant.guest()).place();
  const sound = page.getByTestId('sound');
  await expect(sound).toHaveText('The browser blocks the sound: tap to allow it');
  expect(await tones(page)).toBe(0);
  // As long as people press, so that it may sound before they let go; and where the bell still is when its words are fewer.
  const { width } = (await sound.boundingBox()) ?? { width: 0 };
  await sound.click({ delay: 300, position: { x: width - 30, y: 20 } });
  await expect(sound).toHaveText('Sound is on');
  await expect.poll(() => tones(page)).toBeGreaterThan(0);
});

for (const where of ['heading', 'bell'] as const) {
  test(`a finger on the ${where} of a tablet lets it sound, at once`, async ({ browsers, restaurant }) => {
    const page = await browsers.open('cashier', '/board', { before: keepSilent, hasTouch: true, isClockMoved: true });
    await (await restaurant.guest()).place();
    const sound = page.getByTestId('sound');
    await expect(sound).toHaveText('The browser blocks the sound: tap to allow it');
    // The clock stands still: what sounds now does so because of the finger.
    await page.clock.pauseAt(new Date(Date.now() + 60_000));
    await (where === 'bell' ? sound : page.getByRole('heading', { level: 1 })).tap();
    await expect(sound).toHaveText('Sound is on');
    await expect.poll(() => tones(page)).toBe(4);
  });
}

test('switched off, it stays silent on this device', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  await page.getByTestId('sound').click();
  await expect(page.getByTestId('sound')).toHaveText('Sound is off');
  await expect(page.getByTestId('sound')).toHaveAttribute('aria-pressed', 'false');
  const guest = await restaurant.guest();
  await guest.place();
  await expect(page).toHaveTitle(/^\(1\)/);
  expect(await rings(page)).toBe(0);
  await page.reload();
  await expect(page).toHaveTitle(/^\(1\)/);
  expect(await rings(page)).toBe(0);
  await page.getByTestId('sound').click();
  await expect.poll(() => rings(page)).toBeGreaterThan(0);
});

test('rings once for an order that is accepted by itself', async ({ browsers, restaurant }) => {
  await (await restaurant.staff('owner')).change({ auto_accept: true });
  const guest = await restaurant.guest();
  await guest.placePaid();
  const page = await browsers.open('kitchen', '/board', { isClockMoved: true });
  await expect(page.getByTestId('card')).toHaveCount(1);
  await expect(page.getByTestId('live')).toHaveText('Live');
  expect(await rings(page)).toBe(0);
  await guest.placePaid();
  await expect.poll(() => rings(page)).toBe(1);
  await page.clock.runFor(30_000);
  expect(await rings(page)).toBe(1);
});

test('an order that a colleague accepts has rung before', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen');
  const order = await (await restaurant.guest()).place();
  await expect.poll(() => rings(page)).toBe(1);
  await (await restaurant.staff('cashier')).accept(order);
  await expect(page.getByTestId('column-accepted').getByTestId('card')).toHaveCount(1);
  await expect(page).toHaveTitle(/^[^(]/);
  expect(await rings(page)).toBe(1);
});

test('rings once for a customer who asks', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.place();
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('kitchen', '/board', { before: countTones, isClockMoved: true });
  await expect(page.getByTestId('live')).toHaveText('Live');
  await touch(page);
  expect(await rings(page)).toBe(0);
  await guest.nudge(order);
  await expect.poll(() => rings(page)).toBe(1);
  await expect.poll(() => tones(page)).toBeGreaterThan(0);
  await expect(page.getByTestId('card')).toContainText('Customer asks');
  await page.clock.runFor(30_000);
  expect(await rings(page)).toBe(1);
});

test('rings once for a customer who asks, however often it is told of', async ({ browsers, restaurant, wire }) => {
  const order = await (await restaurant.guest()).place();
  await (await restaurant.staff('cashier')).accept(order);
  const stream = new Stream(wire);
  const page = await browsers.open('kitchen', '/board', { url: wire.url });
  await expect.poll(() => stream.since.length).toBe(1);
  const next = (stream.since[0] ?? 0) + 1;
  const asks = { kind: 'order_nudged', order_id: order.id, state: 'accepted' } as const;
  for (const seq of [next, next, next + 1]) stream.tell({ seq, ...asks });
  await expect.poll(() => rings(page)).toBeGreaterThanOrEqual(2);
  expect(await rings(page)).toBe(2);
});

test('sounds when the session ends by itself', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 GET /);
  const page = await browsers.open('cashier', '/board', { before: countTones });
  await expect(page.getByTestId('live')).toHaveText('Live');
  await touch(page);
  const { password, api } = await restaurant.staff('cashier');
  const params = { path: { m: restaurant.id } };
  await ask(
    api.PUT('/v1/admin/merchants/{m}/me/password', { params, body: { old: password, new: 'another-password' } }),
  );
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await expect(page.getByText('You were logged out')).toBeVisible();
  expect(await tones(page)).toBe(3);
});

test('rings on every page', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier', '/menu');
  await expect(page.getByTestId('live')).toHaveText('Live');
  await (await restaurant.guest()).place();
  await expect.poll(() => rings(page)).toBeGreaterThan(0);
  await expect(page.getByTestId('nav-board')).toContainText('1');
});
