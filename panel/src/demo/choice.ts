/** How the customer wants the order; kept while the tab is open, for paying leads to another page and back. */
import { reactive, watch } from 'vue';
import { m } from './shop';

const KEPT_AS = `rowlock.demo.${m}.choice`;

interface Choice {
  kind: 'dine_in' | 'pickup' | 'delivery';
  table: string;
  addressId: string;
  payMethod: string;
}

// The code on a table leads to `/demo/1?table=A3`.
const table = new URLSearchParams(window.location.search).get('table') ?? '';

export const choice = reactive<Choice>({ kind: 'dine_in', table, addressId: '', payMethod: '', ...kept() });

function kept(): Partial<Choice> {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEPT_AS) ?? '{}') as Partial<Choice>;
    return table === '' ? found : { ...found, table };
  } catch {
    return {};
  }
}

watch(choice, () => sessionStorage.setItem(KEPT_AS, JSON.stringify(choice)));
