/** Who comes in, and what each role finds there. */
import { expect, expectAccessible, expectNoSidewaysScroll, Refused, ROLES, test, ask, type Role } from './harness';

/** What the API says each page needs, and who may by the table in src/domain/staff.rs. */
const PAGES: Record<string, readonly Role[]> = {
  board: ['owner', 'manager', 'cashier', 'kitchen'],
  orders: ['owner', 'manager', 'cashier', 'kitchen'],
  menu: ['owner', 'manager', 'cashier', 'kitchen'],
  dashboard: ['owner', 'manager'],
  points: ['owner', 'manager', 'cashier'],
  alerts: ['owner', 'manager', 'cashier', 'kitchen'],
  settings: ['owner', 'manager'],
  staff: ['owner'],
  trail: ['owner', 'manager'],
  webhooks: ['owner', 'manager'],
};

test('logs in with login and password, and stays logged in', async ({ browsers, restaurant }) => {
  const { password } = await restaurant.staff('cashier');
  const page = await browsers.visit('/admin/');
  await expectAccessible(page);
  await expectNoSidewaysScroll(page);
  await page.getByLabel('Merchant number').fill(String(restaurant.id));
  await page.getByLabel('Login').fill('cashier');
  await page.getByLabel('Password').fill(password);
  await page.getByLabel('Password').press('Enter');
  await expect(page.getByTestId('live')).toHaveText('Live');
  await expect(page).toHaveURL(/\/admin\/board$/);
  await page.reload();
  await expect(page.getByTestId('live')).toHaveText('Live');
});

test('while the service is away, who is logged in waits and comes in by themselves', async ({
  browsers,
  restaurant,
  wire,
}) => {
  browsers.announce(/^502 GET .*\/me$/);
  const { token } = await restaurant.staff('cashier');
  wire.answerer = (asked, answer) => {
    if (!(asked.url ?? '').startsWith('/v1/')) return false;
    answer.writeHead(502).end();
    return true;
  };
  const kept = { 'rowlock.session': JSON.stringify({ merchant: restaurant.id, token }) };
  const page = await browsers.visit('/admin/orders?q=A3', { url: wire.url, kept });
  await expect(page.getByText('The server cannot be reached')).toBeVisible();
  await expect(page.getByLabel('Password')).toHaveCount(0);
  await expectAccessible(page);
  wire.mend();
  await expect(page.getByTestId('live')).toHaveText('Live');
  await expect(page).toHaveURL(/\/admin\/orders\?.*q=A3/);
});

test('a wrong password lets nobody in, and is told in both languages', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 POST .*\/sessions$/);
  await restaurant.staff('cashier');
  const page = await browsers.visit('/admin/');
  await page.getByLabel('Merchant number').fill(String(restaurant.id));
  await page.getByLabel('Login').fill('cashier');
  await page.getByLabel('Password').fill('guessed');
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('alert')).toHaveText(/wrong/);
  await expectAccessible(page);
  await page.getByTestId('language').click();
  await page.getByRole('button', { name: '登录' }).click();
  await expect(page.getByRole('alert')).toHaveText(/密码/);
  await page.goto('/admin/orders'.replace(/^/, restaurant.service.url));
  await expect(page.getByRole('button', { name: '登录' })).toBeVisible();
  expect(await page.evaluate(() => localStorage.getItem('rowlock.session'))).toBeNull();
});

test('who had to log in first comes to the page they wanted', async ({ browsers, restaurant }) => {
  const { password } = await restaurant.staff('cashier');
  const page = await browsers.visit('/admin/orders?q=A3');
  await page.getByLabel('Merchant number').fill(String(restaurant.id));
  await page.getByLabel('Login').fill('cashier');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page).toHaveURL(/\/admin\/orders\?.*q=A3/);
});

