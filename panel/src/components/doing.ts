/** What a button does: once at a time, with its trouble told. */
import { ElMessage } from 'element-plus';
import { Problem } from '@/api/client';
import { once } from '@/once';

/** Tells what went wrong, and goes on. What is no problem of the API's is a fault of ours. */
export function tell(cause: unknown): void {
  if (!(cause instanceof Problem)) throw cause;
  ElMessage({ type: 'error', message: cause.message, duration: 6000, showClose: true, grouping: true });
}

/** Wraps work that must not be begun again before it is done. */
export function doing() {
  return once(tell);
}
