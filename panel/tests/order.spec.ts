/** One order, from every side: what is shown of it, what can be done with it, and the paper it comes out on. */
import { expect, expectAccessible, test, type Order } from './harness';
import type { Locator, Page } from '@playwright/test';

async function openOrder(page: Page, order: Order): Promise<Locator> {
  await page.locator(`[data-order="${order.id}"] .face`).click();
  const drawer = page.getByTestId('order-drawer');
  await expect(drawer.getByTestId('order-state')).toBeVisible();
  return drawer;
}

/** Notes what is printed instead of asking the system to. */
function printQuietly(): void {
  window.print = () => {
    const ticket = document.querySelector('[data-test="ticket"]');
    const printed = document.createElement('pre');
    printed.dataset['test'] = 'printed';
    printed.hidden = true;
    printed.textContent = ticket?.textContent ?? '';
    document.body.append(printed);
    window.dispatchEvent(new Event('afterprint'));
  };
}

test('shows everything of an order, and what becomes of it', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.placePaid({ remark: '<b>少辣</b>', lines: [['拍黄瓜', 2]] });
  const page = await browsers.open('manager');
  const drawer = await openOrder(page, order);
  await expect(drawer.getByTestId('order-state')).toHaveText('New');
  await expect(drawer.getByTestId('remark')).toContainText('<b>少辣</b>');
  await expect(drawer.getByTestId('total')).toContainText('¥24.00');
  await expect(drawer.getByTestId('standing')).toHaveText('Paid');
  await expect(drawer.getByTestId('step')).toHaveCount(2);
  await expectAccessible(page);
  // Somebody else goes on with it while it is open.
  const staff = await restaurant.staff('cashier');
  await staff.accept(order, 20);
  await expect(drawer.getByTestId('order-state')).toHaveText('Accepted');
  await expect(drawer.getByTestId('order-name')).toHaveText('#1');
  await expect(drawer.getByTestId('step').last()).toContainText('Accepted');
  await staff.move(order, 'ready');
  await drawer.getByTestId('complete').click();
  await expect(drawer.getByTestId('order-state')).toHaveText('Completed');
});

test('an order is delayed, taken back and cancelled with what was wasted', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const before = (await restaurant.goods('拍黄瓜')).stock;
  const order = await guest.placePaid({ lines: [['拍黄瓜', 3]] });
  const page = await browsers.open('manager');
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('accept').click();
  await expect(drawer.getByTestId('order-state')).toHaveText('Accepted');
  await drawer.getByTestId('delay').click();
  const later = page.getByTestId('delay-dialog').getByRole('button').last();
  await later.click();
  await expect(page.getByTestId('delay-dialog')).toBeHidden();
  await expect(drawer.getByTestId('step').last()).toContainText('Delayed');
  await drawer.getByTestId('prepare').click();
  await expect(drawer.getByTestId('order-state')).toHaveText('Preparing');
  await drawer.getByTestId('recall').click();
  await expect(drawer.getByTestId('order-state')).toHaveText('Accepted');
  await drawer.getByTestId('cancel').click();
  const dialog = page.getByTestId('cancel-dialog');
  await expectAccessible(page);
  await dialog.getByTestId('reason-took_too_long').click();
  const [line] = order.lines;
  await dialog.getByTestId(`returned-${line?.goods_id}`).locator('input').fill('1');
  await dialog.getByTestId('cancel-refund').fill('30.00');
  await dialog.getByTestId('cancel-confirm').click();
  await expect(drawer.getByTestId('order-state')).toHaveText('Cancelled');
  const whole = await (await restaurant.staff('owner')).order(order);
  expect(whole.refunds).toMatchObject([{ amount: '30.00' }]);
  expect(whole.order.lines).toMatchObject([{ count: 3, returned_count: 1 }]);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(before - 2);
});

