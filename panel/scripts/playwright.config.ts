/** What is not tested but made in a browser: measurements and screenshots. They start and fill a service as the tests do. */
import type { PlaywrightTestConfig } from '@playwright/test';
import tests from '../playwright.config';

const config: PlaywrightTestConfig = {
  ...tests,
  testDir: '.',
  testMatch: /(measure|screenshots)\.ts/,
  outputDir: '../test-results/scripts',
  timeout: 600_000,
};

export default config;
