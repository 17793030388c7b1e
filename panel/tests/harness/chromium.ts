/** Which Chromium the tests, the measurements and the screenshots run in. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { LaunchOptions } from '@playwright/test';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The system's own; without one, what `npx playwright install chromium` has downloaded. */
export function chromium(): LaunchOptions {
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)];
  const executablePath = folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isExecutable);
  // Root has no user namespaces to put a sandbox into.
  const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return { executablePath, args };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
