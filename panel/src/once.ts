import { ref } from 'vue';

/** Wet fingers tap twice: this long, in milliseconds, after one tap another may be its second. */
export const TAP_MS = 600;

/** Wraps work that must not be begun again before it is done, and tells its trouble. */
export function once(tell: (cause: unknown) => void) {
  const isBusy = ref(false);
  /** Whether it was done. */
  async function run(work: () => Promise<unknown>): Promise<boolean> {
    if (isBusy.value) return false;
    isBusy.value = true;
    try {
      await work();
      return true;
    } catch (cause) {
      tell(cause);
      return false;
    } finally {
      isBusy.value = false;
    }
  }
  return { isBusy, run };
}