test('a link that leads elsewhere does not', async ({ browsers, restaurant }) => {
  const { password } = await restaurant.staff('cashier');
  const page = await browsers.visit('/admin/login?to=//example.com/');
  await page.getByLabel('Merchant number').fill(String(restaurant.id));
  await page.getByLabel('Login').fill('cashier');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByTestId('live')).toBeVisible();
  expect(new URL(page.url()).origin).toBe(restaurant.service.url);
});

for (const role of ROLES) {
  test(`the ${role} finds the pages of the role, and no other`, async ({ browsers, restaurant }) => {
    const page = await browsers.open(role);
    const allowed = Object.keys(PAGES).filter((name) => PAGES[name]?.includes(role));
    const shown = page.getByRole('navigation').getByRole('link');
    await expect(shown).toHaveCount(allowed.length);
    const hrefs = await shown.evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    expect(hrefs).toEqual(allowed.map((name) => `/admin/${name}`));
    for (const name of Object.keys(PAGES)) {
      await page.goto(`${restaurant.service.url}/admin/${name}`);
      await expect(page).toHaveURL(new RegExp(`/admin/${allowed.includes(name) ? name : 'board'}(\\?|$)`));
      await expect(page.getByRole('heading', { level: 1 })).toHaveCount(1);
    }
  });
}

test('what a role may not do, the API refuses, whatever a page shows', async ({ restaurant }) => {
  const path = { m: restaurant.id };
  const order = await (await restaurant.guest()).place();
  const of = { params: { path: { ...path, id: order.id } } };
  const [manager, cashier, kitchen] = await Promise.all([
    restaurant.staff('manager'),
    restaurant.staff('cashier'),
    restaurant.staff('kitchen'),
  ]);
  const refused = [
    ask(kitchen.api.POST('/v1/admin/merchants/{m}/orders/{id}/accept', { ...of, body: { minutes: 5 } })),
    ask(kitchen.api.GET('/v1/admin/merchants/{m}/accounts', { params: { path } })),
    ask(cashier.api.POST('/v1/admin/merchants/{m}/orders/{id}/cancel', { ...of, body: { reason: 'too_busy' } })),
    ask(cashier.api.GET('/v1/admin/merchants/{m}/settings', { params: { path } })),
    ask(cashier.api.GET('/v1/admin/merchants/{m}/statistics', { params: { path } })),
    ask(cashier.api.GET('/v1/admin/merchants/{m}/actions', { params: { path } })),
    ask(cashier.api.GET('/v1/admin/merchants/{m}/orders/export', { params: { path } })),
    ask(manager.api.GET('/v1/admin/merchants/{m}/staff', { params: { path } })),
  ];
  for (const answer of await Promise.allSettled(refused)) {
    expect(answer.status).toBe('rejected');
    expect((answer as PromiseRejectedResult).reason).toBeInstanceOf(Refused);
    expect(((answer as PromiseRejectedResult).reason as Refused).problem.status).toBe(403);
  }
});

test('logs out, and the way back is closed', async ({ browsers }) => {
  const page = await browsers.open('owner');
  await page.getByTestId('me').click();
  await page.getByTestId('log-out').click();
  await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
  await page.goBack();
  await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
});

test('changes the own password; sessions elsewhere end', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 /);
  const { password } = await restaurant.staff('cashier');
  const elsewhere = await browsers.open('cashier', '/menu');
  const page = await browsers.open('cashier');
  await page.getByTestId('me').click();
  await page.getByRole('menuitem', { name: 'Change password' }).click();
  const dialog = page.getByRole('dialog', { name: 'Change password' });
  await expectAccessible(page);
  await dialog.getByLabel('Present password').fill(password);
  await dialog.getByLabel('New password').fill('another-password');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  await page.reload();
  await expect(page.getByTestId('live')).toHaveText('Live');
  // Whatever asks first finds out: this, or the stream that ends.
  await elsewhere.evaluate(() => window.dispatchEvent(new Event('online')));
  await expect(elsewhere.getByText('You were logged out')).toBeVisible();
});

