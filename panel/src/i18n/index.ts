/**
 * The two languages of the pages.
 *
 * Contract: only the words that all pages have are here. Each page adds its own with {@link add} before it is shown, so that none carries
 * another's.
 */
import { createI18n } from 'vue-i18n';
import { common } from './common';
import { side, type Side, type Words } from './words';

interface AllWords {
  common: typeof common;
  board: typeof import('./board').board;
  orders: typeof import('./orders').orders;
  menu: typeof import('./menu').menu;
  dashboard: typeof import('./dashboard').dashboard;
  office: typeof import('./office').office;
  demo: typeof import('./demo').demo;
}

export type Language = 'zh' | 'en';

declare module 'vue-i18n' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- an interface is what can be extended from outside
  export interface DefineLocaleMessage extends Side<AllWords> {}
}

const KEPT_AS = 'rowlock.language';

export const i18n = createI18n({
  legacy: false,
  locale: first(),
  fallbackLocale: 'zh',
  messages: {},
});

/** Adds words to both languages. */
export function add(words: Words): void {
  i18n.global.mergeLocaleMessage('zh', side(words, 0));
  i18n.global.mergeLocaleMessage('en', side(words, 1));
}

add({ common });

/** Says a word outside of components. */
export const { t } = i18n.global;

function first(): Language {
  const kept = localStorage.getItem(KEPT_AS) ?? navigator.language;
  return kept.startsWith('en') ? 'en' : 'zh';
}

export function language(): Language {
  return i18n.global.locale.value as Language;
}

/** Speaks this language from now on, on this device. */
export function speak(chosen: Language): void {
  i18n.global.locale.value = chosen;
  localStorage.setItem(KEPT_AS, chosen);
  document.documentElement.lang = chosen === 'zh' ? 'zh-CN' : 'en';
}

/** What the merchant wrote in two languages, in that of the page; the other where one is empty. */
export function said(text: { zh: string; en: string }): string {
  const own = text[language()];
  return own === '' ? text[language() === 'zh' ? 'en' : 'zh'] : own;
}
