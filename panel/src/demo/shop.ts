/**
 * The shop that the address names, its menu, and who the customer is.
 *
 * Contract: nobody fills in a form to log in. The code that a mini-program gets from its platform (`wx.login`) is a name here, made up once
 * a device, of which the sandbox makes a customer. {@link mine} is how everything is asked for that is the customer's own.
 */
import { computed, reactive, readonly, ref } from 'vue';
import { ask, client, newKey, Problem, type Schema } from '@/api/client';
import { zone } from '@/format';

/** The merchant: `/demo/2` is the second's page. */
export const m = Number(/\/demo\/(\d+)/.exec(window.location.pathname)?.[1] ?? '1');

const NAME = 'rowlock.demo.name';
const TOKEN = `rowlock.demo.${m}.token`;

interface Kept {
  name: string;
  token: string;
}

const state = reactive({
  name: localStorage.getItem(NAME) ?? `guest-${newKey().slice(0, 4)}`,
  token: undefined as string | undefined,
  /** Whether the shop's customers log in by other means than names. */
  isRefused: false,
});
localStorage.setItem(NAME, state.name);
state.token = read();

export const customer = readonly(state);

export const api = client({ token: () => state.token, refused: forget });

function read(): string | undefined {
  try {
    const kept = JSON.parse(localStorage.getItem(TOKEN) ?? 'null') as Kept | null;
    return kept?.name === state.name ? kept.token : undefined;
  } catch {
    return undefined;
  }
}

function forget(): void {
  state.token = undefined;
  localStorage.removeItem(TOKEN);
}

let loggingIn: Promise<void> | undefined;

/** Logs in, unless that is done, or under way. @throws Problem */
function logIn(): Promise<void> {
  if (state.token !== undefined) return Promise.resolve();
  loggingIn ??= open().finally(() => (loggingIn = undefined));
  return loggingIn;
}

async function open(): Promise<void> {
  const name = state.name;
  try {
    const body = { code: name };
    const session = await ask(api.POST('/v1/merchants/{m}/sessions', { params: { path: { m } }, body }));
    state.token = session.token;
    state.isRefused = false;
    localStorage.setItem(TOKEN, JSON.stringify({ name, token: session.token } satisfies Kept));
  } catch (cause) {
    state.isRefused = cause instanceof Problem && cause.code === 'login_refused';
    throw cause;
  }
}

/** Asks for what is the customer's own; once more where the token was too old. @throws Problem */
export async function mine<T>(question: () => Promise<T>): Promise<T> {
  await logIn();
  try {
    return await question();
  } catch (cause) {
    if (!(cause instanceof Problem) || cause.status !== 401) throw cause;
    forget();
    await logIn();
    return await question();
  }
}

/** Becomes the customer of another name. Everything that is shown is another's from then on, so the page begins anew. */
export function become(name: string): void {
  localStorage.setItem(NAME, name);
  window.location.reload();
}

// Another tab became somebody else.
window.addEventListener('storage', (event) => {
  if (event.key === NAME && event.newValue !== state.name) window.location.reload();
});

export type Menu = Schema<'Menu'>;
export type Product = Schema<'Product'>;
export type Goods = Schema<'Goods'>;

export const menu = ref<Menu>();

/** @throws Problem */
export async function loadMenu(): Promise<void> {
  const loaded = await ask(api.GET('/v1/merchants/{m}/menu', { params: { path: { m } } }));
  zone.value = loaded.time_zone;
  menu.value = loaded;
}

/** Whether there is no such shop. */
export function isNowhere(cause: unknown): boolean {
  return cause instanceof Problem && cause.status === 404;
}

/** Whether it is past closing time on the shop's clock. */
export const isClosed = computed(() => {
  const hours = menu.value?.hours;
  if (hours == null) return false;
  const now = new Date().toLocaleTimeString('en-GB', { timeZone: zone.value, hour: '2-digit', minute: '2-digit' });
  const { opens_at, closes_at } = hours;
  // Those who close after midnight are open before one and after the other.
  return opens_at < closes_at ? now < opens_at || now >= closes_at : now < opens_at && now >= closes_at;
});
