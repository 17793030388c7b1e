/** The figures are what the orders were. */
import { expect, test } from './harness';

test('turnover, orders and top dishes follow the orders of today', async ({ browsers, restaurant }) => {
  const guest = await restaurant.guest();
  const cashier = await restaurant.staff('cashier');
  const [two, three] = [
    await guest.placePaid({ lines: [['拍黄瓜', 2]] }),
    await guest.placePaid({ lines: [['拍黄瓜', 3]] }),
  ];
  for (const order of [two, three]) await cashier.accept(order);
  const gone = await guest.place();
  await guest.cancel(gone);
  const page = await browsers.open('manager', '/dashboard');
  await expect(page.getByTestId('tile-turnover').getByTestId('value')).toHaveText('¥60.00');
  await expect(page.getByTestId('tile-placed').getByTestId('value')).toHaveText('3');
  await expect(page.getByTestId('tile-average').getByTestId('value')).toHaveText('¥30.00');
  await expect(page.getByTestId('tile-cancelled').getByTestId('value')).toHaveText(/33(\.3)?\s?%/);
  await expect(page.getByTestId('range-total')).toContainText('¥60.00');
  await expect(page.getByTestId('by-units').getByTestId('summary')).toHaveText(/^Sold most: Smashed cucumber.*, 5$/);
  await expect(page.getByTestId('by-amount').getByTestId('summary')).toContainText('¥60.00');
  for (const chart of ['by-day', 'by-hour', 'by-units', 'by-amount']) {
    const canvas = page.getByTestId(chart).locator('canvas');
    await expect(canvas).toBeVisible();
    const inks = await canvas.evaluate((drawn: HTMLCanvasElement) => {
      const pixels = drawn.getContext('2d')?.getImageData(0, 0, drawn.width, drawn.height).data ?? [];
      return new Set(Array.from({ length: pixels.length / 4 }, (_, at) => pixels.slice(at * 4, at * 4 + 4).join()))
        .size;
    });
    expect(inks).toBeGreaterThan(5);
  }
  const table = page.getByTestId('by-units').locator('details');
  await table.locator('summary').click();
  await expect(table.getByRole('row', { name: /Smashed cucumber/ })).toContainText('5');
  // The policy must let charts say what they show.
  const canvas = page.getByTestId('by-day').locator('canvas');
  await canvas.scrollIntoViewIfNeeded();
  await canvas.hover({ position: { x: 200, y: 100 } });
  await page.getByTestId('language').click();
  await expect(page.getByTestId('by-units').getByTestId('summary')).toHaveText(/^卖得最多的是 拍黄瓜.*：5 份$/);
});

test('days without orders say so', async ({ browsers }) => {
  const page = await browsers.open('manager', '/dashboard');
  await expect(page.getByTestId('range')).toContainText('No orders in these days');
});
