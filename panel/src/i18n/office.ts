import type { Words } from './words';

export const office = {} as const satisfies Words;
