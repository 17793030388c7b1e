/** Forms: what is wrong with a field stands at the field. */
import { nextTick, reactive, ref } from 'vue';
import { Problem } from '@/api/client';
import { tell } from '@/components/doing';

/**
 * A form with these fields. `belongs` says at which of them the API's codes stand that name none; what belongs to none is told as any trouble is.
 */
export function filling<Field extends string>(
  fields: readonly Field[],
  belongs: Readonly<Record<string, NoInfer<Field>>> = {},
) {
  type Errors = Partial<Record<Field, string>>;
  const isBusy = ref(false);
  const errors = reactive<Record<string, string>>({}) as Errors;

  function show(found: Errors): void {
    fields.forEach((field) => delete errors[field]);
    Object.assign(errors, found);
    if (Object.keys(found).length > 0) {
      void nextTick(() => document.querySelector<HTMLElement>('.el-form-item.is-error :is(input, textarea)')?.focus());
    }
  }

  /** Sends what was filled in, unless something wrong was found before. Whether it was taken. */
  async function submit(found: Errors, work: () => Promise<unknown>): Promise<boolean> {
    if (isBusy.value) return false;
    show(found);
    if (Object.keys(found).length > 0) return false;
    isBusy.value = true;
    try {
      await work();
      return true;
    } catch (cause) {
      if (!(cause instanceof Problem)) throw cause;
      const field = belongs[cause.code] ?? fields.find((name) => name === cause.field);
      if (field === undefined) tell(cause);
      else show({ [field]: cause.message } as Errors);
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  return { isBusy, errors, submit, clear: () => show({}) };
}
