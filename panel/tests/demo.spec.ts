/** The customer's page: who orders there rings at the counter. */
import { expect, expectAccessible, test, type Restaurant } from './harness';
import type { Page } from '@playwright/test';

const PHONE = { width: 390, height: 844 };

async function fill(page: Page, restaurant: Restaurant, dish = '拍黄瓜', count = 2): Promise<void> {
  const { id } = await restaurant.goods(dish);
  for (let times = 0; times < count; times += 1) await page.getByTestId(`more-${id}`).click();
  await expect(page.getByTestId(`count-${id}`)).toHaveText(String(count));
  await page.getByTestId('check-out').click();
}

/** Presses what the sandbox's page has in both languages. */
async function press(page: Page, role: 'button' | 'link', name: RegExp): Promise<void> {
  await page.getByRole(role, { name }).first().click();
}

test('an order that is placed and paid for there rings on the open board', async ({ browsers, restaurant }) => {
  const board = await browsers.open('cashier');
  await expect(board.getByTestId('live')).toHaveText('Live');
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  await fill(page, restaurant);
  await page.getByTestId('kind-dine_in').check();
  await page.locator('input[name="table"]').fill('C4');
  await page.getByTestId('pay-sandbox').check();
  await page.locator('input[name="remark"]').fill('不要辣');
  await expect(page.getByTestId('total')).toHaveText('¥24.00');
  await page.getByTestId('place').click();
  await page.waitForURL(/\/sandbox\/pay\//);
  await expect(board.getByTestId('card')).toHaveCount(0);
  await press(page, 'button', /^支付|Pay/);
  await expect(board.getByTestId('card')).toContainText('Table C4');
  await expect(board.getByTestId('card')).toContainText('不要辣');
  await expect(board).toHaveTitle(/^\(1\)/);
  expect(Number(await board.getByTestId('sound').getAttribute('data-rings'))).toBeGreaterThan(0);
  await press(page, 'link', /返回|Back/);
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'pending_accept');
  await board.getByTestId('accept').click();
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'accepted');
  await expect(page.getByTestId('pickup-no')).toHaveText('1');
});

test('a customer who pays in cash calls off what is not accepted', async ({ browsers, restaurant }) => {
  const board = await browsers.open('cashier');
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  await expectAccessible(page);
  await fill(page, restaurant);
  await page.getByTestId('kind-pickup').check();
  await page.getByTestId('pay-cash').check();
  await expectAccessible(page);
  await page.getByTestId('place').click();
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'pending_accept');
  await expect(board.getByTestId('card')).toHaveCount(1);
  await page.getByTestId('cancel').click();
  await page.getByTestId('cancel-now').click();
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'cancelled');
  await expect(board.getByTestId('card')).toHaveCount(0);
});

test('a customer who has their order says so, once it is paid', async ({ browsers, restaurant }) => {
  const cashier = await restaurant.staff('cashier');
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  await fill(page, restaurant);
  await page.getByTestId('kind-pickup').check();
  await page.getByTestId('pay-cash').check();
  await page.getByTestId('place').click();
  const shown = page.getByTestId('order');
  await expect(shown).toHaveAttribute('data-state', 'pending_accept');
  const [id] = /[0-9a-f-]{36}$/.exec(page.url()) ?? [];
  const { order } = await cashier.order({ id: id ?? '' });
  await cashier.accept(order);
  await cashier.move(order, 'ready');
  await expect(shown).toHaveAttribute('data-state', 'ready');
  await expect(page.getByTestId('receive')).toBeHidden();
  await cashier.move(order, 'collect');
  await page.getByTestId('receive').click();
  await expect(shown).toHaveAttribute('data-state', 'completed');
  await expect(page.getByTestId('receive')).toBeHidden();
  expect((await cashier.order(order)).history.at(-1)).toMatchObject({ move: 'complete', actor: 'customer' });
});

test('who calls off what they have paid for sees the money come back', async ({ browsers, restaurant }) => {
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  await fill(page, restaurant);
  await page.getByTestId('kind-pickup').check();
  await page.getByTestId('pay-sandbox').check();
  await page.getByTestId('place').click();
  await page.waitForURL(/\/sandbox\/pay\//);
  await press(page, 'button', /^支付|Pay/);
  await press(page, 'link', /返回|Back/);
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'pending_accept');
  await expect(page.getByTestId('refund')).toHaveCount(0);
  await page.getByTestId('cancel').click();
  await page.getByTestId('cancel-now').click();
  await expect(page.getByTestId('refund')).toHaveText('¥24.00 has been paid back', { timeout: 30_000 });
});

test('only what the restaurant offers can be chosen, and its minimum is for deliveries', async ({
  browsers,
  restaurant,
}) => {
  const owner = await restaurant.staff('owner');
  await owner.change({ fulfilments: ['pickup', 'delivery'], takes_cash: false, minimum_amount: '50.00' });
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  await expect(page.getByText('Deliveries from ¥50.00')).toBeVisible();
  await fill(page, restaurant);
  await expect(page.getByTestId('kind-pickup')).toBeChecked();
  await expect(page.getByTestId('kind-dine_in')).toHaveCount(0);
  await expect(page.getByTestId('pay-sandbox')).toBeChecked();
  await expect(page.getByTestId('pay-cash')).toHaveCount(0);
  await page.getByTestId('kind-delivery').check();
  await expect(page.getByTestId('hindrance')).toHaveText('¥26.00 more for a delivery');
  await page.getByTestId('kind-pickup').check();
  await expect(page.getByTestId('place')).toBeEnabled();
  await owner.change({ fulfilments: ['delivery'] });
  await page.goto(`${restaurant.service.url}/demo/${restaurant.id}`);
  await expect(page.getByTestId('check-out')).toHaveText('¥26.00 more for a delivery');
  await expect(page.getByTestId('check-out')).toBeDisabled();
});

test('what is sold out under one’s fingers is left out, and the rest ordered', async ({ browsers, restaurant }) => {
  browsers.announce(/^409 POST .*\/orders$/);
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE });
  const other = await restaurant.goods('凉拌木耳');
  await page.getByTestId(`more-${other.id}`).click();
  await fill(page, restaurant);
  await page.getByTestId('kind-pickup').check();
  await page.getByTestId('pay-cash').check();
  await expect(page.getByTestId('total')).toHaveText('¥40.00');
  await (await restaurant.staff('owner')).soldOut((await restaurant.goods('拍黄瓜')).id);
  await page.getByTestId('place').click();
  await expect(page.getByTestId('shortages')).toContainText('Smashed cucumber');
  await page.getByTestId('what-is-there').click();
  await expect(page.getByTestId('order-total')).toContainText('¥16.00');
});

test('an order whose answer was lost is placed once', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer POST .*\/orders/);
  const page = await browsers.visit(`/demo/${restaurant.id}`, { viewport: PHONE, url: wire.url });
  await fill(page, restaurant);
  await page.getByTestId('kind-pickup').check();
  await page.getByTestId('pay-cash').check();
  wire.loseAnswers((path) => path.endsWith('/orders'));
  await page.getByTestId('place').click();
  await expect(page.getByTestId('pending')).toBeVisible();
  wire.mend();
  await page.getByTestId('again').click();
  await expect(page.getByTestId('order')).toHaveAttribute('data-state', 'pending_accept');
  expect(await (await restaurant.staff('owner')).count()).toBe(1);
});
