import type { Words } from './words';

export const dashboard = {} as const satisfies Words;
