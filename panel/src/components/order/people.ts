/** Who made a move, in words. */
import { reactive } from 'vue';
import { ask } from '@/api/client';
import { t } from '@/i18n';
import { api, merchant, session } from '@/session';

/** Names of the staff by their ids. */
const names = reactive(new Map<string, string>());
let readFor: number | undefined;

/** Reads the names once. */
export async function readNames(): Promise<void> {
  const m = merchant();
  if (readFor === m) return;
  readFor = m;
  try {
    const { items } = await ask(api.GET('/v1/admin/merchants/{m}/staff/names', { params: { path: { m } } }));
    items.forEach((member) => names.set(member.id, member.name));
  } catch {
    // Without names it says "staff"; the next order that is opened asks again.
    readFor = undefined;
  }
}

/** `customer`, `timer`, `gateway`, or `staff <id>`, as people say it. */
export function actorName(actor: string): string {
  const [kind, id] = actor.split(' ');
  if (kind === 'customer' || kind === 'timer' || kind === 'gateway') return t(`orders.actors.${kind}`);
  if (id !== undefined && id === session.me?.staff_id) return session.me.name;
  return names.get(id ?? '') ?? t('orders.actors.staff');
}
