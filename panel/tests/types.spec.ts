import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from './harness';

/** With other types the compiler proves nothing: `npm run types` makes them anew. */
test('the types are those of the service’s own document', async ({ service }) => {
  const document = await service.command(['openapi']);
  const types = execFileSync('node_modules/.bin/openapi-typescript', { input: document, encoding: 'utf8' });
  expect(types).toBe(readFileSync('src/api/schema.ts', 'utf8'));
});
