/** The named accounts that paying for goods can credit. */
import { shallowRef } from 'vue';
import { ask } from '@/api/client';
import { api, may, merchant } from '@/session';
import type { Account } from './goods';

/** Empty until it is read, and for those who may not read it. */
export const accounts = shallowRef<Account[]>([]);

/** @throws Problem */
export async function readAccounts(): Promise<void> {
  if (!may('read_accounts')) return;
  const path = { m: merchant() };
  accounts.value = (await ask(api.GET('/v1/admin/merchants/{m}/accounts', { params: { path } }))).items;
}
