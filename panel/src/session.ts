/**
 * Who is logged in, and to which merchant.
 *
 * Contract: one session a browser. What the role permits decides what is shown; whether it is done, the API decides.
 */
import { computed, reactive, readonly, watch } from 'vue';
import { ask, client, type Schema } from './api/client';
import { zone } from './format';

const KEPT_AS = 'rowlock.session';

interface Kept {
  merchant: number;
  token: string;
  /** When the token ends; sessions from before this was kept have none. */
  expires_at?: string;
}

interface Session {
  kept: Kept | undefined;
  me: Schema<'Me'> | undefined;
  /** Whether the API ended it, not the person. */
  isExpired: boolean;
}

const state = reactive<Session>({ kept: read(), me: undefined, isExpired: false });

export const session = readonly(state);

export const api = client({ token: () => state.kept?.token, refused, forbidden });

export type Permission = Schema<'Me'>['permissions'][number];

/** Whether the role permits it. */
export function may(permission: Permission): boolean {
  return state.me?.permissions.includes(permission) ?? false;
}

/** The number of the merchant, as paths of the API want it. */
export function merchant(): number {
  if (state.kept === undefined) throw new Error('nobody is logged in');
  return state.kept.merchant;
}

/** The zone and the clock of the merchant: the panel tells all times by it. */
export const business = computed(() => state.me?.merchant);

watch(
  () => business.value?.time_zone,
  (known) => (zone.value = known ?? zone.value),
  { flush: 'sync' },
);

/** @throws Problem */
export async function logIn(of: number, login: string, password: string): Promise<void> {
  const opened = await ask(
    api.POST('/v1/admin/merchants/{m}/sessions', { params: { path: { m: of } }, body: { login, password } }),
  );
  keep(of, opened);
  await whoAmI();
}

let isAsking = false;

/** Asks whose token it is and what they may do. @throws Problem */
export async function whoAmI(): Promise<void> {
  isAsking = true;
  try {
    state.me = await ask(api.GET('/v1/admin/merchants/{m}/me', { params: { path: { m: merchant() } } }));
  } finally {
    isAsking = false;
  }
}

/** What the role permits is not what it was. */
function forbidden(): void {
  // Without an answer it shows at the next refusal.
  if (!isAsking) whoAmI().catch(() => {});
}

/** A token is no longer good. Where another tab has renewed the session since, it goes on with that, and with all that follows it. */
function refused(token: string): void {
  if (state.kept?.token !== token) return;
  const kept = read();
  if (kept === undefined || kept.token === token) end(true);
  else if (kept.merchant !== state.kept.merchant) window.location.reload();
  else {
    Object.assign(state.kept, kept);
    forbidden();
  }
}

/** Gives oneself another password, which makes a new token. @throws Problem */
export async function changePassword(old: string, chosen: string): Promise<void> {
  const m = merchant();
  const body = { old, new: chosen };
  const opened = await ask(api.PUT('/v1/admin/merchants/{m}/me/password', { params: { path: { m } }, body }));
  keep(m, opened);
}

/** Ends the session on this device. */
export function end(isExpired = false): void {
  if (state.kept === undefined) return;
  localStorage.setItem('rowlock.merchant', String(state.kept.merchant));
  localStorage.removeItem(KEPT_AS);
  Object.assign(state, { kept: undefined, me: undefined, isExpired });
}

/** The merchant this device is used for, or was last. */
export function lastMerchant(): number {
  return state.kept?.merchant ?? (Number(localStorage.getItem('rowlock.merchant') ?? '1') || 1);
}

function keep(merchant: number, { token, expires_at }: Schema<'StaffSession'>): void {
  const kept: Kept = { merchant, token, expires_at };
  localStorage.setItem(KEPT_AS, JSON.stringify(kept));
  Object.assign(state, { kept, isExpired: false });
}

function read(): Kept | undefined {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT_AS) ?? 'null') as Kept | null;
    return kept ?? undefined;
  } catch {
    return undefined;
  }
}
