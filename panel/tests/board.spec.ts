/** The board: what staff do all day, by tap and by key. */
import { expect, expectAccessible, expectNoSidewaysScroll, Stream, test, type Order } from './harness';
import type { Locator, Page } from '@playwright/test';

const column = (page: Page, state: Order['state']): Locator => page.getByTestId(`column-${state}`);
const card = (within: Page | Locator, order: Order): Locator => within.locator(`[data-order="${order.id}"]`);

test('an order is accepted with minutes in one tap', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const order = await (await restaurant.guest()).place({ remark: '少辣', lines: [['拍黄瓜', 2]] });
  const shown = card(column(page, 'pending_accept'), order);
  await expect(shown).toContainText('Table A3');
  await expect(shown).toContainText('Smashed cucumber');
  await expect(shown).toContainText('¥24.00');
  await expect(shown).toContainText('少辣');
  await shown.getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), order)).toContainText('#1');
  const { order: accepted } = await (await restaurant.staff('cashier')).order(order);
  const minutes = (Date.parse(accepted.promised_at ?? '') - Date.now()) / 60_000;
  expect(minutes).toBeGreaterThan(1);
  expect(minutes).toBeLessThan(60);
});

test('other minutes are a tap more, and are what the next order is accepted with', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const guest = await restaurant.guest();
  const [first, second] = [await guest.place(), await guest.place()];
  await card(page, first).getByTestId('accept-minutes').click();
  await page.getByTestId('accept-in-30').filter({ visible: true }).click();
  await expect(card(column(page, 'accepted'), first)).toBeVisible();
  await expect(card(page, second).getByTestId('accept')).toHaveText('Accept · 30 min');
  await page.reload();
  await card(page, second).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), second)).toBeVisible();
  for (const order of [first, second]) {
    const { order: accepted } = await (await restaurant.staff('cashier')).order(order);
    const left = Date.parse(accepted.promised_at ?? '') - Date.now();
    expect(left / 60_000).toBeGreaterThan(27);
    expect(left / 60_000).toBeLessThanOrEqual(30);
  }
});

test('an order is cooked, paid in cash and handed over', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const order = await (await restaurant.guest()).place();
  await card(page, order).getByTestId('accept').click();
  await card(column(page, 'accepted'), order).getByRole('button', { name: 'Start' }).click();
  await card(column(page, 'preparing'), order).getByRole('button', { name: 'Ready' }).click();
  await card(column(page, 'ready'), order).getByRole('button', { name: 'Take ¥24.00, complete' }).click();
  await expect(card(page, order)).toHaveCount(0);
  const whole = await (await restaurant.staff('owner')).order(order);
  expect(whole.order.state).toBe('completed');
  expect(whole.payments).toMatchObject([{ gateway: 'cash', state: 'paid', amount: '24.00' }]);
});

test('an order that was paid is handed over without a word of cash', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const order = await (await restaurant.guest()).placePaid({ fulfilment: { kind: 'pickup' } });
  await expect(card(page, order)).not.toContainText('Cash due');
  const staff = await restaurant.staff('cashier');
  await staff.accept(order);
  await staff.move(order, 'ready');
  await card(column(page, 'ready'), order).getByRole('button', { name: 'Complete' }).click();
  await expect(card(page, order)).toHaveCount(0);
});

test('an order that points have paid whole asks for no cash', async ({ browsers, restaurant }) => {
  const owner = await restaurant.staff('owner');
  await owner.change({ points_per_yuan: 1 });
  const guest = await restaurant.guest();
  const { customer_id } = await owner.order(await guest.place());
  await owner.grantPoints(customer_id, 24);
  const order = await guest.place({ points: 24 });
  expect(order.total).toBe('0.00');
  await owner.accept(order);
  await owner.move(order, 'ready');
  const page = await browsers.open('cashier');
  const shown = card(column(page, 'ready'), order);
  await expect(shown).not.toContainText('Cash due');
  await shown.getByRole('button', { name: 'Complete', exact: true }).click();
  await expect(card(page, order)).toHaveCount(0);
  expect((await owner.order(order)).order.state).toBe('completed');
});

test('two taps make one move', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const order = await (await restaurant.guest()).place();
  let requests = 0;
  page.on('request', (request) => (requests += request.url().endsWith('/accept') ? 1 : 0));
  await card(page, order).getByTestId('accept').dblclick();
  await expect(card(column(page, 'accepted'), order)).toBeVisible();
  expect(requests).toBe(1);
});

