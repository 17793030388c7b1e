/** The menu as a sheet for spreadsheets: out, and in again after a look at what would change. */
import { ask, type Schema } from '@/api/client';
import { download } from '@/download';
import { t } from '@/i18n';
import { api, merchant } from '@/session';

export type MenuImport = Schema<'MenuImport'>;
type Column = Schema<'ImportChange'>['field'];

const COLUMNS = [
  'goods_id',
  'category_zh',
  'category_en',
  'product_zh',
  'product_en',
  'image_url',
  'spec_zh',
  'spec_en',
  'price',
  'on_sale',
  'daily_stock',
  'stock',
  'stock_change',
] as const satisfies Column[];

/** What a column is called. One that is no column of ours stands for itself. */
export function columnName(field: string): string {
  const column = COLUMNS.find((name) => name === field);
  return column === undefined ? field : t(`menu.sheet.columns.${column}`);
}

/** What stands in a cell. */
export function cellName(field: string, cell: string): string {
  if (field !== 'on_sale') return cell;
  return cell === 'true' ? t('common.yes') : t('common.no');
}

/** Saves the menu as a file. @throws Problem */
export async function takeOut(): Promise<void> {
  const params = { path: { m: merchant() } };
  const sheet = await ask(api.GET('/v1/admin/merchants/{m}/menu/export', { params, parseAs: 'blob' }));
  download(sheet as unknown as Blob, 'menu.csv');
}

/** What a sheet would do. @throws Problem */
export function preview(sheet: ArrayBuffer): Promise<MenuImport> {
  return send(sheet, { dry_run: true });
}

/** Does it, if it is still what was expected. @throws Problem */
export function bringIn(sheet: ArrayBuffer, expect: string): Promise<MenuImport> {
  return send(sheet, { expect });
}

function send(sheet: ArrayBuffer, query: { dry_run?: boolean; expect?: string }): Promise<MenuImport> {
  return ask(
    api.POST('/v1/admin/merchants/{m}/menu/import', {
      params: { path: { m: merchant() }, query },
      headers: { 'Content-Type': 'text/csv' },
      body: '',
      // The bytes as they are: spreadsheets save in other encodings, too, and the service knows which.
      bodySerializer: () => sheet,
    }),
  );
}
