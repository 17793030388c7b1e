import { computed, shallowRef } from 'vue';
import { newKey, Problem } from './api/client';

/**
 * A change that counts once. While nobody knows whether it was made, the same is sent again under the same key, whatever else is asked for: forms
 * stand still for as long as `unsettled` is there.
 */
export function attempting<Asked>() {
  const attempt = shallowRef<{ key: string; asked: Asked }>();
  async function send<T>(asked: Asked, post: (key: string, asked: Asked) => Promise<T>): Promise<T> {
    attempt.value ??= { key: newKey(), asked };
    try {
      const answer = await post(attempt.value.key, attempt.value.asked);
      attempt.value = undefined;
      return answer;
    } catch (cause) {
      if (cause instanceof Problem && cause.isRefusal) attempt.value = undefined;
      throw cause;
    }
  }
  return { unsettled: computed(() => attempt.value?.asked), send };
}