test('two taps on a card leave the next one alone', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier', '/board', { isClockMoved: true });
  const guest = await restaurant.guest();
  const [first, second] = [await guest.place(), await guest.place()];
  await expect(column(page, 'pending_accept').getByTestId('card')).toHaveCount(2);
  // The clock stands still: however slow the service is, the second tap comes as soon after the first as one of two does.
  await page.clock.pauseAt(new Date(Date.now() + 60_000));
  let requests = 0;
  page.on('request', (request) => (requests += request.url().endsWith('/accept') ? 1 : 0));
  await card(page, first).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), first)).toBeVisible();
  await page.clock.runFor(100);
  await card(page, second).getByTestId('accept').click();
  await card(page, second).locator('.face').click();
  await expect(page.getByTestId('order-drawer')).toBeHidden();
  await card(column(page, 'accepted'), first).getByTestId('next').click();
  await expect(card(column(page, 'preparing'), first)).toBeVisible();
  expect(requests).toBe(1);
  await page.clock.runFor(600);
  await card(page, second).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), second)).toBeVisible();
});

test('a key that is pressed twice makes one move', async ({ browsers, restaurant, wire }) => {
  const page = await browsers.open('cashier', '/board', { url: wire.url });
  const order = await (await restaurant.guest()).place();
  await card(page, order).locator('.face').focus();
  let requests = 0;
  let letGo = (): void => {};
  // The first is under way until the second was pressed.
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').endsWith('/accept')) return false;
    requests += 1;
    letGo = () => {
      answer.writeHead(503, { 'Content-Type': 'application/problem+json' });
      answer.end('{"code":"unavailable","detail":"Try again in a moment."}');
    };
    return true;
  };
  browsers.announce(/^503 POST .*\/accept/);
  await page.keyboard.press('a');
  await expect.poll(() => requests).toBe(1);
  await page.keyboard.press('a');
  await expect(card(page, order).getByTestId('accept')).toHaveClass(/is-loading/);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  expect(requests).toBe(1);
  letGo();
  await expect(card(page, order).getByTestId('accept')).not.toHaveClass(/is-loading/);
});

test('what is not paid is nobody’s work until it is', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const guest = await restaurant.guest();
  const order = await guest.place({ pay_method: 'sandbox' });
  await expect(page.getByText('Awaiting payment (1)')).toBeVisible();
  await expect(card(page, order)).toHaveCount(0);
  await expect(page).toHaveTitle(/^[^(]/);
  await page.getByText('Awaiting payment (1)').click();
  await expect(card(column(page, 'pending_payment'), order)).toBeVisible();
  await guest.pay(order);
  await expect(card(column(page, 'pending_accept'), order)).toBeVisible();
  await expect(page).toHaveTitle(/^\(1\)/);
});

test('the kitchen cooks, and neither accepts nor takes cash', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen');
  const order = await (await restaurant.guest()).place();
  await expect(card(page, order)).toBeVisible();
  await expect(card(page, order).getByTestId('accept')).toHaveCount(0);
  await expect(card(page, order).getByTestId('reject')).toHaveCount(0);
  await (await restaurant.staff('cashier')).accept(order);
  await card(column(page, 'accepted'), order).getByTestId('next').click();
  await card(column(page, 'preparing'), order).getByTestId('next').click();
  await expect(card(column(page, 'ready'), order)).toBeVisible();
  await expect(card(page, order).getByTestId('next')).toHaveCount(0);
});

test('of two who move an order one is told that the other was faster', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^409 POST .*\/reject$/);
  const stream = new Stream(wire);
  const slow = await browsers.open('manager', '/board', { url: wire.url });
  await expect.poll(() => stream.listeners).toBe(1);
  const fast = await browsers.open('cashier');
  const order = await (await restaurant.guest()).place();
  await slow.evaluate(() => window.dispatchEvent(new Event('online')));
  await card(slow, order).getByTestId('reject').click();
  const dialog = slow.getByTestId('reject-dialog');
  await dialog.getByTestId('reason-too_busy').click();
  await card(fast, order).getByTestId('accept').click();
  await expect(card(column(fast, 'accepted'), order)).toBeVisible();
  // The slow one's stream is silent: nothing has told of it yet.
  await dialog.getByTestId('reject-confirm').click();
  await expect(slow.getByText('Somebody was faster: the order is now “Accepted”')).toBeVisible();
  await expect(card(column(slow, 'accepted'), order)).toBeVisible();
  await expect(dialog).toBeHidden();
});

