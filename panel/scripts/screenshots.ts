/** The pictures of the README: a restaurant at noon. Writes them to `panel/screenshots`. */
import { fileURLToPath } from 'node:url';
import { expect, Service, test, type Guest, type Order, type Restaurant, type Wish } from '../tests/harness';
import { writePast } from './past';

const folder = fileURLToPath(new URL('../screenshots', import.meta.url));
const picture = (name: string) => ({ path: `${folder}/${name}.png`, animations: 'disabled' as const });

const WISHES: readonly Wish[] = [
  {
    lines: [
      ['宫保鸡丁', 1],
      ['米饭', 2],
    ],
    fulfilment: { kind: 'dine_in', table: 'A2' },
  },
  {
    lines: [
      ['麻婆豆腐', 1],
      ['拍黄瓜', 1],
      ['米饭', 1],
    ],
    fulfilment: { kind: 'pickup' },
    remark: '少辣，不要葱',
    pay_method: 'sandbox',
  },
  {
    lines: [
      ['口水鸡', 1],
      ['酸梅汤', 2],
    ],
    fulfilment: { kind: 'dine_in', table: 'B5' },
    pay_method: 'sandbox',
  },
  {
    lines: [
      ['红烧肉', 1],
      ['凉拌木耳', 1],
      ['米饭', 2],
    ],
    fulfilment: { kind: 'dine_in', table: 'A6' },
    remark: 'No peanuts please',
  },
  {
    lines: [
      ['夫妻肺片', 1],
      ['拍黄瓜', 2],
    ],
    fulfilment: { kind: 'pickup' },
    pay_method: 'sandbox',
  },
  {
    lines: [
      ['老醋花生', 2],
      ['皮蛋豆腐', 1],
    ],
    fulfilment: { kind: 'dine_in', table: 'C1' },
  },
];

/** What of a wish the menu has. */
async function fitting(restaurant: Restaurant, wish: Wish): Promise<Wish> {
  const dishes = new Set(await restaurant.dishes());
  const lines = (wish.lines ?? []).filter(([dish]) => dishes.has(dish));
  return { ...wish, lines: lines.length > 0 ? lines : [['拍黄瓜', 2]] };
}

test('a restaurant at noon', async ({ browsers }) => {
  const service = await Service.start();
  try {
    const restaurant = service.demo();
    const staff = await restaurant.staff('manager');
    await writePast(restaurant, { orders: 900, days: 14 });
    const guests = await Promise.all(Array.from({ length: 8 }, (_, at) => restaurant.guest(`noon-${at}`)));
    let number = 0;
    const place = async (wish: Wish): Promise<[Order, Guest]> => {
      const guest = guests[(number += 1) % guests.length] as Guest;
      const fits = await fitting(restaurant, wish);
      return [await (fits.pay_method === 'sandbox' ? guest.placePaid(fits) : guest.place(fits)), guest];
    };
    const until = async (moves: readonly ('prepare' | 'ready' | 'deliver' | 'complete')[], wish: Wish) => {
      const [order, guest] = await place(wish);
      await staff.accept(order, 20);
      for (const move of moves) await staff.move(order, move);
      return [order, guest] as const;
    };
    const [dineIn, pickup, table, other, quick, small] = WISHES as [Wish, Wish, Wish, Wish, Wish, Wish];
    for (const wish of [pickup, table, quick]) await until(['ready', 'complete'], wish);
    const address = { contact: '陈女士', phone: '13800138000', place: '江边路 8 号 3 单元 502' };
    const home = guests[0] as Guest;
    const addressId = await home.address(address);
    const delivery = await home.placePaid({
      lines: [
        ['口水鸡', 2],
        ['拍黄瓜', 1],
      ],
      fulfilment: { kind: 'delivery', address_id: addressId },
    });
    await staff.accept(delivery, 30);
    for (const move of ['ready', 'deliver'] as const) await staff.move(delivery, move);
    await until(['ready'], pickup);
    await until(['ready'], other);
    await until(['prepare'], dineIn);
    await until(['prepare'], table);
    await until(['prepare'], quick);
    const [asked, asking] = await until([], other);
    await asking.nudge(asked);
    await until([], small);
    for (const wish of [pickup, other, dineIn]) await place(wish);

    const board = await browsers.open('manager', '/board', { of: restaurant, url: service.url });
    await expect(board.getByTestId('column-pending_accept').getByTestId('card')).toHaveCount(3);
    await expect(board.getByTestId('live')).toHaveText('Live');
    await board.screenshot(picture('board'));

    const menu = await browsers.open('manager', '/menu', { of: restaurant, url: service.url, language: 'zh' });
    await staff.soldOut((await restaurant.goods('凉拌木耳')).id);
    await expect(menu.getByText('已售罄', { exact: true }).first()).toBeVisible();
    await menu.screenshot(picture('menu'));

    const dashboard = await browsers.open('manager', '/dashboard', { of: restaurant, url: service.url });
    await expect(dashboard.getByTestId('by-amount').locator('canvas')).toBeVisible();
    // Charts grow into their shape.
    await dashboard.waitForTimeout(2_000);
    await dashboard.screenshot(picture('dashboard'));

    const phone = { width: 390, height: 844 };
    const demo = await browsers.visit('/demo/1', { url: service.url, viewport: phone, language: 'zh' });
    for (const dish of ['拍黄瓜', '皮蛋豆腐']) {
      const { id } = await restaurant.goods(dish);
      await demo.getByTestId(`more-${id}`).click();
      await expect(demo.getByTestId(`count-${id}`)).toHaveText('1');
    }
    await demo.evaluate(() => window.scrollTo(0, 0));
    await demo.screenshot(picture('demo'));
  } finally {
    await browsers.close();
    await service.end();
  }
});
