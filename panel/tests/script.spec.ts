/** Whatever anybody types is shown as they typed it: markup in it is text, on every page and on paper. */
import type { Page } from '@playwright/test';
import { ask, expect, test, type Order, type Restaurant } from './harness';

/** Were it ever taken for markup, the browser would ask for it, and the test fail for what is not there. */
const MARKUP = '<img src=/harm>';
const both = (text: string) => ({ zh: text, en: text });

/** Puts it into every text that customers and staff may type. */
async function taint(restaurant: Restaurant): Promise<Order> {
  const owner = await restaurant.staff('owner');
  const params = { path: { m: restaurant.id } };
  await owner.change({ name: both(`Shop${MARKUP}`), points_earned_per_yuan: 1 });
  const of = (id: number) => ({ params: { path: { m: restaurant.id, id } } });
  const { categories } = await ask(owner.api.GET('/v1/admin/merchants/{m}/menu', { params }));
  const product = categories.flatMap(({ products }) => products ?? []).find(({ name }) => name.zh === '拍黄瓜');
  const [goods] = product?.goods ?? [];
  if (product === undefined || goods === undefined) throw new Error('there is no cucumber');
  const dish = `Dish${MARKUP}`;
  await ask(
    owner.api.PATCH('/v1/admin/merchants/{m}/categories/{id}', {
      ...of(product.category_id),
      body: { name: both(`Category${MARKUP}`) },
    }),
  );
  await ask(
    owner.api.PATCH('/v1/admin/merchants/{m}/products/{id}', { ...of(product.id), body: { name: both(dish) } }),
  );
  await ask(
    owner.api.PATCH('/v1/admin/merchants/{m}/goods/{id}', { ...of(goods.id), body: { spec: both(`Spec${MARKUP}`) } }),
  );
  await ask(
    owner.api.POST('/v1/admin/merchants/{m}/goods/{id}/stock-moves', {
      ...of(goods.id),
      body: { delta: 5, reason: 'other', note: `Note${MARKUP}` },
    }),
  );
  const member = { login: `login${MARKUP}`, name: `Name${MARKUP}`, role: 'cashier', password: 'a password' } as const;
  await ask(owner.api.POST('/v1/admin/merchants/{m}/staff', { params, body: member }));
  const account = { kind: 'votes', name: `Account${MARKUP}` } as const;
  await ask(owner.api.POST('/v1/admin/merchants/{m}/accounts', { params, body: account }));

  const guest = await restaurant.guest();
  const address_id = await guest.address({ contact: `Li${MARKUP}`, phone: '13800138000', place: `Home${MARKUP}` });
  const remark = `Remark${MARKUP}`;
  const brought = await guest.placePaid({ lines: [[dish, 2]], fulfilment: { kind: 'delivery', address_id }, remark });
  const served = await guest.place({
    lines: [[dish, 1]],
    fulfilment: { kind: 'dine_in', table: `A${MARKUP}` },
    remark,
  });
  const path = { m: restaurant.id, id: served.id };
  await ask(
    owner.api.POST('/v1/admin/merchants/{m}/orders/{id}/reject', {
      params: { path },
      body: { reason: 'other', note: `Why${MARKUP}` },
    }),
  );
  await guest.place({ lines: [[dish, 1]], fulfilment: { kind: 'dine_in', table: `A${MARKUP}` }, remark });
  await owner.accept(brought);
  return brought;
}

async function expectText(page: Page, ...texts: string[]): Promise<void> {
  for (const text of texts) {
    await expect(page.getByText(`${text}${MARKUP}`).first(), `${text} is shown as it was typed`).toBeAttached();
  }
  await expect(page.locator('img[src*="harm"]')).toHaveCount(0);
}

test('markup that was typed is text on every page', async ({ browsers, restaurant }) => {
  const order = await taint(restaurant);
  const page = await browsers.open('owner');
  await expectText(page, 'Dish', 'A', 'Remark');
  await page.locator(`[data-order="${order.id}"] .face`).click();
  await expect(page.getByTestId('order-drawer').getByTestId('order-state')).toBeVisible();
  await expectText(page, 'Li', 'Home', 'Spec');
  await page.keyboard.press('Escape');
  for (const [name, texts] of [
    ['orders', ['A']],
    ['menu', ['Category', 'Dish', 'Spec']],
    ['dashboard', ['Dish']],
    ['points', ['Account']],
    ['settings', []],
    ['staff', ['Name', 'login']],
    ['trail', ['Dish']],
  ] as const) {
    await page.goto(`${restaurant.service.url}/admin/${name}`);
    await expect(page.getByTestId('live')).toHaveAttribute('data-state', 'live');
    await expect(page.locator('[aria-busy="true"], [data-loading="true"], .el-skeleton')).toHaveCount(0);
    await expectText(page, ...texts);
    await page.getByTestId('language').click();
    await expectText(page, ...texts);
    await page.getByTestId('language').click();
  }
  // A chart draws its labels, but makes its tooltip of elements.
  await page.goto(`${restaurant.service.url}/admin/dashboard`);
  const canvas = page.getByTestId('by-units').locator('canvas');
  await canvas.scrollIntoViewIfNeeded();
  await canvas.hover({ position: { x: 200, y: 30 } });
  const tooltip = page.getByTestId('by-units').locator('div[style*="pointer-events"]');
  await expect(tooltip).toContainText(`Dish${MARKUP}`);
  await expectText(page, 'Dish');
});
