/**
 * What those are called who did something.
 *
 * Contract: histories name members of the staff by id. Their names are read once, when the first id that is not known is to be shown.
 */
import { reactive } from 'vue';
import { ask } from './api/client';
import { t } from './i18n';
import { api, merchant, session } from './session';

const names = reactive(new Map<string, string>());
/** The merchant whose staff is known, or being asked for. */
let readFor: number | undefined;

/** Reads the names, where that has not been done. */
async function readNames(): Promise<void> {
  const m = merchant();
  if (readFor === m) return;
  readFor = m;
  try {
    const { items } = await ask(api.GET('/v1/admin/merchants/{m}/staff/names', { params: { path: { m } } }));
    items.forEach((member) => names.set(member.id, member.name));
  } catch {
    // Until they are there, everybody is a colleague; whoever shows the next one asks again.
    readFor = undefined;
  }
}

/** All of the staff, those who left included, by name. */
export function everybody(): { id: string; name: string }[] {
  void readNames();
  return [...names].map(([id, name]) => ({ id, name })).sort((a, b) => a.name.localeCompare(b.name));
}

/** The name of a member of the staff. */
export function nameOf(id: string): string {
  if (id === session.me?.staff_id) return session.me.name;
  const name = names.get(id);
  if (name === undefined) void readNames();
  return name ?? t('common.actors.staff');
}

/** Who did it, as the API writes it: `customer`, `timer`, `gateway`, or `staff` and an id. */
export function actorName(actor: string): string {
  const [kind, id] = actor.split(' ');
  if (kind === 'customer' || kind === 'timer' || kind === 'gateway') return t(`common.actors.${kind}`);
  return nameOf(id ?? '');
}
