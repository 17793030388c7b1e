import type { Words } from './words';

export const menu = {} as const satisfies Words;