test('two who accept at the same moment accept once', async ({ browsers, restaurant }) => {
  const pages = [await browsers.open('cashier'), await browsers.open('manager')];
  const order = await (await restaurant.guest()).place();
  // Which of them is refused, and whether the other's event is there first, is chance: the order is what counts.
  await Promise.all(pages.map((page) => expect(card(page, order)).toBeVisible()));
  const answers = pages.map((page) => page.waitForResponse((answer) => answer.url().endsWith('/accept')));
  await Promise.all(pages.map((page) => page.route('**/accept', (route) => route.continue())));
  await Promise.all(pages.map((page) => card(page, order).getByTestId('accept').dispatchEvent('click')));
  const statuses = (await Promise.all(answers)).map((answer) => answer.status()).sort();
  expect(statuses).toEqual([200, 409]);
  browsers.announce(/^409 POST .*\/accept$/);
  for (const page of pages) await expect(card(column(page, 'accepted'), order)).toBeVisible();
  const { history } = await (await restaurant.staff('owner')).order(order);
  expect(history.filter(({ move }) => move === 'accept')).toHaveLength(1);
});

test('what a move answered is not undone by an answer from before it', async ({ browsers, restaurant, wire }) => {
  const page = await browsers.open('cashier', '/board', { url: wire.url });
  const guest = await restaurant.guest();
  const order = await guest.place();
  await expect(card(column(page, 'pending_accept'), order)).toBeVisible();
  const staff = await restaurant.staff('owner');
  const url = `${restaurant.service.url}/v1/admin/merchants/${restaurant.id}/orders?ids=${order.id}`;
  const before = await (await fetch(url, { headers: { Authorization: `Bearer ${staff.token}` } })).text();
  const held: (() => void)[] = [];
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').includes('ids=')) return false;
    held.push(() => {
      answer.writeHead(200, { 'Content-Type': 'application/json' });
      answer.end(before);
    });
    return true;
  };
  await guest.nudge(order);
  await expect.poll(() => held.length).toBe(1);
  await card(page, order).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), order)).toBeVisible();
  held[0]?.();
  // The next question is asked only after the answer was taken in; it is never answered.
  await expect.poll(() => held.length).toBe(2);
  await expect(card(column(page, 'accepted'), order)).toBeVisible();
  await expect(card(column(page, 'pending_accept'), order)).toHaveCount(0);
});

test('a move that cannot be sent says so, and can be made again', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer /);
  const page = await browsers.open('cashier', '/board', { url: wire.url });
  const order = await (await restaurant.guest()).place();
  await expect(card(page, order)).toBeVisible();
  wire.cut();
  await card(page, order).getByTestId('accept').click();
  await expect(page.getByText('The server cannot be reached')).toBeVisible();
  await expect(card(column(page, 'pending_accept'), order)).toBeVisible();
  wire.mend();
  await expect(page.getByTestId('live')).toHaveText('Live');
  await card(page, order).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), order)).toBeVisible();
});

test('a move that is never answered ends, and says so', async ({ browsers, restaurant, wire }) => {
  const page = await browsers.open('cashier', '/board', { url: wire.url });
  const order = await (await restaurant.guest()).place();
  await expect(card(page, order)).toBeVisible();
  await page.evaluate(() => {
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    // Five times as fast as for people.
    AbortSignal.timeout = (milliseconds) => timeout(milliseconds / 5);
  });
  wire.answerer = (asked) => (asked.url ?? '').endsWith('/accept');
  await card(page, order).getByTestId('accept').click();
  await expect(page.getByText('The server cannot be reached')).toBeVisible();
  await expect(card(page, order).getByTestId('accept')).not.toHaveClass(/is-loading/);
  wire.mend();
  await card(page, order).getByTestId('accept').click();
  await expect(card(column(page, 'accepted'), order)).toBeVisible();
});

test('rejected as sold out, the dish is off the customers’ menu', async ({ browsers, restaurant }) => {
  const page = await browsers.open('cashier');
  const order = await (
    await restaurant.guest()
  ).placePaid({
    lines: [
      ['拍黄瓜', 1],
      ['凉拌木耳', 1],
    ],
  });
  const [gone, kept] = order.lines;
  await card(page, order).getByTestId('reject').click();
  const dialog = page.getByTestId('reject-dialog');
  await dialog.getByTestId('reason-sold_out').click();
  await expect(dialog.getByTestId('reject-confirm')).toBeDisabled();
  await expectAccessible(page);
  await dialog.getByTestId(`sold-out-${gone?.goods_id}`).click();
  await dialog.getByTestId('reject-confirm').click();
  await expect(card(page, order)).toHaveCount(0);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(0);
  expect((await restaurant.goods('凉拌木耳')).stock).toBeGreaterThan(0);
  const staff = await restaurant.staff('owner');
  const goods = await staff.goods();
  expect(goods.find(({ id }) => id === gone?.goods_id)?.sold_out).toBe(true);
  expect(goods.find(({ id }) => id === kept?.goods_id)?.sold_out).toBe(false);
  const { refunds } = await staff.order(order);
  expect(refunds).toMatchObject([{ amount: order.total }]);
});

