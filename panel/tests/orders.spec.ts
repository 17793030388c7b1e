/** The list of orders: filters, pages, and the table that is taken home. */
import { readFile } from 'node:fs/promises';
import { expect, expectAccessible, test, type Order } from './harness';
import type { Page } from '@playwright/test';

const row = (page: Page, order: Order) => page.getByTestId(`row-${order.id}`);
const rows = (page: Page) => page.locator('[data-test^="row-"]');

async function settled(page: Page): Promise<void> {
  await expect(page.getByTestId('orders')).toHaveAttribute('data-loading', 'false');
}

async function chooseOption(page: Page, select: string, option: string): Promise<void> {
  await page.getByTestId(select).click();
  await page.getByRole('option', { name: option, exact: true }).click();
}

test('filters narrow down, stay over a reload, and are what is exported', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const cashier = await restaurant.staff('cashier');
  const paid = await guest.placePaid({ fulfilment: { kind: 'pickup' }, remark: '=HYPERLINK("x")' });
  const accepted = await guest.place({ fulfilment: { kind: 'dine_in', table: 'B7' }, remark: '多放葱，谢谢' });
  const fresh = await guest.place({ fulfilment: { kind: 'dine_in', table: 'A3' } });
  const gone = await guest.place();
  await cashier.accept(accepted);
  await guest.cancel(gone);
  const page = await browsers.open('manager', '/orders');
  await expect(rows(page)).toHaveCount(4);
  await expectAccessible(page);

  await page.getByTestId('state-accepted').click();
  await page.getByTestId('state-cancelled').click();
  await expect(rows(page)).toHaveCount(2);
  await expect(page).toHaveURL(/state=accepted(,|%2C)cancelled/);
  await page.reload();
  await expect(rows(page)).toHaveCount(2);
  await expect(row(page, accepted)).toBeVisible();
  await page.getByTestId('state-accepted').click();
  await page.getByTestId('state-cancelled').click();
  await expect(rows(page)).toHaveCount(4);

  await page.getByTestId('text').fill('B7');
  await expect(rows(page)).toHaveCount(1);
  await expect(row(page, accepted)).toBeVisible();
  await page.getByTestId('text').fill('');
  await expect(rows(page)).toHaveCount(4);

  await chooseOption(page, 'fulfilment', 'Pickup');
  await expect(rows(page)).toHaveCount(1);
  await expect(row(page, paid)).toBeVisible();
  await page.goto(`${restaurant.service.url}/admin/orders?pay_method=cash&state=pending_accept,accepted`);
  await expect(rows(page)).toHaveCount(2);
  await expect(row(page, fresh)).toBeVisible();
  await page.getByTestId('days-yesterday').click();
  await expect(page.getByTestId('nothing')).toBeVisible();
  await page.getByTestId('days-today').click();
  await expect(rows(page)).toHaveCount(2);

  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export').click()]);
  const table = await readFile(await download.path());
  // Excel takes a file for UTF-8 by these three bytes.
  expect([...table.subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
  const text = table.toString('utf8');
  expect(text).toContain('多放葱，谢谢');
  expect(download.suggestedFilename()).toMatch(/^orders_.*\.csv$/);
  const ids = [paid, accepted, fresh, gone].filter(({ id }) => text.includes(id)).map(({ id }) => id);
  expect(ids).toEqual([accepted.id, fresh.id]);
  await settled(page);
});

test('what looks like a formula is none in the table', async ({ browsers, restaurant }) => {
  await (await restaurant.guest()).place({ remark: '=HYPERLINK("x")' });
  const page = await browsers.open('manager', '/orders');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export').click()]);
  const text = (await readFile(await download.path())).toString('utf8');
  expect(text).toContain('HYPERLINK');
  expect(text).not.toMatch(/(^|[,"\n])=HYPERLINK/);
});

test('pages lead forth and back, and what is new is told at the first', async ({ browsers, restaurant }) => {
  const guests = await Promise.all(Array.from({ length: 3 }, () => restaurant.guest()));
  const orders: Order[] = [];
  for (let count = 0; count < 60; count += 1) {
    const guest = guests[count % guests.length];
    if (guest !== undefined) orders.push(await guest.place({ lines: [['拍黄瓜', 1]] }));
  }
  const page = await browsers.open('cashier', '/orders');
  await expect(rows(page)).toHaveCount(50);
  await page.getByTestId('page-forth').click();
  await expect(rows(page)).toHaveCount(10);
  const [oldest] = orders;
  if (oldest === undefined) throw new Error('orders were placed');
  await expect(row(page, oldest)).toBeVisible();
  await page.reload();
  await expect(rows(page)).toHaveCount(10);
  await page.getByTestId('page-back').click();
  await expect(rows(page)).toHaveCount(50);
  const latest = await (await restaurant.guest()).place();
  await expect(page.getByTestId('fresh')).toHaveText('1 new: refresh');
  await page.getByTestId('fresh').click();
  await expect(row(page, latest)).toBeVisible();
});

test('rows change where they are', async ({ browsers, restaurant }) => {
  const order = await (await restaurant.guest()).place();
  const page = await browsers.open('cashier', '/orders');
  await expect(row(page, order)).toContainText('New');
  await (await restaurant.staff('cashier')).accept(order);
  await expect(row(page, order)).toContainText('Accepted');
  await row(page, order).getByTestId('open').press('Enter');
  await expect(page.getByTestId('order-drawer').getByTestId('order-name')).toHaveText('#1');
  await expect(page).toHaveURL(new RegExp(`order=${order.id}`));
});

test('contacts are exported only by who may', async ({ browsers }) => {
  const page = await browsers.open('cashier', '/orders');
  await settled(page);
  await expect(page.getByTestId('export')).toHaveCount(0);
});

test('a list that cannot be read says so, and is read again', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^503 GET .*\/orders$/);
  const order = await (await restaurant.guest()).place();
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').includes('limit=50')) return false;
    answer.writeHead(503, { 'Content-Type': 'application/problem+json' });
    answer.end('{"code":"unavailable","detail":"Try again in a moment."}');
    return true;
  };
  const page = await browsers.open('manager', '/orders', { url: wire.url });
  await expect(page.getByRole('alert')).toContainText('Try again in a moment.');
  wire.answerer = () => false;
  await page.getByTestId('retry').click();
  await expect(row(page, order)).toBeVisible();
});