test('goes on with the session that another tab has renewed', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 GET /);
  const cashier = await restaurant.staff('cashier');
  const page = await browsers.open('cashier');
  await expect(page.getByTestId('live')).toHaveText('Live');
  const params = { path: { m: restaurant.id } };
  const body = { old: cashier.password, new: 'another-password' };
  const { token } = await ask(cashier.api.PUT('/v1/admin/merchants/{m}/me/password', { params, body }));
  const renewed = JSON.stringify({ merchant: restaurant.id, token });
  await page.evaluate((kept) => localStorage.setItem('rowlock.session', kept), renewed);
  const refused = page.waitForResponse((answer) => answer.status() === 401);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await refused;
  await page.getByTestId('nav-orders').click();
  await expect(page.getByTestId('orders')).toHaveAttribute('data-loading', 'false');
  await expect(page).toHaveURL(/\/admin\/orders/);
  expect(await page.evaluate(() => localStorage.getItem('rowlock.session'))).toBe(renewed);
});

test('a role that was changed shows as soon as it is felt', async ({ browsers, restaurant }) => {
  browsers.announce(/^403 GET /);
  const owner = await restaurant.staff('owner');
  const { staff_id } = await (await restaurant.staff('manager')).me();
  const page = await browsers.open('manager', '/menu');
  await expect(page.getByTestId('nav-dashboard')).toBeVisible();
  const params = { path: { m: restaurant.id, id: staff_id } };
  await ask(owner.api.PATCH('/v1/admin/merchants/{m}/staff/{id}', { params, body: { role: 'kitchen' } }));
  await page.getByTestId('nav-dashboard').click();
  await expect(page.getByTestId('nav-dashboard')).toHaveCount(0);
  await expect(page.getByTestId('me')).toContainText('Kitchen');
});

test('says in time when the session ends, and takes another', async ({ browsers, restaurant }) => {
  browsers.announce(/^401 POST .*\/sessions$/);
  const { password } = await restaurant.staff('cashier');
  const page = await browsers.visit('/admin/menu', { isClockMoved: true });
  const logIn = async (typed: string) => {
    await page.getByLabel('Login').fill('cashier');
    await page.getByLabel('Password').fill(typed);
    await page.getByLabel('Password').press('Enter');
  };
  const kept = () => page.evaluate(() => localStorage.getItem('rowlock.session'));
  await page.getByLabel('Merchant number').fill(String(restaurant.id));
  await logIn(password);
  await expect(page.getByTestId('live')).toHaveText('Live');
  await expect(page.getByTestId('ends')).toHaveCount(0);
  // A week is what a session lasts; the service's clock stays where it is.
  await page.clock.fastForward(157 * 3_600_000);
  const notice = page.getByTestId('ends');
  await expect(notice).toHaveText(/^Log in again before \d\d:\d\d$/);
  await expectAccessible(page);
  const before = await kept();
  await notice.click();
  await expect(page.getByLabel('Merchant number')).toHaveValue(String(restaurant.id));
  // The session there is stays until there is another.
  await logIn('guessed');
  await expect(page.getByRole('alert')).toHaveText(/wrong/);
  expect(await kept()).toBe(before);
  await logIn(password);
  await expect(page.getByTestId('live')).toHaveText('Live');
  await expect(page).toHaveURL(/\/admin\/menu$/);
  expect(await kept()).not.toBe(before);
});

test('a page that does not exist says so', async ({ browsers }) => {
  const page = await browsers.open('owner', '/nonsense');
  await expect(page.getByText('There is no such page')).toBeVisible();
});

test('the language is kept on the device', async ({ browsers }) => {
  const page = await browsers.open('kitchen');
  await page.getByTestId('language').click();
  await expect(page.getByTestId('nav-board')).toHaveText('接单');
  await page.reload();
  await expect(page.getByTestId('nav-board')).toHaveText('接单');
  expect(await page.evaluate(() => document.documentElement.lang)).toBe('zh-CN');
});
