import { defineConfig } from '@playwright/test';
import { chromium } from './tests/harness/chromium';

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // The browser, the service and PostgreSQL share few processors: one test at a time is what they can do without waiting for each other.
  workers: 1,
  // A test that succeeds at the second try has found something.
  retries: 0,
  forbidOnly: process.env['CI'] !== undefined,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    testIdAttribute: 'data-test',
    launchOptions: chromium(),
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
    screenshot: 'only-on-failure',
  },
});
