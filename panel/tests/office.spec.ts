/** Settings, people, and what was done. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { expect, expectAccessible, Refused, test } from './harness';

test('only what was changed is saved, and customers feel it', async ({ browsers, restaurant }) => {
  const owner = await restaurant.staff('owner');
  const before = await owner.settings();
  const page = await browsers.open('manager', '/settings');
  await page.getByTestId('minimum').fill('50');
  await expect(page.getByTestId('unsaved')).toBeVisible();
  // Somebody else changes another thing in the meantime.
  await owner.change({ unpaid_minutes: 30 });
  await page.getByTestId('save').click();
  await expect(page.getByTestId('unsaved')).toBeHidden();
  expect(await owner.settings()).toEqual({ ...before, minimum_amount: '50.00', unpaid_minutes: 30 });
  const guest = await restaurant.guest();
  const address_id = await guest.address({ contact: 'Li', phone: '13800138000', place: 'Road 1' });
  await expect(guest.place({ fulfilment: { kind: 'delivery', address_id } })).rejects.toThrow('below_minimum');
  expect((await guest.place()).total).toBe('24.00');
});

test('what is switched off cannot be ordered, and the last way to order stays', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/settings');
  await page.getByTestId('offers-dine_in').click();
  // What is ticked again is as it was.
  await page.getByTestId('offers-dine_in').click();
  await expect(page.getByTestId('unsaved')).toBeHidden();
  await page.getByTestId('offers-dine_in').click();
  await page.getByTestId('offers-delivery').click();
  await expect(page.getByTestId('offers-pickup').getByRole('checkbox')).toBeDisabled();
  await page.getByTestId('takes-cash').click();
  await expectAccessible(page);
  await page.getByTestId('save').click();
  await expect(page.getByTestId('unsaved')).toBeHidden();
  expect(await (await restaurant.staff('owner')).settings()).toMatchObject({
    fulfilments: ['pickup'],
    takes_cash: false,
  });
  const guest = await restaurant.guest();
  const fulfilment = { kind: 'pickup' } as const;
  await expect(guest.place()).rejects.toThrow('fulfilment_not_offered');
  await expect(guest.place({ fulfilment })).rejects.toThrow('pay_method_not_offered');
  expect((await guest.place({ fulfilment, pay_method: 'sandbox' })).state).toBe('pending_payment');
  await page.getByTestId('nav-trail').click();
  await expect(page.getByText('How orders can be had')).toBeVisible();
});

test('a shop says after how long its orders are completed by themselves, or that they never are', async ({
  browsers,
  restaurant,
}) => {
  const owner = await restaurant.staff('owner');
  const page = await browsers.open('manager', '/settings');
  const minutes = page.getByTestId('complete-after-minutes').locator('input');
  for (const [typed, kept] of [
    ['90', 90],
    ['', null],
  ] as const) {
    await minutes.fill(typed);
    await minutes.blur();
    await page.getByTestId('save').click();
    await expect(page.getByTestId('unsaved')).toBeHidden();
    expect((await owner.settings()).complete_after_minutes ?? null).toBe(kept);
  }
});

test('what cannot be is told at its field', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/settings');
  await page.getByTestId('webhook-url').fill('ftp://example.com');
  await page.getByTestId('save').click();
  await expect(page.locator('.el-form-item.is-error')).toHaveCount(1);
  expect((await (await restaurant.staff('owner')).settings()).webhook_url ?? null).toBeNull();
});

test('a shop that is paused takes no orders until it goes on', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/settings');
  const guest = await restaurant.guest();
  await page.getByTestId('pause').click();
  await expect(page.getByTestId('pause-card')).toContainText(/paused/i);
  await expect(guest.place()).rejects.toBeInstanceOf(Refused);
  await page.getByTestId('pause').click();
  await expect.poll(() => guest.place().then(({ state }) => state, String)).toBe('pending_accept');
});

test('who leaves with unsaved changes is asked', async ({ browsers }) => {
  const page = await browsers.open('manager', '/settings');
  await page.getByTestId('minimum').fill('50');
  await page.getByTestId('nav-board').click();
  const question = page.getByRole('dialog');
  await expect(question).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page).toHaveURL(/\/settings$/);
  await expect(page.getByTestId('minimum')).toHaveValue('50');
});

test('a member is added, works, and is out at once when deactivated', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 /);
  const page = await browsers.open('owner', '/staff');
  await page.getByTestId('add-member').click();
  await page.getByTestId('member-name').fill('小王');
  await page.getByTestId('member-login').fill('wang');
  await page.getByTestId('role-cashier').click();
  await page.getByTestId('suggest').click();
  const password = await page.getByTestId('member-password').inputValue();
  expect(password.length).toBeGreaterThanOrEqual(8);
  await expectAccessible(page);
  await page.getByTestId('member-save').click();
  await page.getByTestId('told-close').click();
  const row = page.locator('[data-login="wang"]');
  await expect(row).toContainText('Cashier');

  const theirs = await browsers.visit('/admin/');
  await theirs.getByLabel('Merchant number').fill(String(restaurant.id));
  await theirs.getByLabel('Login').fill('wang');
  await theirs.getByLabel('Password').fill(password);
  await theirs.getByRole('button', { name: 'Log in' }).click();
  await expect(theirs.getByTestId('live')).toHaveText('Live');
  const order = await (await restaurant.guest()).place();
  await theirs.locator(`[data-order="${order.id}"]`).getByTestId('accept').click();
  await expect(theirs.getByTestId('column-accepted').getByTestId('card')).toHaveCount(1);

  await row.getByTestId('deactivate').click();
  const confirm = page.getByRole('dialog').getByRole('button', { name: /deactivate/i });
  if (await confirm.isVisible()) await confirm.click();
  await expect(row).toContainText(/inactive|deactivated|may not log in/i);
  await theirs.locator(`[data-order="${order.id}"]`).getByTestId('next').click();
  await expect(theirs.getByText('You were logged out')).toBeVisible();

  await page.getByTestId('nav-trail').click();
  const trail = page.getByRole('main');
  await expect(trail.locator('[data-action="accept"]')).toContainText('小王');
  await expect(trail.locator('[data-action="add_staff"]')).toContainText('owner');
  await expectAccessible(page);
});

test('the last owner stays one', async ({ browsers, restaurant }) => {
  browsers.announce(/^4\d\d PATCH .*\/staff\//);
  const page = await browsers.open('owner', '/staff');
  const row = page.locator('[data-login="owner"]');
  await row.getByTestId('deactivate').click();
  const confirm = page.getByRole('dialog').getByRole('button', { name: /deactivate/i });
  if (await confirm.isVisible()) await confirm.click();
  await expect(page.locator('.el-message')).toBeVisible();
  await page.reload();
  await expect(row.getByTestId('deactivate')).toBeVisible();
  expect((await (await restaurant.staff('owner')).settings()).name.zh).not.toBe('');
});

test('the table of roles is what the API does', async ({ browsers, restaurant }) => {
  const page = await browsers.open('owner', '/staff');
  const shown = page.getByTestId('roles').locator('tr[data-permission]');
  await expect(shown.first()).toBeVisible();
  for (const role of ['owner', 'manager', 'cashier', 'kitchen'] as const) {
    const told = await shown.evaluateAll(
      (rows, of) =>
        rows
          .filter((row) => row.querySelector(`[data-role="${of}"] .may`) !== null)
          .map((row) => row.getAttribute('data-permission')),
      role,
    );
    const { permissions } = await (await restaurant.staff(role)).me();
    expect([...told].sort()).toEqual([...permissions].sort());
  }
});

test('what webhooks were told is listed, and told again on demand', async ({ browsers, restaurant }) => {
  let isWell = false;
  let calls = 0;
  const hook: Server = createServer((asked, answer) => {
    calls += 1;
    asked.resume();
    answer.writeHead(isWell ? 204 : 500).end();
  }).listen(0, '127.0.0.1');
  await once(hook, 'listening');
  const address = hook.address();
  if (address === null || typeof address === 'string') throw new Error('the hook has no address');
  try {
    const owner = await restaurant.staff('owner');
    await owner.change({ webhook_url: `http://127.0.0.1:${address.port}/hook` });
    await (await restaurant.guest()).place();
    await expect.poll(() => calls).toBeGreaterThan(0);
    isWell = true;
    const page = await browsers.open('manager', '/webhooks');
    await expect(page.getByRole('main')).toContainText(/500/);
    const before = calls;
    await expectAccessible(page);
    const parked = page.getByTestId('deliveries').locator('[data-state="parked"]');
    await parked.first().getByTestId('retry-delivery').click();
    await expect.poll(() => calls).toBeGreaterThan(before);
    await expect(parked).toHaveCount(0);
  } finally {
    hook.closeAllConnections();
    hook.close();
  }
});

test('points are corrected, and never below nothing', async ({ browsers, restaurant }) => {
  const owner = await restaurant.staff('owner');
  await owner.change({ points_earned_per_yuan: 1, points_earned_on: 'paid' });
  const order = await (await restaurant.guest()).placePaid({ lines: [['拍黄瓜', 2]] });
  const { customer_id } = await owner.order(order);
  const page = await browsers.open('manager', `/points?customer=${customer_id}`);
  await page.getByTestId('purse-points').click();
  const balance = page.getByTestId('balance');
  await expect(balance).toContainText('24');
  const correct = async (way: 'add' | 'take', units: string) => {
    await page.getByTestId('correct').click();
    await page.getByTestId(way).click();
    await page.getByTestId('units').fill(units);
    await page.getByTestId('reason').fill('spilled soup');
    await page.getByTestId('correct-save').click();
  };
  await correct('add', '6');
  await expect(balance).toContainText('30');
  await expect(page.getByTestId('entries')).toContainText('spilled soup');
  await correct('take', '31');
  await expect(page.locator('.el-form-item.is-error')).toHaveCount(1);
  await expectAccessible(page);
  await page.keyboard.press('Escape');
  await page.reload();
  await expect(page.getByTestId('purse-points')).toContainText('30');
});
