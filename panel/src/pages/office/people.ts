/** The names of those who did something. */
import { reactive } from 'vue';
import { ask } from '@/api/client';
import { t } from '@/i18n';
import { api, may, merchant, session } from '@/session';

const names = reactive(new Map<string, string>());
const asked = new Set<string>();

export function learn(id: string, name: string): void {
  names.set(id, name);
}

/** Those whose names are known, by name. */
export function known(): { id: string; name: string }[] {
  return [...names].map(([id, name]) => ({ id, name })).sort((a, b) => a.name.localeCompare(b.name));
}

/** The name of a member of the staff; until it is known, what they are. */
export function nameOf(id: string): string {
  if (session.me?.staff_id === id) return session.me.name;
  const name = names.get(id);
  if (name === undefined) void find(id);
  return name ?? t('office.people.colleague');
}

/** Who did it, as the API writes it: `customer`, `timer`, `gateway`, or `staff` and an id. */
export function actorName(actor: string): string {
  const [kind, id] = actor.split(' ');
  switch (kind) {
    case 'customer':
    case 'timer':
    case 'gateway':
      return t(`office.people.${kind}`);
    case 'staff':
      return nameOf(id ?? '');
    default:
      return actor;
  }
}

/** The trail tells the names of all who ever did something, to whoever may read it. */
async function find(id: string): Promise<void> {
  if (asked.has(id) || !may('read_actions')) return;
  asked.add(id);
  try {
    const query = { staff_id: id, limit: 1 };
    const page = await ask(api.GET('/v1/admin/merchants/{m}/actions', { params: { path: { m: merchant() }, query } }));
    page.items.forEach((action) => learn(action.staff_id, action.staff_name));
  } catch {
    // Asked again by whoever shows it next.
    asked.delete(id);
  }
}
