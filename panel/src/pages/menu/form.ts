/** Forms of the menu: what is wrong is said beside the field, whether the page or the service found it. */
import { ref } from 'vue';
import { Problem } from '@/api/client';
import { doing } from '@/components/doing';
import { t } from '@/i18n';

/** A name in both languages, as it is typed. */
export interface TypedName {
  zh: string;
  en: string;
}

/** What is sent of a typed name: one language stands for the other where that is empty. */
export function nameOf({ zh, en }: TypedName): TypedName {
  return { zh: zh.trim() || en.trim(), en: en.trim() || zh.trim() };
}

export function isSame(a: TypedName, b: TypedName): boolean {
  return a.zh === b.zh && a.en === b.en;
}

/** What is wrong with a name, by the field. */
export function wrongName(field: string, name: TypedName): Record<string, string | undefined> {
  return { [`${field}.zh`]: nameOf(name).zh === '' ? t('menu.wrong.name') : undefined };
}

/** Whether it is an amount that the API takes for a price. */
export function isPrice(typed: string): boolean {
  return /^\d{1,6}(\.\d{1,2})?$|^1000000(\.0{1,2})?$/.test(typed);
}

export function useForm() {
  const errors = ref<Record<string, string>>({});
  const { isBusy, run } = doing();

  /** Does the work if nothing is wrong. Whether it was done. */
  async function submit(wrong: Record<string, string | undefined>, work: () => Promise<unknown>): Promise<boolean> {
    errors.value = {};
    for (const [field, error] of Object.entries(wrong)) if (error !== undefined) errors.value[field] = error;
    if (Object.keys(errors.value).length > 0) return false;
    return run(async () => {
      try {
        await work();
      } catch (cause) {
        if (cause instanceof Problem && cause.field !== undefined) errors.value[cause.field] = cause.message;
        throw cause;
      }
    });
  }
  return { errors, isBusy, submit };
}