test('money goes back by line, in part and whole, and never more than came in', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.placePaid({
    lines: [
      ['拍黄瓜', 2],
      ['凉拌木耳', 1],
    ],
  });
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('manager');
  const drawer = await openOrder(page, order);
  const dialog = page.getByTestId('refund-dialog');
  const confirm = dialog.getByTestId('refund-confirm');
  await drawer.getByTestId('refund').click();
  await expect(dialog.getByTestId('refund-left')).toHaveText('¥40.00 left');
  await dialog.getByTestId('refund-lines').click();
  await dialog.getByTestId(`refund-${order.lines[0]?.goods_id}`).locator('input').fill('1');
  await dialog.getByTestId('reason-bad_quality').click();
  await expectAccessible(page);
  await expect(confirm).toHaveText('Pay back ¥12.00');
  await confirm.click();
  await expect(dialog).toBeHidden();
  await drawer.getByTestId('refund').click();
  await expect(dialog.getByTestId('refund-left')).toHaveText('¥28.00 left');
  await dialog.getByTestId('refund-amount').click();
  await dialog.getByTestId('reason-other').click();
  await dialog.getByTestId('note').fill('a hair');
  await dialog.getByTestId('refund-typed').fill('28.01');
  await expect(dialog.getByRole('alert').filter({ hasText: 'More than' })).toBeVisible();
  await expect(confirm).toBeDisabled();
  await dialog.getByTestId('refund-typed').fill('3.5');
  await expect(confirm).toHaveText('Pay back ¥3.50');
  await confirm.click();
  await expect(dialog).toBeHidden();
  await drawer.getByTestId('refund').click();
  await dialog.getByTestId('reason-took_too_long').click();
  await expect(confirm).toHaveText('Pay back ¥24.50');
  await confirm.click();
  await expect(dialog).toBeHidden();
  await expect(drawer.getByTestId('refund')).toHaveCount(0);
  const { refunds } = await (await restaurant.staff('owner')).order(order);
  expect(refunds.map(({ amount }) => amount)).toEqual(['12.00', '3.50', '24.50']);
});

test('a refund whose answer was lost is made once', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer POST .*\/refunds/);
  const order = await (await restaurant.guest()).placePaid({ lines: [['拍黄瓜', 2]] });
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('manager', '/board', { url: wire.url });
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('refund').click();
  const dialog = page.getByTestId('refund-dialog');
  await dialog.getByTestId('refund-amount').click();
  await dialog.getByTestId('refund-typed').fill('5');
  await dialog.getByTestId('reason-bad_quality').click();
  wire.loseAnswers((path) => path.endsWith('/refunds'));
  await dialog.getByTestId('refund-confirm').click();
  await expect(page.getByText('The server cannot be reached')).toBeVisible();
  // Until its outcome is known, it is this refund and no other that is asked for, even from a dialog that is opened anew.
  await expect(dialog.getByTestId('outcome-unknown')).toBeVisible();
  await expect(dialog.getByTestId('refund-typed')).toBeDisabled();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await drawer.getByTestId('refund').click();
  await expectAccessible(page);
  wire.mend();
  await dialog.getByTestId('refund-confirm').click();
  await expect(dialog).toBeHidden();
  const { refunds } = await (await restaurant.staff('owner')).order(order);
  expect(refunds).toMatchObject([{ amount: '5.00' }]);
});

test('who may not pay back or cancel finds no button for it', async ({ browsers, restaurant }) => {
  const order = await (await restaurant.guest()).placePaid();
  await (await restaurant.staff('cashier')).accept(order);
  for (const role of ['cashier', 'kitchen'] as const) {
    const drawer = await openOrder(await browsers.open(role), order);
    await expect(drawer.getByTestId('prepare')).toBeVisible();
    await expect(drawer.getByTestId('refund')).toHaveCount(0);
    await expect(drawer.getByTestId('cancel')).toHaveCount(0);
    await expect(drawer.getByTestId('customer-points')).toHaveCount(role === 'cashier' ? 1 : 0);
  }
  const drawer = await openOrder(await browsers.open('manager'), order);
  await expect(drawer.getByTestId('refund')).toBeVisible();
  await expect(drawer.getByTestId('cancel')).toBeVisible();
});

