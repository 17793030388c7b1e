import type { Words } from './words';

export const orders = {} as const satisfies Words;
