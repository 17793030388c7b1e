import { i18n, t } from '@/i18n';

/** The word for a name of the API's; a name that has none yet stands for itself. */
export function word(path: string, name: string): string {
  const key = `${path}.${name}`;
  return i18n.global.te(key) ? t(key) : name;
}
