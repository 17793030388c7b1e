/** What follows the clock: counts, and questions that are asked again and again while somebody looks. */
import { onMounted, onUnmounted, ref } from 'vue';

/** The time, a second at a time. */
export function useNow() {
  const now = ref(Date.now());
  const timer = window.setInterval(() => (now.value = Date.now()), 1000);
  onUnmounted(() => window.clearInterval(timer));
  return now;
}

/** What is left until `time`, as `4:05`; nothing when it is over. */
export function until(time: string, now: number): string | undefined {
  const seconds = Math.ceil((new Date(time).getTime() - now) / 1000);
  return seconds > 0 ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}` : undefined;
}

/**
 * Does `work` at once and `ms` after it was last done, as long as the page can be seen; and when it is seen again. `isReturn` says that the
 * customer has just come, or come back. It stops when `work` says that it is over.
 */
export function useRepeated(ms: number, work: (isReturn: boolean) => Promise<'over' | void>): void {
  let timer: number | undefined;
  let isWorking = false;
  let isOver = false;

  async function go(isReturn: boolean) {
    window.clearTimeout(timer);
    if (isWorking || isOver || document.visibilityState !== 'visible') return;
    isWorking = true;
    try {
      isOver ||= (await work(isReturn)) === 'over';
    } finally {
      isWorking = false;
      if (!isOver) timer = window.setTimeout(() => void go(false), ms);
    }
  }
  const again = () => void go(true);
  onMounted(() => {
    again();
    document.addEventListener('visibilitychange', again);
    // Back from a payment's page, which browsers may answer with the page as it was left.
    window.addEventListener('pageshow', again);
    window.addEventListener('online', again);
  });
  onUnmounted(() => {
    isOver = true;
    window.clearTimeout(timer);
    document.removeEventListener('visibilitychange', again);
    window.removeEventListener('pageshow', again);
    window.removeEventListener('online', again);
  });
}
