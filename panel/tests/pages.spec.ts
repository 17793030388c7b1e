/** What holds of every page: it is said in both languages, fits the screens of a counter, and keeps nobody out. */
import { expect, expectAccessible, expectNoSidewaysScroll, test, type Restaurant } from './harness';
import type { Page } from '@playwright/test';

const PAGES = [
  'board',
  'orders',
  'menu',
  'dashboard',
  'points',
  'alerts',
  'settings',
  'staff',
  'trail',
  'webhooks',
] as const;

/** Something for each page to show. */
async function liven(restaurant: Restaurant): Promise<void> {
  const guest = await restaurant.guest();
  const cashier = await restaurant.staff('cashier');
  const owner = await restaurant.staff('owner');
  await owner.change({ points_earned_per_yuan: 1, webhook_url: 'http://127.0.0.1:9/hook' });
  await guest.place({ fulfilment: { kind: 'pickup' } });
  const done = await guest.placePaid({ lines: [['拍黄瓜', 2]] });
  await cashier.accept(done);
  await cashier.move(done, 'ready');
  await cashier.move(done, 'complete');
  const wrong = await guest.place({ pay_method: 'sandbox' });
  await guest.pay(wrong, { pay_amount: '1.00' });
}

async function loaded(page: Page): Promise<void> {
  await expect(page.getByTestId('live')).toHaveAttribute('data-state', 'live');
  await expect(page.locator('[aria-busy="true"], [data-loading="true"], .el-skeleton')).toHaveCount(0);
}

const words = (page: Page) =>
  page.evaluate(() =>
    [
      document.body.innerText,
      ...Array.from(document.querySelectorAll('[aria-label], [placeholder], [title]')).flatMap((each) => [
        each.getAttribute('aria-label') ?? '',
        each.getAttribute('placeholder') ?? '',
        each.getAttribute('title') ?? '',
      ]),
    ].join('\n'),
  );

/** A word that is missing shows as its name. */
const MISSING = /\b(common|board|orders|menu|dashboard|office|demo)\.[a-z]\w*(\.\w+)*/i;

for (const name of PAGES) {
  test(`${name} is said in both languages, fits, and keeps nobody out`, async ({ browsers, restaurant }) => {
    await liven(restaurant);
    const page = await browsers.open('owner', `/${name}`);
    await loaded(page);
    await expectAccessible(page);
    await expectNoSidewaysScroll(page);
    const english = await words(page);
    expect(english).not.toMatch(MISSING);
    // What is switched to is said in its own language, and a menu shows dishes in both.
    if (name !== 'menu' && name !== 'settings') expect(english.replace('中文', '')).not.toMatch(/\p{Script=Han}/u);
    await page.getByTestId('language').click();
    await expect(page.getByTestId('nav-board')).toHaveText(/接单/);
    const chinese = await words(page);
    expect(chinese).not.toMatch(MISSING);
    expect(chinese).toMatch(/\p{Script=Han}/u);
    await page.setViewportSize({ width: 1024, height: 768 });
    await expectNoSidewaysScroll(page);
    await expectAccessible(page);
  });
}

test('every page is reached and left by keyboard', async ({ browsers }) => {
  const page = await browsers.open('owner');
  for (const name of PAGES.slice(1)) {
    await page.getByTestId(`nav-${name}`).focus();
    await page.keyboard.press('Enter');
    await expect(page).toHaveURL(new RegExp(`/admin/${name}`));
  }
});
