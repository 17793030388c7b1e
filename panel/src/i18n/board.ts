import type { Words } from './words';

export const board = {} as const satisfies Words;
