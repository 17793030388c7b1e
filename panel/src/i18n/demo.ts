import type { Words } from './words';

export const demo = {} as const satisfies Words;
