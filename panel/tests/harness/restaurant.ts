/**
 * A restaurant, its customers and its staff, over the public API.
 *
 * Contract: whatever the API refuses is thrown as {@link Refused}.
 */
import { randomUUID } from 'node:crypto';
import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from '../../src/api/schema';
import type { Service } from './service';

export type Schema<Name extends keyof components['schemas']> = components['schemas'][Name];
export type Order = Schema<'Order'>;
export type Role = Schema<'Member'>['role'];
export const ROLES: readonly Role[] = ['owner', 'manager', 'cashier', 'kitchen'];

/** What the sandbox does wrong with a payment; see its page. */
export interface Switches {
  pay_amount?: string;
  pay_twice?: boolean;
  never_call?: boolean;
  refund?: 'succeed' | 'fail' | 'abnormal';
  refund_asks?: number;
}

export class Refused extends Error {
  constructor(readonly problem: Schema<'Problem'>) {
    super(`${problem.status} ${problem.code}: ${problem.detail}`);
  }
}

/** What was asked for. @throws Refused */
export async function ask<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  if (response.ok) return data as T;
  if (typeof error === 'object' && error !== null && 'code' in error) throw new Refused(error as Schema<'Problem'>);
  throw new Error(`${response.url} answered ${response.status}: ${String(error)}`);
}

function client(url: string, token?: string): Client<paths> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return createClient<paths>({ baseUrl: url, headers: { ...headers, 'Accept-Language': 'en' }, fetch: send });
}

/** Sends once more what met a connection that the service was just giving up because nobody used it. */
async function send(request: Request): Promise<Response> {
  const again = request.clone();
  try {
    return await fetch(request);
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (cause?.code === 'ECONNRESET' || cause?.code === 'UND_ERR_SOCKET') return fetch(again);
    throw error;
  }
}

export class Restaurant {
  private readonly members = new Map<Role, Promise<Staff>>();
  private readonly ids = new Map<string, Promise<number>>();
  private guests = 0;

  constructor(
    readonly service: Service,
    readonly id: number,
    /** What the staff log in with, where there is any. */
    private readonly password?: string,
  ) {}

  /** The member of that role, who logs in once. */
  staff(role: Role): Promise<Staff> {
    const known = this.members.get(role);
    if (known !== undefined) return known;
    const hired = this.password === undefined ? this.hire(role) : Staff.logIn(this, role, this.password);
    this.members.set(role, hired);
    return hired;
  }

  /** Makes the login of a role without logging in: it is the role's name. */
  async hire(role: Role): Promise<Staff> {
    const password = `${role}-of-${this.id}`;
    const names = ['--merchant', String(this.id), '--login', role, '--role', role];
    await this.service.command(['staff', ...names, '--password-stdin'], `${password}\n`);
    return Staff.logIn(this, role, password);
  }

  /** A customer who has never been here before. */
  async guest(name = `guest-${(this.guests += 1)}`): Promise<Guest> {
    const api = client(this.service.url);
    const path = { m: this.id };
    const { token } = await ask(
      api.POST('/v1/merchants/{m}/sessions', { params: { path }, body: { code: `${name}-of-${this.id}` } }),
    );
    return new Guest(this, client(this.service.url, token));
  }

  /** The dishes of the customers' menu, in their order, by their Chinese names. */
  async dishes(): Promise<string[]> {
    return (await this.products()).map(({ name }) => name.zh);
  }

  /** The goods on the customers' menu, by the dish's Chinese name. */
  async goods(dish: string, spec?: string): Promise<Schema<'Goods'>> {
    const product = (await this.products()).find(({ name }) => name.zh === dish);
    const goods = product?.goods.find((each) => spec === undefined || each.spec.zh === spec);
    if (goods === undefined) throw new Error(`there is no ${dish} on the menu`);
    return goods;
  }

  /** The number of the dish's first goods, which stays the same. */
  numberOf(dish: string): Promise<number> {
    const known = this.ids.get(dish) ?? this.goods(dish).then(({ id }) => id);
    this.ids.set(dish, known);
    return known;
  }

