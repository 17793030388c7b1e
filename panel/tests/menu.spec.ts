/** The menu and its stock: what staff change there, customers see. */
import { readFile } from 'node:fs/promises';
import { expect, expectAccessible, test } from './harness';

test('a dish is sold out in one tap, and back in another', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen', '/menu');
  const { id, stock } = await restaurant.goods('拍黄瓜');
  const goods = page.getByTestId(`goods-${id}`);
  await goods.getByTestId('toggle').click();
  await expect(goods).toContainText(`${stock} set aside`);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(0);
  await expect(goods.getByTestId('toggle')).toHaveAttribute('aria-busy', 'false');
  await goods.getByTestId('toggle').click();
  await expect(goods.getByTestId('stock')).toHaveText(`${stock} left`);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(stock);
});

test('what customers buy is gone from the stock that is shown', async ({ browsers, restaurant }) => {
  const page = await browsers.open('kitchen', '/menu');
  const { id, stock } = await restaurant.goods('拍黄瓜');
  await expect(page.getByTestId(`goods-${id}`).getByTestId('stock')).toHaveText(`${stock} left`);
  await (await restaurant.staff('owner')).soldOut(id);
  await expect(page.getByTestId(`goods-${id}`)).toContainText('set aside');
});

test('stock changes by what came and went, with a history', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/menu');
  const { id, stock } = await restaurant.goods('拍黄瓜');
  const goods = page.getByTestId(`goods-${id}`);
  await goods.getByTestId('change-stock').click();
  const dialog = page.getByRole('dialog', { name: /^Stock:/ });
  await dialog.getByLabel('Units').fill('12');
  await dialog.getByLabel('Note').fill('from the market');
  await expect(dialog.getByTestId('before-after')).toHaveText(new RegExp(`${stock}\\s*→\\s*${stock + 12}`));
  await expectAccessible(page);
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog).toBeHidden();
  await expect(goods.getByTestId('stock')).toHaveText(`${stock + 12} left`);
  await goods.getByTestId('goods-more').click();
  await page.getByTestId('stock-history').filter({ visible: true }).click();
  const history = page.getByTestId('stock-moves');
  await expect(history).toContainText('from the market');
  await expect(history).toContainText('+12');
});

test('more than there is cannot be taken out', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/menu');
  const { id, stock } = await restaurant.goods('拍黄瓜');
  await page.getByTestId(`goods-${id}`).getByTestId('change-stock').click();
  const dialog = page.getByRole('dialog', { name: /^Stock:/ });
  await dialog.getByText('Out', { exact: true }).click();
  await dialog.getByLabel('Units').fill(String(stock + 1));
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog.getByText(`There are only ${stock}`)).toBeVisible();
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(stock);
});

test('a change of stock whose answer was lost counts once', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer POST .*\/stock-moves/);
  const page = await browsers.open('manager', '/menu', { url: wire.url });
  const { id, stock } = await restaurant.goods('拍黄瓜');
  await page.getByTestId(`goods-${id}`).getByTestId('change-stock').click();
  const dialog = page.getByRole('dialog', { name: /^Stock:/ });
  await dialog.getByLabel('Units').fill('5');
  wire.loseAnswers((path) => path.endsWith('/stock-moves'));
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog.getByTestId('outcome-unknown')).toBeVisible();
  wire.mend();
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog).toBeHidden();
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(stock + 5);
});

test('a dish is added, priced anew, taken off sale, and found', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/menu');
  await page.getByTestId('add-product').click();
  const dialog = page.getByRole('dialog', { name: 'Add dish' });
  await dialog.getByLabel('Name (Chinese)').first().fill('测试菜');
  await dialog.getByLabel('Name (English)').first().fill('Dish of the test');
  await dialog.getByLabel('Price (yuan)').fill('9.90');
  await expectAccessible(page);
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog).toBeHidden();
  const added = await restaurant.goods('测试菜');
  expect(added.price).toBe('9.90');
  await page.getByTestId('menu-search').fill('dish of the');
  const goods = page.getByTestId(`goods-${added.id}`);
  await expect(page.locator('[data-test^="goods-"]:has([data-test="price"], .price)')).toHaveCount(1);
  await goods.getByTestId('goods-more').click();
  await page.getByTestId('edit-goods').filter({ visible: true }).click();
  const edit = page.getByRole('dialog', { name: /^Edit a spec/ });
  await edit.getByLabel('Price (yuan)').fill('10.5');
  await edit.getByTestId('dialog-save').click();
  await expect(goods).toContainText('¥10.50');
  expect((await restaurant.goods('测试菜')).price).toBe('10.50');
  await goods.getByTestId('goods-more').click();
  await page.getByTestId('toggle-on-sale').filter({ visible: true }).click();
  await expect(goods).toContainText('Off sale');
  await expect(restaurant.goods('测试菜')).rejects.toThrow('no 测试菜');
});

test('a price that is none is refused where it is typed', async ({ browsers }) => {
  const page = await browsers.open('manager', '/menu');
  await page.getByTestId('add-product').click();
  const dialog = page.getByRole('dialog', { name: 'Add dish' });
  await dialog.getByLabel('Name (Chinese)').first().fill('测试菜');
  await dialog.getByLabel('Price (yuan)').fill('1.234');
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog.getByText('An amount is needed')).toBeVisible();
});