test('sold out in one tap from the board, and back', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen');
  const { id, stock } = await restaurant.goods('拍黄瓜');
  await page.getByTestId('sold-out').click();
  const row = page.getByTestId(`sold-out-row-${id}`);
  await page.getByTestId('sold-out-search').fill('cucumber');
  await expect(page.locator('[data-test^="sold-out-row-"]')).toHaveCount(1);
  await expectAccessible(page);
  await row.getByTestId('toggle').click();
  await expect(row.getByTestId('toggle')).toHaveText(`Bring back ${stock}`);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(0);
  await expect(row.getByTestId('toggle')).toHaveAttribute('aria-busy', 'false');
  await row.getByTestId('toggle').click();
  await expect.poll(async () => (await restaurant.goods('拍黄瓜')).stock).toBe(stock);
});

test('the board is worked by keys alone', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager');
  const guest = await restaurant.guest();
  const [first, second, third] = [await guest.place(), await guest.place(), await guest.place()];
  await expect(column(page, 'pending_accept').getByTestId('card')).toHaveCount(3);
  const focused = (order: Order) => expect(card(page, order).locator('.face')).toBeFocused();
  await page.keyboard.press('ArrowRight');
  await focused(first);
  await page.keyboard.press('ArrowDown');
  await focused(second);
  await page.keyboard.press('a');
  await expect(card(column(page, 'accepted'), second)).toBeVisible();
  // The place of the one that went is the next one's.
  await focused(third);
  await page.keyboard.press('ArrowUp');
  await focused(first);
  await page.keyboard.press('ArrowRight');
  await focused(second);
  await page.keyboard.press('n');
  await expect(card(column(page, 'preparing'), second)).toBeVisible();
  await card(page, first).locator('.face').focus();
  await page.keyboard.press('r');
  const dialog = page.getByTestId('reject-dialog');
  await expect(dialog).toBeVisible();
  // Keys belong to the dialog while it is open.
  await page.keyboard.press('a');
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(card(column(page, 'pending_accept'), first)).toBeVisible();
  await card(page, first).locator('.face').focus();
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('order-drawer')).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByTestId('order-drawer')).toBeHidden();
  await page.keyboard.press('k');
  await expect(page).toHaveTitle(/^[^(]/);
  await page.keyboard.press('m');
  await expect(page.getByTestId('sound')).toHaveText('Sound is off');
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keys' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog', { name: 'Keys' })).toBeHidden();
  await page.keyboard.press('s');
  await expect(page.getByTestId('sold-out-search')).toBeVisible();
});

for (const viewport of [
  { width: 1280, height: 800 },
  { width: 1024, height: 768 },
]) {
  test(`fits ${viewport.width}×${viewport.height}, and keeps nobody out`, async ({ browsers, restaurant }) => {
    const page = await browsers.open('manager', '/board', { viewport });
    const guest = await restaurant.guest();
    const staff = await restaurant.staff('cashier');
    const orders: Order[] = [];
    for (let count = 0; count < 5; count += 1) {
      orders.push(await guest.place({ remark: '不要香菜，多放辣，打包带走，谢谢老板辛苦了', lines: [['口水鸡', 3]] }));
    }
    const [accepted, preparing, ready] = orders;
    for (const order of [accepted, preparing, ready]) if (order !== undefined) await staff.accept(order);
    if (preparing !== undefined) await staff.move(preparing, 'prepare');
    if (ready !== undefined) await staff.move(ready, 'ready');
    await expect(page.getByTestId('card')).toHaveCount(5);
    await expect(column(page, 'ready').getByTestId('card')).toHaveCount(1);
    await expectNoSidewaysScroll(page);
    await expectAccessible(page);
    const small = await page.locator('main button:visible').evaluateAll((buttons) =>
      buttons
        .map((button) => ({ text: button.textContent, ...button.getBoundingClientRect().toJSON() }))
        .filter(({ height, width }) => height < 43.5 || width < 43.5)
        .map(({ text, height, width }) => `${text}: ${width}×${height}`),
    );
    expect(small).toEqual([]);
  });
}