  private async products(): Promise<Schema<'Product'>[]> {
    const params = { path: { m: this.id } };
    const { categories } = await ask(client(this.service.url).GET('/v1/merchants/{m}/menu', { params }));
    return categories.flatMap(({ products }) => products);
  }
}

/** What an order is made of, where it matters. */
export interface Wish {
  lines?: readonly (readonly [dish: string, count: number])[];
  fulfilment?: Schema<'FulfilmentRequest'>;
  pay_method?: 'cash' | 'sandbox';
  points?: number;
  remark?: string;
}

/** A customer. */
export class Guest {
  /** What the sandbox calls the payments of orders. */
  private readonly numbers = new Map<string, string>();

  constructor(
    private readonly restaurant: Restaurant,
    readonly api: Client<paths>,
  ) {}

  /** Places an order: two cucumbers at table A3, in cash, unless another is wished for. */
  async place(wish: Wish = {}): Promise<Order> {
    const { lines = [['拍黄瓜', 2]], fulfilment = { kind: 'dine_in', table: 'A3' }, ...rest } = wish;
    const { id: m } = this.restaurant;
    const found = lines.map(async ([dish, count]) => ({ goods_id: await this.restaurant.numberOf(dish), count }));
    return ask(
      this.api.POST('/v1/merchants/{m}/orders', {
        params: { path: { m }, header: { 'Idempotency-Key': randomUUID() } },
        body: { lines: await Promise.all(found), fulfilment, pay_method: 'cash', ...rest },
      }),
    );
  }

  /** Places an order and pays for it in the sandbox. */
  async placePaid(wish: Wish = {}, switches: Switches = {}): Promise<Order> {
    const order = await this.place({ ...wish, pay_method: 'sandbox' });
    await this.pay(order, switches);
    return this.show(order);
  }

  /** Pays in the sandbox, and sees that the money has come in. */
  async pay(order: Order, switches: Switches = {}): Promise<void> {
    const path = { m: this.restaurant.id, id: order.id };
    const { checkout, payment } = await ask(
      this.api.POST('/v1/merchants/{m}/orders/{id}/payments', { params: { path }, body: {} }),
    );
    if (checkout?.kind !== 'redirect') throw new Error('the sandbox has a page to pay on');
    const number = checkout.url.split('/').pop() ?? '';
    this.numbers.set(order.id, number);
    await this.behave(order, switches);
    await this.tell(`payments/${number}/pay`, 'POST');
    const checked = { ...path, payment: payment.id };
    await ask(this.api.POST('/v1/merchants/{m}/orders/{id}/payments/{payment}/check', { params: { path: checked } }));
  }

  /** Tells the sandbox what to do wrong with the order's payment from now on. */
  behave(order: Order, switches: Switches): Promise<void> {
    return this.tell(`switches?number=${this.numbers.get(order.id)}`, 'PUT', switches);
  }

  show(order: Order): Promise<Order> {
    const path = { m: this.restaurant.id, id: order.id };
    return ask(this.api.GET('/v1/merchants/{m}/orders/{id}', { params: { path } }));
  }

  cancel(order: Order): Promise<Order> {
    const path = { m: this.restaurant.id, id: order.id };
    return ask(
      this.api.POST('/v1/merchants/{m}/orders/{id}/cancel', { params: { path }, body: { reason: 'changed_mind' } }),
    );
  }

  /** Adds an address to the book, and gives its number. */
  async address(fields: Schema<'AddressFields'>): Promise<string> {
    const params = { path: { m: this.restaurant.id } };
    return (await ask(this.api.POST('/v1/merchants/{m}/addresses', { params, body: fields }))).id;
  }

  nudge(order: Order): Promise<unknown> {
    const path = { m: this.restaurant.id, id: order.id };
    return ask(this.api.POST('/v1/merchants/{m}/orders/{id}/nudge', { params: { path } }));
  }

