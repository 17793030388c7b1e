/** Who an actor of the API is. */
import { shallowReactive } from 'vue';
import { ask } from '@/api/client';
import { t } from '@/i18n';
import { api, may, merchant, session } from '@/session';

const names = shallowReactive(new Map<string, string>());

function idOf(actor: string): string | undefined {
  return /^staff (.+)$/.exec(actor)?.[1];
}

/** What the actor is called, as far as it is known. */
export function actorName(actor: string): string {
  const id = idOf(actor);
  if (id === undefined) return actor === 'timer' ? t('menu.timer') : actor;
  return id === session.me?.staff_id ? session.me.name : (names.get(id) ?? t('menu.somebody'));
}

/** Learns the names of actors: the trail tells them to those who may read it, to others nobody does. @throws Problem */
export async function learn(actors: readonly string[]): Promise<void> {
  if (!may('read_actions')) return;
  const ids = new Set(actors.map(idOf).filter((id) => id !== undefined && !names.has(id)));
  await Promise.all([...ids].map((id) => id !== undefined && learnOne(id)));
}

async function learnOne(staff_id: string): Promise<void> {
  const params = { path: { m: merchant() }, query: { staff_id, limit: 1 } };
  const [last] = (await ask(api.GET('/v1/admin/merchants/{m}/actions', { params }))).items;
  if (last !== undefined) names.set(staff_id, last.staff_name);
}