test('the menu is arranged by keys, and customers see it so', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/menu');
  const before = await restaurant.dishes();
  await page.getByTestId('arrange-products').click();
  const dialog = page.getByRole('dialog', { name: /^Arrange/ });
  await dialog.getByRole('button', { name: 'Move down: Smashed cucumber' }).click();
  await expectAccessible(page);
  await dialog.getByTestId('dialog-save').click();
  await expect(dialog).toBeHidden();
  const [first, second, ...others] = before;
  expect(await restaurant.dishes()).toEqual([second, first, ...others]);
});

test('who may not edit the menu sees it without buttons for it', async ({ browsers, restaurant }) => {
  const { id } = await restaurant.goods('拍黄瓜');
  for (const role of ['cashier', 'kitchen'] as const) {
    const page = await browsers.open(role, '/menu');
    await expect(page.getByTestId(`goods-${id}`).getByTestId('toggle')).toBeVisible();
    for (const deed of ['add-product', 'edit-product', 'change-stock', 'add-category', 'arrange-categories']) {
      await expect(page.getByTestId(deed)).toHaveCount(0);
    }
  }
});

test('the menu leaves as a table and comes back changed, as the preview said', async ({ browsers, restaurant }) => {
  const page = await browsers.open('manager', '/menu');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export-menu').click()]);
  const table = (await readFile(await download.path())).toString('utf8');
  const { price } = await restaurant.goods('拍黄瓜');
  const [head, ...lines] = table.split(/\r?\n/);
  const changed = lines.map((line) => (line.includes('拍黄瓜') ? line.replace(price, '13.50') : line));
  const wrong = lines.map((line) => (line.includes('拍黄瓜') ? line.replace(price, 'cheap') : line));
  const file = (rows: string[]) => ({
    name: 'menu.csv',
    mimeType: 'text/csv',
    buffer: Buffer.from([head, ...rows].join('\r\n')),
  });
  await page.getByTestId('import-menu').click();
  await page.getByTestId('import-file').setInputFiles(file(wrong));
  await expect(page.getByTestId('import-errors').locator('tbody tr')).toHaveCount(1);
  await expect(page.getByTestId('import-now')).toBeDisabled();
  await page.getByTestId('import-file').setInputFiles(file(changed));
  const rows = page.getByTestId('import-rows').locator('tbody tr');
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText('13.50');
  await expectAccessible(page);
  expect((await restaurant.goods('拍黄瓜')).price).toBe(price);
  await page.getByTestId('import-now').click();
  await expect(page.getByTestId('import')).toBeHidden();
  expect((await restaurant.goods('拍黄瓜')).price).toBe('13.50');
});

test('a menu that changed since the preview is shown anew before it is imported', async ({ browsers, restaurant }) => {
  browsers.announce(/^409 POST .*\/menu\/import$/);
  const page = await browsers.open('manager', '/menu');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export-menu').click()]);
  const table = (await readFile(await download.path())).toString('utf8');
  const { id, price } = await restaurant.goods('拍黄瓜');
  const changed = table.replace(new RegExp(`(拍黄瓜[^\\n]*?)${price}`), '$113.50');
  expect(changed).not.toBe(table);
  await page.getByTestId('import-menu').click();
  await page
    .getByTestId('import-file')
    .setInputFiles({ name: 'menu.csv', mimeType: 'text/csv', buffer: Buffer.from(changed) });
  await expect(page.getByTestId('import-rows')).toContainText(price);
  await (await restaurant.staff('owner')).changePrice(id, '12.80');
  await page.getByTestId('import-now').click();
  await expect(page.getByTestId('import-preview')).toContainText(/changed/i);
  await expect(page.getByTestId('import-rows')).toContainText('12.80');
  expect((await restaurant.goods('拍黄瓜')).price).toBe('12.80');
  await page.getByTestId('import-now').click();
  await expect(page.getByTestId('import')).toBeHidden();
  expect((await restaurant.goods('拍黄瓜')).price).toBe('13.50');
});

test('an import whose answer was lost is not called undone', async ({ browsers, restaurant, wire }) => {
  browsers.announce(/^no answer POST .*\/menu\/import/, /^409 POST .*\/menu\/import$/);
  const page = await browsers.open('manager', '/menu', { url: wire.url });
  const { stock } = await restaurant.goods('拍黄瓜');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByTestId('export-menu').click()]);
  const table = (await readFile(await download.path())).toString('utf8');
  const five = table.replace(/(拍黄瓜.*),(\r?\n)/, '$1,5$2');
  expect(five).not.toBe(table);
  await page.getByTestId('import-menu').click();
  await page
    .getByTestId('import-file')
    .setInputFiles({ name: 'menu.csv', mimeType: 'text/csv', buffer: Buffer.from(five) });
  await expect(page.getByTestId('import-rows').locator('tbody tr')).toHaveCount(1);
  wire.loseAnswers((path) => path.endsWith('/menu/import'));
  await page.getByTestId('import-now').click();
  await expect(page.getByTestId('import-preview')).toContainText('may have been made');
  wire.mend();
  const refused = page.waitForResponse((answer) => answer.status() === 409);
  await page.getByTestId('import-now').click();
  await refused;
  // It has been: what is shown now would be made a second time.
  await expect(page.getByTestId('import-rows')).toContainText('+5');
  await expect(page.getByTestId('import-preview')).toContainText('Look at the stock first');
  await expect(page.getByTestId('import-preview')).not.toContainText('nothing was imported');
  await expectAccessible(page);
  expect((await restaurant.goods('拍黄瓜')).stock).toBe(stock + 5);
});
