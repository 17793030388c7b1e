/** What is typed about goods, and what of it is sent. */
import type { Schema } from '@/api/client';
import { fen, fromFen } from '@/format';
import { t } from '@/i18n';
import type { Goods } from '@/live/menu';
import { isPrice, isSame, nameOf, wrongName, type TypedName } from './form';

export type Account = Schema<'Account'>;

/** The kinds of accounts that buyers have. */
export const KINDS = ['points', 'votes', 'tips'] as const;

export interface TypedGoods {
  spec: TypedName;
  price: string;
  on_sale: boolean;
  /** Units to begin with, where goods are added. */
  stock: number | null;
  daily_stock: number | null;
  /** To whom paying for a unit credits something: a kind of the buyer's, the id of an account, or nobody. */
  grant_to: string;
  /** How much, as typed: yuan where it is a tip. */
  grant: string;
}

export function typedGoods(goods: Goods | undefined, accounts: readonly Account[]): TypedGoods {
  if (goods === undefined) {
    const spec = { zh: t('menu.usualSpecZh'), en: t('menu.usualSpecEn') };
    return { spec, price: '', on_sale: true, stock: 0, daily_stock: null, grant_to: '', grant: '' };
  }
  const { grant } = goods;
  const to = grant == null ? '' : (grant.account_id ?? grant.kind ?? '');
  return {
    spec: { ...goods.spec },
    price: goods.price,
    on_sale: goods.on_sale,
    stock: null,
    daily_stock: goods.daily_stock ?? null,
    grant_to: to,
    grant: grant == null ? '' : isTip(to, accounts) ? fromFen(grant.per_unit) : String(grant.per_unit),
  };
}

/** Whether what is credited is money, which accounts hold in fen. */
export function isTip(to: string, accounts: readonly Account[]): boolean {
  return to === 'tips' || accounts.some((account) => account.id === to && account.kind === 'tips');
}

/** What is credited a unit, in whole ones or fen; none where it is typed wrongly. */
function perUnit({ grant_to, grant }: TypedGoods, accounts: readonly Account[]): number | undefined {
  const isMoney = isTip(grant_to, accounts);
  if (!(isMoney ? /^\d{1,5}(\.\d{1,2})?$/ : /^\d{1,7}$/).test(grant)) return undefined;
  const units = isMoney ? fen(grant) : Number(grant);
  return units >= 1 && units <= 1_000_000 ? units : undefined;
}

/** What is wrong with it, by the field. */
export function wrongGoods(typed: TypedGoods, accounts: readonly Account[]): Record<string, string | undefined> {
  const isGrantWrong = typed.grant_to !== '' && perUnit(typed, accounts) === undefined;
  return {
    ...wrongName('spec', typed.spec),
    price: isPrice(typed.price) ? undefined : t('menu.wrong.price'),
    'grant.per_unit': isGrantWrong ? t('menu.wrong.grant') : undefined,
  };
}

function grantOf(typed: TypedGoods, accounts: readonly Account[]): Schema<'GrantFields'> | null {
  const per_unit = perUnit(typed, accounts);
  if (typed.grant_to === '' || per_unit === undefined) return null;
  const kind = KINDS.find((name) => name === typed.grant_to);
  return kind === undefined ? { account_id: typed.grant_to, per_unit } : { kind, per_unit };
}

/** What adds it. */
export function goodsToAdd(product_id: number, typed: TypedGoods, accounts: readonly Account[]): Schema<'AddGoods'> {
  const { price, on_sale, daily_stock, stock } = typed;
  const grant = grantOf(typed, accounts);
  return { product_id, spec: nameOf(typed.spec), price, on_sale, daily_stock, stock: stock ?? 0, grant };
}

/** What changes it: only the fields that differ, so that nobody's change of another field is undone. */
export function goodsToChange(goods: Goods, typed: TypedGoods, accounts: readonly Account[]): Schema<'ChangeGoods'> {
  const body: Schema<'ChangeGoods'> = {};
  const spec = nameOf(typed.spec);
  const grant = grantOf(typed, accounts);
  if (!isSame(spec, goods.spec)) body.spec = spec;
  if (fen(typed.price) !== fen(goods.price)) body.price = typed.price;
  if (typed.on_sale !== goods.on_sale) body.on_sale = typed.on_sale;
  if (typed.daily_stock !== (goods.daily_stock ?? null)) body.daily_stock = typed.daily_stock;
  if (grantKey(grant) !== grantKey(goods.grant)) body.grant = grant;
  return body;
}

function grantKey(grant: Schema<'Grant'> | Schema<'GrantFields'> | null | undefined): string {
  return grant == null ? '' : `${grant.account_id ?? grant.kind} ${grant.per_unit}`;
}
