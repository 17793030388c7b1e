/** How many alerts nobody has dealt with yet. */
import { ref } from 'vue';
import { ask } from '@/api/client';
import { api, merchant, session } from '@/session';

/** 100 stands for any more. */
export const openAlerts = ref(0);

export async function countAlerts(): Promise<void> {
  if (session.kept === undefined) return;
  const query = { open: true, limit: 100 };
  try {
    const page = await ask(api.GET('/v1/admin/merchants/{m}/alerts', { params: { path: { m: merchant() }, query } }));
    openAlerts.value = page.items.length;
  } catch {
    // The number is told again with the next event.
  }
}
