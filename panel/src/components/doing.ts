/** What a button does: once at a time, with its trouble told. */
import { ElMessage } from 'element-plus';
import { ref } from 'vue';
import { Problem } from '@/api/client';

/** Tells what went wrong, and goes on. What is no problem of the API's is a fault of ours. */
export function tell(cause: unknown): void {
  if (!(cause instanceof Problem)) throw cause;
  ElMessage({ type: 'error', message: cause.message, duration: 6000, showClose: true, grouping: true });
}

/** Wraps work that must not be begun again before it is done. */
export function doing() {
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
