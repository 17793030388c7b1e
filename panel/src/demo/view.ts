/** Which view is shown: the part of the address after `#`, so that the browser's own Back works. */
import { computed, ref } from 'vue';

const hash = ref(window.location.hash);
window.addEventListener('hashchange', () => (hash.value = window.location.hash));

/** `#/orders/…` is `['orders', '…']`. */
export const view = computed(() => hash.value.replace(/^#\/?/, '').split('/'));

/** Shows a view; one that is done with is replaced, so that Back does not lead to it. */
export function show(path: string, replaces = false): void {
  if (!replaces) {
    window.location.hash = path;
    return;
  }
  window.history.replaceState(null, '', `#${path}`);
  hash.value = window.location.hash;
}
