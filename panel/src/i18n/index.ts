/** The two languages of the panel, and how it says amounts and times. */
import { createI18n } from 'vue-i18n';
import { board } from './board';
import { common } from './common';
import { dashboard } from './dashboard';
import { demo } from './demo';
import { menu } from './menu';
import { office } from './office';
import { orders } from './orders';
import { side, type Side } from './words';

const words = { common, board, orders, menu, dashboard, office, demo } as const;

export type Language = 'zh' | 'en';

declare module 'vue-i18n' {
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- an interface is what can be extended from outside
  export interface DefineLocaleMessage extends Side<typeof words> {}
}

const KEPT_AS = 'rowlock.language';

export const i18n = createI18n({
  legacy: false,
  locale: first(),
  fallbackLocale: 'zh',
  messages: { zh: side(words, 0), en: side(words, 1) },
});

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
