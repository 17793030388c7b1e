/** Lists that the API gives a page at a time. */
import { reactive, ref, shallowRef } from 'vue';
import { Problem } from '@/api/client';

const PAGE = 20;
/** As many as the API gives at once. */
const PAGE_MAX = 100;

interface Page<T, C> {
  items: T[];
  next_cursor?: C | null;
}

/** Such a list, as far as it has been read. `read` is called anew for each page, with the filters of that moment. */
export function paged<T, C extends string | number>(
  read: (query: { limit: number; cursor?: C }) => Promise<Page<T, C>>,
) {
  const items = shallowRef<T[]>([]);
  const next = shallowRef<C>();
  const trouble = ref<string>();
  const isLoading = ref(false);
  const isLoaded = ref(false);
  let asked = 0;

  /** Only the answer to what was asked last is shown. */
  async function load(query: { limit: number; cursor?: C }, join: (fresh: T[]) => T[]): Promise<void> {
    const mine = ++asked;
    isLoading.value = true;
    try {
      const page = await read(query);
      if (mine !== asked) return;
      items.value = join(page.items);
      next.value = page.next_cursor ?? undefined;
      trouble.value = undefined;
      isLoaded.value = true;
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause;
      if (mine === asked) trouble.value = cause.message;
    } finally {
      if (mine === asked) isLoading.value = false;
    }
  }

  /** Reads again what is shown. */
  function reload(): Promise<void> {
    return load({ limit: Math.min(Math.max(items.value.length, PAGE), PAGE_MAX) }, (fresh) => fresh);
  }

  /** Begins anew, because something else is asked for. */
  function restart(): Promise<void> {
    items.value = [];
    next.value = undefined;
    isLoaded.value = false;
    return reload();
  }

  function more(): Promise<void> {
    return load({ limit: PAGE, cursor: next.value }, (fresh) => [...items.value, ...fresh]);
  }

  return reactive({ items, next, trouble, isLoading, isLoaded, reload, restart, more });
}