test('the second ticket says that it is one', async ({ browsers, restaurant }) => {
  const order = await (await restaurant.guest()).place({ remark: '不要香菜' });
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('kitchen', '/board', { before: printQuietly });
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('print').click();
  const printed = page.getByTestId('printed');
  await expect(printed).toHaveCount(1);
  const [first] = await printed.allTextContents();
  for (const words of ['#1', 'Table A3', 'Smashed cucumber', '不要香菜', '¥24.00']) expect(first).toContain(words);
  expect(first).not.toMatch(/REPRINT/i);
  await drawer.getByTestId('print').click();
  await expect(printed).toHaveCount(2);
  expect((await printed.allTextContents())[1]).toMatch(/REPRINT/i);
  const { tickets } = await (await restaurant.staff('owner')).order(order);
  expect(tickets.map(({ copy }) => copy)).toEqual([1, 2]);
  // Only the ticket is printed, and it is as wide as the paper.
  await page.evaluate(() => (window.print = () => undefined));
  await drawer.getByTestId('print').click();
  await page.emulateMedia({ media: 'print' });
  await expect(page.getByTestId('ticket')).toBeVisible();
  await expect(page.getByTestId('live')).toBeHidden();
  await expect(drawer).toBeHidden();
});

test('the ticket of an order that is called off asks for no cash', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.place();
  const page = await browsers.open('manager', '/board', { before: printQuietly });
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('print').click();
  const printed = page.getByTestId('printed');
  await expect(printed).toHaveCount(1);
  await guest.cancel(order);
  await expect(drawer.getByTestId('order-state')).toHaveText('Cancelled');
  await drawer.getByTestId('print').click();
  await expect(printed).toHaveCount(2);
  const [before, after] = await printed.allTextContents();
  expect(before).toContain('COLLECT CASH');
  expect(after).not.toContain('COLLECT CASH');
});

test('what went wrong with the money is told, and dealt with', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.place({ pay_method: 'sandbox' });
  const page = await browsers.open('manager', '/alerts');
  // The alert would go by itself as soon as the money has gone back.
  await guest.pay(order, { pay_amount: '1.00', refund_asks: 1_000_000 });
  const alert = page.getByTestId('alert');
  await expect(alert).toHaveAttribute('data-kind', 'payment_mismatch');
  await expect(page.getByTestId('nav-alerts')).toContainText('1');
  await expectAccessible(page);
  await alert.getByTestId('open-order').click();
  await expect(page.getByTestId('order-drawer').getByTestId('order-state')).toHaveText('Awaiting payment');
  await page.keyboard.press('Escape');
  await alert.getByTestId('resolve').click();
  await expect(alert).toHaveCount(0);
  await expect(page.getByTestId('nav-alerts')).not.toContainText('1');
  await page.getByText('All', { exact: true }).click();
  await expect(page.getByTestId('resolved')).toBeVisible();
});

test('a refund that the gateway gave up is put in again', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.placePaid({}, { refund: 'fail' });
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('manager');
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('refund').click();
  await page.getByTestId('reason-bad_quality').click();
  await page.getByTestId('refund-confirm').click();
  await expect(drawer.getByTestId('refund-is-failed')).toBeVisible({ timeout: 30_000 });
  await expect(drawer.getByTestId('order-alert')).toBeVisible();
  await drawer.getByTestId('retry-refund').click();
  // It is asked for a while later, under another number.
  await expect(drawer.getByTestId('refund-is-due')).toContainText(/-2\b/);
  await expect(drawer.getByTestId('order-alert')).toHaveCount(0);
  await expect(drawer.getByTestId('retry-refund')).toHaveCount(0);
});

test('a refund that somebody paid by hand is done', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const order = await guest.placePaid({}, { refund: 'fail' });
  await (await restaurant.staff('cashier')).accept(order);
  const page = await browsers.open('manager');
  const drawer = await openOrder(page, order);
  await drawer.getByTestId('refund').click();
  await page.getByTestId('reason-bad_quality').click();
  await page.getByTestId('refund-confirm').click();
  await expect(drawer.getByTestId('refund-is-failed')).toBeVisible({ timeout: 30_000 });
  await drawer.getByTestId('paid-by-hand').click();
  await page.locator('.order-confirm').getByRole('button', { name: 'Paid by hand' }).click();
  await expect(drawer.getByTestId('refund-is-succeeded')).toContainText('Paid by hand');
  await expect(drawer.getByTestId('order-alert')).toHaveCount(0);
  await expect(drawer.getByTestId('paid-by-hand')).toHaveCount(0);
  await expect(drawer.getByTestId('retry-refund')).toHaveCount(0);
});