  private async tell(what: string, method: 'PUT' | 'POST', body?: object): Promise<void> {
    const answer = await fetch(`${this.restaurant.service.url}/sandbox/v1/${what}`, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`the sandbox answered ${answer.status}: ${await answer.text()}`);
  }
}

/** A member of the staff who is logged in. */
export class Staff {
  readonly api: Client<paths>;

  private constructor(
    readonly restaurant: Restaurant,
    readonly login: string,
    readonly password: string,
    readonly token: string,
  ) {
    this.api = client(restaurant.service.url, token);
  }

  static async logIn(restaurant: Restaurant, login: string, password: string): Promise<Staff> {
    const params = { path: { m: restaurant.id } };
    const opened = await ask(
      client(restaurant.service.url).POST('/v1/admin/merchants/{m}/sessions', { params, body: { login, password } }),
    );
    return new Staff(restaurant, login, password, opened.token);
  }

  private path(order: Pick<Order, 'id'>) {
    return { path: { m: this.restaurant.id, id: order.id } };
  }

  order(order: Pick<Order, 'id'>): Promise<Schema<'WholeOrder'>> {
    return ask(this.api.GET('/v1/admin/merchants/{m}/orders/{id}', { params: this.path(order) }));
  }

  accept(order: Order, minutes = 15): Promise<Order> {
    const params = this.path(order);
    return ask(this.api.POST('/v1/admin/merchants/{m}/orders/{id}/accept', { params, body: { minutes } }));
  }

  /** Makes a move that needs no words. */
  move(order: Order, move: 'prepare' | 'ready' | 'recall' | 'deliver' | 'collect' | 'complete'): Promise<Order> {
    return ask(this.api.POST(`/v1/admin/merchants/{m}/orders/{id}/${move}`, { params: this.path(order) }));
  }

  /** Every goods of the menu, with what staff see of it. */
  async goods(): Promise<Schema<'StaffGoods'>[]> {
    const params = { path: { m: this.restaurant.id } };
    const { categories } = await ask(this.api.GET('/v1/admin/merchants/{m}/menu', { params }));
    return categories.flatMap(({ products }) => products ?? []).flatMap(({ goods }) => goods ?? []);
  }

  /** How many orders the restaurant has. */
  async count(): Promise<number> {
    const params = { path: { m: this.restaurant.id }, query: { limit: 100 } };
    return (await ask(this.api.GET('/v1/admin/merchants/{m}/orders', { params }))).items.length;
  }

  async soldOut(goods: number): Promise<void> {
    const params = { path: { m: this.restaurant.id, id: goods } };
    await ask(this.api.PUT('/v1/admin/merchants/{m}/goods/{id}/sold-out', { params }));
  }

  async grantPoints(customer: string, delta: number): Promise<void> {
    const path = { m: this.restaurant.id, id: customer, kind: 'points' as const };
    const params = { path, header: { 'Idempotency-Key': randomUUID() } };
    const body = { delta, reason: 'for the test' };
    await ask(this.api.POST('/v1/admin/merchants/{m}/customers/{id}/accounts/{kind}/entries', { params, body }));
  }

  async changePrice(goods: number, price: string): Promise<void> {
    const params = { path: { m: this.restaurant.id, id: goods } };
    await ask(this.api.PATCH('/v1/admin/merchants/{m}/goods/{id}', { params, body: { price } }));
  }

  me(): Promise<Schema<'Me'>> {
    return ask(this.api.GET('/v1/admin/merchants/{m}/me', { params: { path: { m: this.restaurant.id } } }));
  }

  settings(): Promise<Schema<'Settings'>> {
    return ask(this.api.GET('/v1/admin/merchants/{m}/settings', { params: { path: { m: this.restaurant.id } } }));
  }

  change(settings: Schema<'ChangeSettings'>): Promise<Schema<'Settings'>> {
    const params = { path: { m: this.restaurant.id } };
    return ask(this.api.PATCH('/v1/admin/merchants/{m}/settings', { params, body: settings }));
  }
}
